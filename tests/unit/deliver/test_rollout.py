"""Rollouts: bad news at once, good news after patience, silence never; error rates over seeded simulations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.deliver.rollout import BLOCK, Action, RolloutPlan, Seen, decide
from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.times import DAY, HOUR
from mainspring.stats.blocks import Block

PLAN = RolloutPlan(steps=(5, 25, 100), hold=DAY, min_requests=500, error_rate=0.01, latency_p99_us=50_000, quality=True)
PER_BLOCK = 230


def seen(**changed: object) -> Seen:
    values: dict[str, object] = {"step": 0, "entered_at": 0, "now": DAY, "requests": 900, "errors": 0}
    return Seen(**{**values, **changed})  # type: ignore[arg-type]


def flat(mean: float, count: int, rows: int = PER_BLOCK) -> tuple[Block, ...]:
    wiggle = [0.002, -0.002, 0.001, -0.001]
    return tuple(Block(block=n, total=(mean + wiggle[n % 4]) * rows, rows=rows) for n in range(count))


def test_a_healthy_step_waits_for_time_and_rows_then_advances() -> None:
    assert decide(PLAN, seen(now=DAY - 1)).action is Action.HOLD
    assert decide(PLAN, seen(requests=499)).action is Action.HOLD
    found = decide(PLAN, seen())
    assert found.action is Action.ADVANCE
    assert "25%" in found.reason


def test_the_last_step_finishes_only_on_matured_evidence() -> None:
    last = {"step": 2, "entered_at": 2 * DAY, "now": 3 * DAY}
    assert decide(PLAN, seen(**last)).action is Action.HOLD
    assert decide(PLAN, seen(**last, blocks=flat(0.0, 10))).action is Action.FINISH
    unsure = tuple(Block(block=n, total=(0.05 if n % 8 < 4 else -0.05) * 230, rows=230) for n in range(16))
    assert decide(PLAN, seen(**last, blocks=unsure)).action is Action.HOLD
    later = decide(PLAN, seen(**{**last, "now": 4 * DAY}, blocks=unsure))
    assert later.action is Action.FINISH
    assert "no harm found" in later.reason


def test_a_challenger_that_stays_suspect_is_aborted_at_the_deadline() -> None:
    suspect = tuple(Block(block=n, total=m * 230, rows=230) for n, m in enumerate([0.05, 0.03, 0.06, 0.035]))
    last = {"step": 2, "entered_at": 2 * DAY}
    assert decide(PLAN, seen(**last, now=5 * DAY, blocks=suspect)).action is Action.HOLD
    found = decide(PLAN, seen(**last, now=6 * DAY, blocks=suspect))
    assert found.action is Action.ABORT
    assert "deadline" in found.reason


@given(st.integers(0, 2), st.integers(0, 499), st.integers(0, 10 * DAY))
def test_without_enough_traffic_nothing_is_ever_promoted(step: int, requests: int, held: int) -> None:
    found = decide(PLAN, seen(step=step, requests=requests, now=held))
    assert found.action is (Action.ABORT if held >= 4 * DAY else Action.HOLD)


@pytest.mark.parametrize(("rate", "within"), [(1.0, 20), (0.21, 100), (0.03, 1000)])
def test_failures_abort_within_the_promised_rows(rate: float, within: int) -> None:
    """F22 and F23: NaN counts as a failure."""
    found = decide(PLAN, seen(now=HOUR, requests=within, errors=round(rate * within)))
    assert found.action is Action.ABORT
    assert "failed" in found.reason


def test_one_early_failure_does_not_abort() -> None:
    assert decide(PLAN, seen(now=HOUR, requests=1, errors=1)).action is Action.HOLD
    assert decide(PLAN, seen(now=HOUR, requests=2, errors=2)).action is Action.ABORT


@given(st.integers(1, 5000), st.integers(0, 5000), st.integers(0, 5 * DAY))
def test_more_failures_never_help(requests: int, errors: int, now: int) -> None:
    rank = [Action.FINISH, Action.ADVANCE, Action.HOLD, Action.ABORT]
    fewer = decide(PLAN, seen(now=now, requests=requests, errors=min(errors, requests) // 2))
    more = decide(PLAN, seen(now=now, requests=requests, errors=min(errors, requests)))
    assert rank.index(more.action) >= rank.index(fewer.action)


def test_slowness_aborts_unless_the_champion_is_slow_too() -> None:
    """F24."""
    slow = {"requests": 200, "now": HOUR, "challenger_p99_us": 60_000.0}
    assert decide(PLAN, seen(**slow, champion_p99_us=9_000.0)).action is Action.ABORT
    assert decide(PLAN, seen(**{**slow, "requests": 20}, champion_p99_us=9_000.0)).action is Action.HOLD
    both = seen(requests=900, challenger_p99_us=60_000.0, champion_p99_us=55_000.0)
    assert decide(PLAN, both).action is Action.HOLD
    assert "champion" in decide(PLAN, both).reason


def test_clear_harm_aborts_before_the_hold_is_over() -> None:
    found = decide(PLAN, seen(now=HOUR, blocks=flat(0.08, 8)))
    assert found.action is Action.ABORT
    assert "worse by +0.08" in found.reason


def test_suspicion_stops_the_advance() -> None:
    doubtful = tuple(Block(block=n, total=m * 230, rows=230) for n, m in enumerate([0.05, 0.03, 0.06, 0.035]))
    found = decide(PLAN, seen(blocks=doubtful))
    assert found.action is Action.HOLD
    assert "looks worse" in found.reason


def test_without_quality_the_losses_are_not_looked_at() -> None:
    blind = RolloutPlan(steps=(100,), hold=DAY, min_requests=1, error_rate=0.01, latency_p99_us=None, quality=False)
    assert decide(blind, seen(blocks=flat(0.5, 20))).action is Action.FINISH


@pytest.mark.parametrize(
    "changed", [{"steps": ()}, {"steps": (5, 5, 100)}, {"steps": (5, 50)}, {"hold": 0}, {"error_rate": 1.0}]
)
def test_an_impossible_plan_is_refused(changed: dict[str, object]) -> None:
    values: dict[str, object] = {
        "steps": (100,), "hold": DAY, "min_requests": 1, "error_rate": 0.01, "latency_p99_us": None, "quality": True,
    }  # fmt: skip
    with pytest.raises(InvalidValue):
        RolloutPlan(**{**values, **changed})  # type: ignore[arg-type]


def rollout(random: np.random.Generator, harm: float, before: float | None = None) -> tuple[Action, float]:
    """Simulate one rollout at every 6 h; noise as on the flights: days shared (sd 0.019), blocks (0.025), rows.

    before: the difference on the first day, if another than `harm`.
    """
    step, entered, noise = 0, 0, 0.0
    later: tuple[int, ...] = ()
    blocks: list[Block] = []
    for tick in range(1, 60):
        now = tick * BLOCK
        if tick % 4 == 1:
            noise = float(random.normal(scale=0.019))
        truth = before if before is not None and tick <= 4 else harm
        mean = truth + noise + float(random.normal(scale=0.025)) + float(random.normal(scale=0.12 / PER_BLOCK**0.5))
        blocks.append(Block(block=tick - 1, total=mean * PER_BLOCK, rows=PER_BLOCK))
        matured = tuple(blocks[:-2])
        rows = (tick - entered // BLOCK) * PER_BLOCK
        now_seen = seen(step=step, entered_at=entered, now=now, requests=rows, blocks=matured, later=later)
        found = decide(PLAN, now_seen).action
        if found in (Action.ABORT, Action.FINISH):
            return found, now / DAY
        if found is Action.ADVANCE:
            step, entered, later = step + 1, now, (*later, now)
    raise AssertionError("a rollout must end")


def test_equal_models_are_aborted_for_quality_in_at_most_one_of_a_hundred() -> None:
    """F26, over 1,000 seeded rollouts."""
    random = np.random.default_rng(26)
    ends = [rollout(random, 0.0) for _ in range(1000)]
    assert sum(action is Action.ABORT for action, _ in ends) <= 10


def test_a_clearly_worse_model_is_aborted_within_days() -> None:
    random = np.random.default_rng(27)
    ends = [rollout(random, 0.08) for _ in range(100)]
    assert sum(action is Action.ABORT for action, _ in ends) >= 98
    assert np.median([days for _, days in ends]) <= 3


def test_a_model_that_turns_bad_in_the_middle_is_found_although_it_began_better() -> None:
    random = np.random.default_rng(28)
    ends = [rollout(random, 0.12, before=-0.04) for _ in range(100)]
    assert sum(action is Action.ABORT for action, _ in ends) >= 95
