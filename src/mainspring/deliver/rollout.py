"""Decide the next step of a canary rollout. Pure: no clock, no network.

Bad news acts at once: failures above the tolerance (an always-valid binomial test, so one early failure does not
abort), latency, and matured quality (an always-valid test on blocks of 6 h of the paired loss difference: worse by
*more than the margin*). Good news waits for `hold` and `min_requests`. No traffic is never good news: a step that
cannot be judged within four holds is aborted. docs/statistics.md gives error rates and detection delays.

Words: during a rollout both versions score every row, so *requests* are rows that the challenger scored. Start at
`decide`.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np

from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.times import HOUR, format_duration
from mainspring.stats.blocks import Block, pooled
from mainspring.stats.intervals import ratio_error, reach
from mainspring.stats.sequential import harm_evidence, rate_evidence

BLOCK = 6 * HOUR
BLOCK_ROWS = 100
HARM = 100.0
SUSPICION = 10.0
FAILURE = 1000.0
LATENCY_ROWS = 100
PATIENCE = 2
DEADLINE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan:
    """How fast traffic moves to a challenger, and when it moves back.

    steps: percent at each step; strictly rising; the last is 100. hold: microseconds to watch a step.
    min_requests: rows a step needs before it may advance. error_rate: fraction of failed rows tolerated.
    latency_p99_us: microseconds, or None. quality: abort when matured paired loss is worse by more than `margin`.
    """

    steps: tuple[int, ...]
    hold: int
    min_requests: int
    error_rate: float
    latency_p99_us: int | None
    quality: bool
    margin: float = 0.01

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in pairwise((0, *self.steps)))
        if not rising or self.steps[-1:] != (100,):
            raise InvalidValue(f"steps {self.steps} must rise and end at 100", fix="for example: [5, 25, 100]")
        if self.hold <= 0 or self.min_requests < 1 or not 0 <= self.error_rate < 1:
            raise InvalidValue("a rollout needs hold > 0, min_requests >= 1, error_rate in [0, 1)", fix="see the plan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What happened up to `now` (UTC microseconds).

    step: index into the plan's steps; entered_at: when it began. requests, errors: rows the challenger was asked to
    score in this step, and those without a finite probability as an answer. p99: microseconds a request, or None.
    blocks: challenger minus champion loss over the whole rollout, summed by `asked_at // BLOCK`, of blocks whose
    labels have matured (a block is left out until it ended at least the label delay ago: early labels flatter).
    later: when each step after the first began; harm may begin in the middle of a rollout.
    """

    step: int
    entered_at: int
    now: int
    requests: int
    errors: int
    champion_p99_us: float | None = None
    challenger_p99_us: float | None = None
    blocks: tuple[Block, ...] = ()
    later: tuple[int, ...] = ()


class Action(StrEnum):
    """What to do with the challenger now."""

    HOLD = "hold"
    ADVANCE = "advance"
    FINISH = "finish"
    ABORT = "abort"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """An action with its reason, in words and numbers."""

    action: Action
    reason: str


def decide(plan: RolloutPlan, seen: Seen) -> Decision:
    """Return what to do now: bad news first, then patience, then the next step."""
    evidence, suspicion = _evidence(plan, seen)
    bad = _failures(plan, seen) or _slow(plan, seen) or _harm(plan, seen, evidence)
    if bad:
        return Decision(action=Action.ABORT, reason=bad)
    waiting = _waiting(plan, seen, suspicion)
    if waiting and seen.now - seen.entered_at >= DEADLINE * plan.hold:
        return Decision(action=Action.ABORT, reason=f"deadline of {format_duration(DEADLINE * plan.hold)}: {waiting}")
    if waiting:
        return Decision(action=Action.HOLD, reason=waiting)
    held = f"held {format_duration(plan.hold)} with {seen.requests} rows and {seen.errors} failures"
    if seen.step + 1 < len(plan.steps):
        return Decision(action=Action.ADVANCE, reason=f"{held}; next {plan.steps[seen.step + 1]}%")
    return Decision(action=Action.FINISH, reason=f"{held}; {_quality_words(plan, seen)}")


def _failures(plan: RolloutPlan, seen: Seen) -> str:
    if rate_evidence(seen.errors, seen.requests, plan.error_rate) < FAILURE:
        return ""
    return f"{seen.errors} of {seen.requests} rows failed, clearly above {plan.error_rate:.2%}"


def _slow(plan: RolloutPlan, seen: Seen) -> str:
    limit, ours, theirs = plan.latency_p99_us, seen.challenger_p99_us, seen.champion_p99_us
    if limit is None or ours is None or seen.requests < LATENCY_ROWS or ours <= limit:
        return ""
    if theirs is not None and theirs > limit:
        return ""
    return f"p99 latency {ours:.0f} us is above {limit} us, and the champion's is not"


def _harm(plan: RolloutPlan, seen: Seen, evidence: float) -> str:
    if evidence < HARM:
        return ""
    mean, _, rows = _difference(seen)
    return (
        f"matured loss is worse by {mean:+.4f} on {rows} paired rows; that it exceeds {plan.margin:+.4f} "
        f"has evidence {evidence:.0f} to 1 (abort from {HARM:.0f})"
    )


def _waiting(plan: RolloutPlan, seen: Seen, evidence: float) -> str:
    held = seen.now - seen.entered_at
    if held < plan.hold:
        return f"held {format_duration(max(held, 0))} of {format_duration(plan.hold)}"
    if seen.requests < plan.min_requests:
        return f"{seen.requests} of {plan.min_requests} rows at {plan.steps[seen.step]}%"
    limit = plan.latency_p99_us
    if limit is not None and seen.challenger_p99_us is not None and seen.challenger_p99_us > limit:
        return f"p99 latency {seen.challenger_p99_us:.0f} us is above {limit} us, as is the champion's"
    if not plan.quality:
        return ""
    if evidence >= SUSPICION:
        return f"matured loss looks worse (evidence {evidence:.0f} to 1)"
    return _unproven(plan, seen) if seen.step + 1 == len(plan.steps) else ""


def _unproven(plan: RolloutPlan, seen: Seen) -> str:
    """Tell what the last step still lacks: a bound within the margin, or two holds with no harm in sight."""
    mean, upper, rows = _difference(seen)
    if rows < plan.min_requests:
        return f"{rows} of {plan.min_requests} paired rows have matured"
    if upper <= plan.margin or seen.now - seen.entered_at >= PATIENCE * plan.hold:
        return ""
    return f"matured loss differs by {mean:+.4f}, bound {upper:+.4f}; margin {plan.margin:+.4f}"


def _quality_words(plan: RolloutPlan, seen: Seen) -> str:
    mean, upper, rows = _difference(seen)
    if not plan.quality:
        return "quality is not judged"
    shown = "no worse" if upper <= plan.margin else f"no harm found within {PATIENCE} holds"
    return f"{shown}: matured loss differs by {mean:+.4f} (95% bound {upper:+.4f}) on {rows} paired rows"


def _evidence(plan: RolloutPlan, seen: Seen) -> tuple[float, float]:
    """Return (evidence of harm beyond the margin, the largest of its parts); 1.0 (none) where quality is not judged.

    Half the weight lies on an e-process from the rollout's start, half on one from each later step's, so that good
    days before a change cannot hide it. A weighted mean of e-processes is one; a step that has not begun is zero.
    """
    if not plan.quality:
        return 1.0, 1.0
    whole, later = _harm_since(plan, seen.blocks), len(plan.steps) - 1
    parts = [
        _harm_since(plan, tuple(block for block in seen.blocks if block.block * BLOCK >= began)) for began in seen.later
    ]
    joined = whole / 2 + sum(parts) / (2 * later) if later else whole
    return joined, max(whole, *parts) if parts else whole


def _harm_since(plan: RolloutPlan, blocks: tuple[Block, ...]) -> float:
    means = [block.total / block.rows for block in pooled(blocks, BLOCK_ROWS)]
    return harm_evidence(means, margin=plan.margin)


def _difference(seen: Seen) -> tuple[float, float, int]:
    """Return (mean difference, one-sided 95 % upper bound by day, rows); infinite where nothing is known."""
    days: dict[int, tuple[float, int]] = {}
    for block in seen.blocks:
        total, rows = days.get(block.block // 4, (0.0, 0))
        days[block.block // 4] = (total + block.total, rows + block.rows)
    mean, upper = _day_bound(list(days.values()))
    return mean, upper, sum(rows for _, rows in days.values())


def _day_bound(days: list[tuple[float, int]], confidence: float = 0.95) -> tuple[float, float]:
    """Return (mean, one-sided upper bound) of (total, rows) a day; infinite without rows or with one day."""
    totals = np.array([total for total, _ in days], np.float64)
    rows = np.array([count for _, count in days], np.float64)
    if not rows.sum():
        return float("inf"), float("inf")
    mean, error = ratio_error(totals, rows)
    return mean, mean + reach(error, len(days), confidence)
