"""Which trainings a policy is given, and whether a replay's counts agree."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.app.drill import PERIOD, REVERSAL, SHUFFLED_AT, VENDOR_AT, scenario
from mainspring.app.replaying import Period, PolicyReplay, check_counts, month_starts, policies
from mainspring.flows.compare import PolicyRun
from mainspring.flows.replay import Replayed
from mainspring.kernel.errors import InvalidValue, RunFailed
from mainspring.kernel.times import DAY, HOUR, from_us, parse_time
from mainspring.observe.plans import RetrainPolicy

TICK = 6 * HOUR
FIRST = parse_time("2013-01-01")


def period(start: str, end: str) -> Period:
    return Period(start=parse_time(start), end=parse_time(end))


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        ("2013-05-01", "2014-01-01", [6, 7, 8, 9, 10, 11, 12]),
        ("2013-04-10", "2013-05-15", [5]),
        ("2013-04-10", "2013-05-01", []),
        ("2013-04-10", "2013-05-02", [5]),
        ("2013-12-31", "2014-02-02", [1, 2]),
        ("2013-04-10", "2013-04-20", []),
    ],
)
def test_months_that_begin_inside_a_period(start: str, end: str, months: list[int]) -> None:
    found = [from_us(at) for at in month_starts(period(start, end))]
    assert [at.month for at in found] == months
    assert all((at.day, at.hour, at.microsecond) == (1, 0, 0) for at in found)


@pytest.mark.parametrize("end", ["2013-05-01", "2013-04-01"])
def test_a_period_that_ends_before_it_begins_is_refused(end: str) -> None:
    with pytest.raises(InvalidValue, match="cannot end"):
        period("2013-05-01", end)


@settings(max_examples=80)
@given(day=st.integers(0, 400), days=st.integers(1, 400), trainings=st.integers(0, 40))
def test_equal_trainings_are_spread_evenly_on_ticks(day: int, days: int, trainings: int) -> None:
    span = Period(start=FIRST + day * DAY, end=FIRST + (day + days) * DAY)
    title, policy = policies(RetrainPolicy(), ("scheduled_equal",), span, trainings=trainings, every=TICK)[
        "scheduled_equal"
    ]
    assert title == f"scheduled, {trainings} trainings"
    assert len(policy.at) == trainings
    assert all(at % TICK == 0 for at in policy.at)
    assert all(span.start <= at < span.end for at in policy.at)
    gaps = np.diff([span.start, *policy.at, span.end])
    assert gaps.max() - gaps.min() <= 2 * TICK + trainings + 1


def test_only_the_asked_policies_are_made() -> None:
    ours = RetrainPolicy(when=("quality",), cooldown=DAY)
    span = period("2013-05-01", "2013-07-15")
    found = policies(ours, ("mainspring", "never", "scheduled"), span, trainings=0, every=TICK)
    assert list(found) == ["mainspring", "never", "scheduled"]
    assert found["mainspring"][1] is ours
    assert found["never"][1] == RetrainPolicy()
    assert found["scheduled"][1].at == month_starts(span)


def replayed(**server: int) -> PolicyReplay:
    scored = {name: np.zeros(9) for name in ("key", "asked_at", "value", "served")}
    counts = Replayed(ticks=4, requests=3, rows=10, labels=9, prediction_id="p")
    told = {"requests": 3, "rows": 10, "logged": 10, "dropped": 0, **server}
    return PolicyReplay(
        run=PolicyRun(name="n", title="n", scored=scored, events=[], train_seconds=0.0), replayed=counts, server=told
    )


def test_counts_that_agree_are_returned() -> None:
    found = check_counts(replayed())
    assert (found["rows"], found["logged_rows"], found["labelled"]) == (10, 10, 9)


@pytest.mark.parametrize("wrong", [{"requests": 4}, {"rows": 9}, {"logged": 9, "dropped": 1}])
def test_a_row_that_is_missing_anywhere_fails_the_replay(wrong: dict[str, int]) -> None:
    with pytest.raises(RunFailed, match="client, server and log disagree"):
        check_counts(replayed(**wrong))


def test_the_drill_injects_before_the_fault_and_lets_nothing_else_retrain() -> None:
    drill = scenario()
    assert PERIOD.start < SHUFFLED_AT < VENDOR_AT < REVERSAL < PERIOD.end
    assert drill.policy == RetrainPolicy()
    injector: Callable[..., Any] = scenario().before
    assert injector is not drill.before  # each replay of the drill injects anew
