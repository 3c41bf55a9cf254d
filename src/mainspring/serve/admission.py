"""Who may come in now: a concurrency limit that follows measured latency, and what one key may ask. Pure.

Nothing here sleeps or reads a clock: time comes in as monotonic seconds, so an hour of overload is a loop in a test.

**Concurrency.** Additive increase, multiplicative decrease on latency (Chiu and Jain 1989; the use of the ratio of
present to unloaded latency as the signal is that of TCP Vegas, Brakmo and Peterson 1995, and of Netflix's
concurrency-limits). A window of answers whose median takes more than `tolerance` times the unloaded latency and
`unnoticed_s` on top shrinks the limit by a fifth: a model of 50 us that took 200 for a moment met the system's
scheduler, not overload, and what a 2 ms model answers goes from thread to thread three times. A window that used the
whole limit raises it by one, if even latency that grows with it stays bearable. The unloaded latency is measured with
the limit at 1 for a moment every `probe_s` seconds while the limit is in use: under steady overload nothing else shows
it.

**Keys.** A token bucket each for requests a second and for rows in a period. A large request may go into debt, which
the next ones wait off: so no request is too large to ever be let in.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from mainspring.security.tokens import Allowance
from mainspring.serve.errors import BudgetSpent, Overloaded, RateLimited

NO_LIMIT = Allowance()
_NEVER = float("-inf")
_SHRINK = 0.8
_FEW, _LONG_S = 3, 1.0  # a slow model, or a probe, is judged on few answers


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyRules:
    """How a limit moves. smallest, first, largest: requests at once. Times in seconds.

    tolerance: how many times the unloaded latency is still fast; unnoticed_s: what may come on top at all times.
    samples: answers that make a window.
    """

    smallest: int = 2
    first: int = 8
    largest: int = 1_000
    tolerance: float = 2.5
    unnoticed_s: float = 0.002
    samples: int = 16
    window_s: float = 0.1
    probe_s: float = 30.0

    def __post_init__(self) -> None:
        if not 1 <= self.smallest <= self.first <= self.largest or self.tolerance <= 1 or self.samples < 1:
            raise ValueError(f"{self} cannot be")


class ConcurrencyLimit:
    """How many requests of one model may be under way. Used on one thread."""

    def __init__(self, rules: ConcurrencyRules = ConcurrencyRules()) -> None:
        self._rules = rules
        self.limit, self.in_flight, self.refused = rules.first, 0, 0
        self.unloaded_s = 0.0
        self._window: list[float] = []
        self._opened_at = _NEVER
        self._probed_at = _NEVER
        self._used_up = self._probing = False
        self._older = 0

    @property
    def full(self) -> bool:
        """Tell whether the next request would be refused."""
        return self.in_flight >= (1 if self._probing else self.limit)

    def enter(self, now: float) -> None:
        """Let one request in, or raise `Overloaded`; who was let in must `leave`."""
        if self.full:
            self._used_up = True
            self.refused += 1
            raise Overloaded("the model is asked faster than it answers", fix="try again later", retry_after_s=1)
        self.in_flight += 1
        if self._opened_at == _NEVER:
            self._opened_at = self._probed_at = now

    def leave(self, took_s: float, now: float) -> None:
        """Count one out, and learn from how long it took; 0 teaches nothing (it failed early)."""
        self.in_flight -= 1
        if self._older:  # it came in under the limit before this one
            self._older -= 1
            return
        if took_s <= 0:
            return
        self._window.append(took_s)
        elapsed = now - self._opened_at
        enough = _FEW if self._probing or elapsed >= _LONG_S else self._rules.samples
        if len(self._window) >= enough and elapsed >= self._rules.window_s:
            self._judge(now)

    def _judge(self, now: float) -> None:
        window, rules, before = self._window, self._rules, self.limit
        if self._probing:
            self.unloaded_s, self._probing = median(window), False
        else:
            fastest = min(window)
            self.unloaded_s = min(self.unloaded_s, fastest) if self.unloaded_s else fastest
            usual = median(window)
            bearable = rules.tolerance * self.unloaded_s + rules.unnoticed_s
            if usual > bearable:
                self.limit = max(rules.smallest, int(self.limit * _SHRINK))
            elif self._used_up and usual * (self.limit + 1) / self.limit <= bearable:
                self.limit = min(rules.largest, self.limit + 1)
            if self._used_up and now - self._probed_at >= rules.probe_s:
                self._probing, self._probed_at = True, now
        if self._probing or self.limit > before:
            self._older = self.in_flight
        self._window, self._opened_at, self._used_up = [], now, False


class _Bucket:
    __slots__ = ("at", "level")

    def __init__(self, level: float, at: float) -> None:
        self.level, self.at = level, at

    def filled(self, now: float, a_second: float, most: float) -> float:
        self.level = min(most, self.level + (now - self.at) * a_second)
        self.at = now
        return self.level


class Allowances:
    """What each key has left. The keys remembered are bounded: the one that asked longest ago is forgotten first."""

    def __init__(self, default: Allowance = NO_LIMIT, *, share: int = 1, most: int = 10_000) -> None:
        self._default, self._share, self._most = default, share, most
        self.paid = 0  # requests that took from a budget
        self._rates: OrderedDict[str, _Bucket] = OrderedDict()
        self._budgets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return max(len(self._rates), len(self._budgets))

    def ask(self, key: str, own: Allowance | None, now: float) -> None:
        """Count one request of a key, or raise `RateLimited` or `BudgetSpent` with the seconds to wait.

        own: the key's own allowance; where it sets no limit, the default's holds. With `share` processes behind one
        port each grants its part.
        """
        rate = (own.rate if own else 0.0) or self._default.rate
        if rate:
            rate /= self._share
            bucket = self._bucket(self._rates, key, max(1.0, rate), now)
            level = bucket.filled(now, rate, max(1.0, rate))
            if level < 1:
                wait_s = (1 - level) / rate
                raise RateLimited(f"more than {rate:g} requests a second", fix="slow down", retry_after_s=wait_s)
            bucket.level = level - 1
        budget, a_second = self._budget(own)
        if budget:
            left = self._bucket(self._budgets, key, budget, now).filled(now, a_second, budget)
            if left < 1:
                wait_s = (1 - left) / a_second
                raise BudgetSpent("the key's rows are used up", fix="wait, or ask for more", retry_after_s=wait_s)

    def spend(self, key: str, own: Allowance | None, rows: int, now: float) -> None:
        """Take the rows that were answered from the key's budget."""
        budget, a_second = self._budget(own)
        if budget:
            self.paid += 1
            bucket = self._bucket(self._budgets, key, budget, now)
            bucket.level = bucket.filled(now, a_second, budget) - rows

    def left(self, now: float) -> Mapping[str, tuple[float, float]]:
        """Return what each key had left of its budget when it was last looked at, and how many seconds ago."""
        return {key: (bucket.level, now - bucket.at) for key, bucket in self._budgets.items()}

    def go_on(self, left: Mapping[str, tuple[float, float]], now: float) -> None:
        """Begin with what a process before this one told by `left`; allowances bound it as ever."""
        for key, (level, age_s) in [*left.items()][-self._most :]:
            self._budgets[key] = _Bucket(level, now - max(age_s, 0.0))

    def limits(self, own: Allowance | None) -> bool:
        """Tell whether any limit holds for a key with that allowance."""
        return bool(self._default.rate or self._default.budget or (own and (own.rate or own.budget)))

    def _budget(self, own: Allowance | None) -> tuple[float, float]:
        chosen = own if own and own.budget else self._default
        budget = chosen.budget / self._share
        return budget, budget / chosen.period_s

    def _bucket(self, buckets: OrderedDict[str, _Bucket], key: str, full: float, now: float) -> _Bucket:
        found = buckets.get(key)
        if found is None:
            if len(buckets) >= self._most:
                buckets.popitem(last=False)
            found = buckets[key] = _Bucket(full, now)
        buckets.move_to_end(key)
        return found
