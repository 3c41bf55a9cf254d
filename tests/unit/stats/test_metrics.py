"""Metrics agree with scikit-learn on random and on awkward inputs."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs
from sklearn.calibration import calibration_curve

from mainspring.kernel.errors import InvalidValue
from mainspring.stats import metrics as ours

rows = st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 1.0, 0.5]) | st.floats(0, 1)), min_size=2)


@settings(deadline=None, max_examples=40)
@given(rows)
def test_every_metric_equals_scikit_learn(pairs: list[tuple[int, float]]) -> None:
    target = np.array([t for t, _ in pairs])
    scores = np.array([s for _, s in pairs])
    assert ours.brier(target, scores) == pytest.approx(float(np.mean((scores - target) ** 2)), abs=1e-12)
    assert ours.log_loss(target, scores) == pytest.approx(theirs.log_loss(target, scores, labels=[0, 1]), abs=1e-12)
    if 0 < target.sum() < len(target):
        assert ours.brier(target, scores) == pytest.approx(theirs.brier_score_loss(target, scores), abs=1e-12)
        assert ours.roc_auc(target, scores) == pytest.approx(theirs.roc_auc_score(target, scores), abs=1e-12)
        expected = theirs.average_precision_score(target, scores)
        assert ours.pr_auc(target, scores) == pytest.approx(expected, abs=1e-12)


def test_calibration_error_weighs_the_gaps_of_the_calibration_curve() -> None:
    random = np.random.default_rng(3)
    scores = random.uniform(size=5000)
    target = (random.uniform(size=5000) < scores**1.3).astype(float)
    true, mean = calibration_curve(target, scores, n_bins=10)
    count = np.histogram(scores, np.linspace(0, 1, 11))[0]
    expected = float(np.abs(true - mean) @ count / count.sum())
    assert ours.calibration_error(target, scores) == pytest.approx(expected, abs=1e-12)


def test_a_metric_of_nothing_or_of_one_class_is_not_a_number() -> None:
    empty = np.zeros(0)
    assert math.isnan(ours.log_loss(empty, empty))
    assert math.isnan(ours.calibration_error(empty, empty))
    assert math.isnan(ours.roc_auc(np.ones(3), np.full(3, 0.2)))
    assert math.isnan(ours.pr_auc(np.zeros(3), np.full(3, 0.2)))


@pytest.mark.parametrize(
    ("target", "scores", "what"),
    [
        ([0.0, 1.0], [0.5], "do not pair"),
        ([0.0, np.nan], [0.5, 0.5], "neither 0 nor 1"),
        ([0.0, 2.0], [0.5, 0.5], "neither 0 nor 1"),
        ([0.0, 1.0], [0.5, np.nan], "not a probability"),
        ([0.0, 1.0], [0.5, 1.1], "not a probability"),
    ],
)
def test_rows_that_cannot_be_judged_are_refused(target: list[float], scores: list[float], what: str) -> None:
    with pytest.raises(InvalidValue, match=what):
        ours.log_losses(np.array(target), np.array(scores))


def test_a_certain_and_wrong_score_costs_a_finite_amount() -> None:
    assert ours.log_loss(np.array([1.0]), np.array([0.0])) == pytest.approx(36.0436533891)
