"""What policies scored on one stream: every number against a plain loop, whatever the order of rows."""

from math import log
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.flows.test_chronicle import moved, story

from mainspring.flows.compare import PolicyRun, compare, difference, policy_numbers
from mainspring.kernel.errors import RunFailed
from mainspring.kernel.events import Event
from mainspring.kernel.times import DAY, HOUR
from mainspring.stats.columns import Columns, take

START = 1_704_067_200_000_000
WEEK = 7 * DAY


def stream(rows: int = 400, days: int = 20, seed: int = 0) -> Columns:
    random = np.random.default_rng(seed)
    chance = random.beta(2, 4, rows)
    return {
        "key": np.array([f"k{row}" for row in range(rows)], dtype=object),
        "asked_at": START + random.integers(0, days * 24, rows) * HOUR,
        "value": (random.random(rows) < chance).astype(float),
        "served": chance,
    }


def run(name: str, scored: Columns, events: list[Event] | None = None) -> PolicyRun:
    return PolicyRun(name=name, title=name.title(), scored=scored, events=events or [], train_seconds=1.5)


def worse(scored: Columns, by: float = 0.4) -> Columns:
    return {**scored, "served": np.clip(scored["served"] + by, 0.01, 0.99)}


def loss(value: float, score: float) -> float:
    return -log(score if value else 1 - score)


def plain_mean(scored: Columns) -> float:
    rows = list(zip(scored["value"].tolist(), scored["served"].tolist(), strict=True))
    return sum(loss(value, score) for value, score in rows) / len(rows)


def test_the_numbers_are_those_of_a_plain_loop() -> None:
    scored = stream()
    found = policy_numbers(run("never", scored), None, START)
    assert found["log_loss"] == pytest.approx(plain_mean(scored))
    assert found["low"] < found["log_loss"] < found["high"]
    rows = list(zip(scored["value"].tolist(), scored["served"].tolist(), strict=True))
    pairs = [(one > other) + (one == other) / 2 for v, one in rows if v for w, other in rows if not w]
    assert found["roc_auc"] == pytest.approx(sum(pairs) / len(pairs))
    assert (found["rows"], found["vs_never"], found["train_seconds"]) == (400, None, 1.5)


def test_weeks_add_up_to_the_whole() -> None:
    scored = stream()
    weekly = policy_numbers(run("never", scored), None, START)["weekly"]
    assert [week["week"] for week in weekly] == [START, START + WEEK, START + 2 * WEEK]
    for week in weekly:
        inside = take(scored, (scored["asked_at"] >= week["week"]) & (scored["asked_at"] < week["week"] + WEEK))
        assert week["rows"] == len(inside["key"])
        assert week["log_loss"] == pytest.approx(plain_mean(inside))
    assert sum(week["rows"] for week in weekly) == 400
    assert sum(week["rows"] * week["log_loss"] for week in weekly) / 400 == pytest.approx(plain_mean(scored))


def test_a_week_of_one_day_has_no_interval() -> None:
    (week,) = policy_numbers(run("never", stream(days=1)), None, START)["weekly"]
    assert (week["low"], week["high"]) == (None, None)


def test_the_difference_is_paired_and_its_sign_is_run_minus_other() -> None:
    scored = stream()
    found = difference(run("b", worse(scored)), run("a", scored))
    assert found["difference"] == pytest.approx(plain_mean(worse(scored)) - plain_mean(scored))
    assert 0 < found["low"] < found["difference"] < found["high"]
    assert difference(run("a", scored), run("a", scored)) == {"difference": 0.0, "low": 0.0, "high": 0.0}


def test_the_report_compares_each_policy_with_never_and_ours_with_equal_trainings() -> None:
    scored = stream()
    runs = [run("mainspring", scored), run("never", worse(scored)), run("scheduled_equal", worse(scored, 0.1))]
    found = compare(runs, start=START)
    by_name = {policy["name"]: policy for policy in found["policies"]}
    assert by_name["never"]["vs_never"] is None
    assert by_name["mainspring"]["vs_never"] == pytest.approx(difference(runs[0], runs[1]))
    assert found["comparison"]["mainspring_vs_equal"] == pytest.approx(difference(runs[0], runs[2]))
    assert by_name["mainspring"]["vs_never"]["high"] < 0
    alone = compare(runs[:1], start=START)
    assert alone["policies"][0]["vs_never"] is alone["comparison"]["mainspring_vs_equal"] is None


def test_what_happened_by_the_start_is_not_counted() -> None:
    told: list[tuple[str, dict[str, Any]]]
    told = [("run.finished", {"version": 1}), moved("promoted", 1), ("gate.refused", {"reasons": []})]
    events = story(*told, *told, moved("finished", 2), moved("aborted", 2))
    found = policy_numbers(run("a", stream(), events), None, START + 3 * HOUR)
    counts = {name: found[name] for name in ("trainings", "promoted", "refused", "rolled_back")}
    assert counts == {"trainings": 1, "promoted": 1, "refused": 1, "rolled_back": 1}


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_rows_changes_nothing(seed: int) -> None:
    scored = stream(rows=120)
    mixed = take(worse(scored), np.random.default_rng(seed).permutation(120))
    one = compare([run("never", scored), run("mainspring", worse(scored))], start=START)
    other = compare([run("never", scored), run("mainspring", mixed)], start=START)
    assert one == other


@pytest.mark.parametrize("changed", ["key", "asked_at", "value", "rows"])
def test_runs_over_other_questions_are_refused(changed: str) -> None:
    scored = stream(rows=50)
    other = {name: values.copy() for name, values in scored.items()}
    if changed == "rows":
        other = take(other, np.arange(49))
    elif changed == "key":
        other["key"][7] = "another"
    else:
        other[changed] = other[changed] + 1
    with pytest.raises(RunFailed, match="mainspring answered other questions than never"):
        compare([run("never", scored), run("mainspring", other)], start=START)
