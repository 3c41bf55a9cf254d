"""Which parameters are tried: the same for a seed, evenly spread, and the best by one metric."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.develop.errors import StepFailed
from mainspring.develop.runs import Run, TrainingPlan
from mainspring.develop.search import Dimension, SearchPlan, best_of, points, trial_runs
from mainspring.kernel.times import DAY

SPACE = (
    Dimension(name="rate", low=0.001, high=1.0, log=True),
    Dimension(name="depth", low=2, high=9, whole=True),
    Dimension(name="loss", values=("a", "b", True)),
)


def plan(space: tuple[Dimension, ...] = SPACE, trials: int = 16, seed: int = 0) -> SearchPlan:
    return SearchPlan(space=space, trials=trials, seed=seed, metric="log_loss")


@given(seed=st.integers(0, 2**32 - 1), trials=st.integers(2, 64))
def test_points_lie_in_the_space_and_a_seed_names_them(seed: int, trials: int) -> None:
    found = points(plan(trials=trials, seed=seed))
    assert found == points(plan(trials=trials, seed=seed))
    assert 0 < len(found) <= trials
    for point in found:
        assert isinstance(point["rate"], float)
        assert 0.001 <= point["rate"] <= 1.0
        assert point["depth"] in range(2, 10)
        assert point["loss"] in ("a", "b", True)


def test_points_are_even_in_factors_and_more_trials_keep_the_first() -> None:
    found = points(plan(trials=16))
    decades = [math.floor(-math.log10(float(point["rate"])) / 0.75) for point in found]
    assert [decades.count(quarter) for quarter in range(4)] == [4, 4, 4, 4]
    assert points(plan(trials=32))[:16] == found
    assert points(plan(seed=1)) != found


def test_few_combinations_are_all_tried() -> None:
    space = (Dimension(name="a", values=(1, 2)), Dimension(name="b", values=("x", "y")))
    assert points(plan(space, trials=4)) == [{"a": a, "b": b} for a in (1, 2) for b in ("x", "y")]
    assert len(points(plan(space, trials=3))) <= 3


def test_trials_are_judged_on_what_lies_before_the_holdout() -> None:
    training = TrainingPlan(function="m:f", window=None, holdout=10 * DAY, params={"more": 1}, slices=("c",))
    whole = Run(
        id="s", model="m", at=100 * DAY, snapshot="d", definitions={}, training=training, code="c", champion="x"
    )
    trials = trial_runs(whole, plan(trials=4))
    assert [trial.id for trial in trials] == ["s-t0", "s-t1", "s-t2", "s-t3"]
    assert {(trial.at, trial.champion, trial.training.holdout) for trial in trials} == {(90 * DAY, "", 10 * DAY)}
    assert all(trial.training.params.keys() == {"more", "rate", "depth", "loss"} for trial in trials)


def test_the_best_is_the_least_loss_and_a_failed_trial_has_no_say() -> None:
    assert best_of(plan(), [None, {"log_loss": 0.4}, {"log_loss": 0.3}, {"log_loss": 0.3}]) == 2
    ranked = SearchPlan(space=SPACE, trials=2, seed=0, metric="roc_auc")
    assert best_of(ranked, [{"roc_auc": 0.6}, {"roc_auc": 0.8}]) == 1
    with pytest.raises(StepFailed, match="none of 2 trials"):
        best_of(plan(), [None, None])
