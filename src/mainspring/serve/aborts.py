"""When the router stops asking a challenger by itself, at once and without git: it fails, is slow, or is gone. Pure.

Failures are counted in two windows, a short one for what is plainly broken and a long one for a few in a hundred. Speed
is compared pair by pair, for both versions scored the same requests on the same machine: a challenger whose median is
several times the champion's, or that is often slower than twice the champion's p99, is aborted; unless it is so fast
that nobody would feel it. The figures behind the defaults: a healthy challenger that fails once in a thousand requests
is aborted by one request in some 100,000; one that fails 2 in a hundred outlives 1,000 requests once in 1,000 times
(binomial tails), one that fails 20 in a hundred does not outlive 100.
"""

from collections import deque
from dataclasses import dataclass

GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortRule:
    """failures of the last `of` requests, or rare_failures of the last `rare_of`, are too many.

    slower: how many times the champion's median is too slow. beyond: how many of the last `pairs` may take more than
    twice the champion's p99. floor_us: microseconds below which slowness does not count. few: pairs before speed is
    judged.
    """

    failures: int = 5
    of: int = 100
    rare_failures: int = 8
    rare_of: int = 1_000
    slower: float = 3.0
    beyond: int = 8
    pairs: int = 200
    few: int = 20
    floor_us: int = 1_000


class Override:
    """The router's own abort: it holds until the next release commit and can only lower the weight."""

    def __init__(self, rule: AbortRule) -> None:
        self._rule = rule
        self._commit = ""
        self._short, self._long = _Window(rule.failures, rule.of), _Window(rule.rare_failures, rule.rare_of)
        self._pairs: deque[tuple[int, int]] = deque(maxlen=rule.pairs)
        self.reason = ""

    @property
    def aborted(self) -> bool:
        """Tell whether the challenger of the present commit is aborted."""
        return bool(self.reason)

    def follow(self, commit: str) -> None:
        """Start afresh when the release commit changed."""
        if commit != self._commit:
            self._commit, self.reason = commit, ""
            self._short.clear()
            self._long.clear()
            self._pairs.clear()

    def saw(self, failure: str, took_us: int = 0, champion_us: int = 0) -> None:
        """Count one request that asked the challenger; `failure` is "" or a short reason.

        took_us, champion_us: microseconds that each took for the same rows; 0 where it is not known.
        """
        short, long = self._short.add(bool(failure)), self._long.add(bool(failure))
        if took_us and champion_us:
            self._pairs.append((took_us, champion_us))
        if self.reason:
            return
        if failure == GONE:
            self.reason = "the challenger's process ended"
        elif failure and (short or long):
            window = self._short if short else self._long
            self.reason = f"{window.bad} of the last {window.seen} requests failed: {failure}"
        elif took_us and len(self._pairs) >= self._rule.few and len(self._pairs) % (self._rule.few // 2 or 1) == 0:
            self.reason = slowness(self._pairs, self._rule)


class _Window:
    """Counts what was bad among the last `of`."""

    def __init__(self, most: int, of: int) -> None:
        self._most = most
        self._recent: deque[bool] = deque(maxlen=of)
        self.bad = 0

    @property
    def seen(self) -> int:
        return len(self._recent)

    def add(self, bad: bool) -> bool:
        """Return whether there are too many."""
        if len(self._recent) == self._recent.maxlen:
            self.bad -= self._recent[0]
        self._recent.append(bad)
        self.bad += bad
        return self.bad >= self._most

    def clear(self) -> None:
        self._recent.clear()
        self.bad = 0


def slowness(pairs: "deque[tuple[int, int]]", rule: AbortRule) -> str:
    """Return why a challenger is too slow, or "". pairs: (challenger's, champion's) microseconds a request."""
    own = sorted(took for took, _ in pairs)
    other = sorted(took for _, took in pairs)
    middle = len(own) // 2
    if own[middle] > max(rule.slower * other[middle], rule.floor_us):
        return f"it takes {own[middle]} us where the champion takes {other[middle]} us (medians of {len(own)} requests)"
    limit = max(2 * other[-1 - len(other) // 100], rule.floor_us)
    beyond = sum(took > limit for took in own)
    if beyond >= rule.beyond:
        return f"{beyond} of the last {len(own)} requests took it more than {limit} us, twice the champion's p99"
    return ""
