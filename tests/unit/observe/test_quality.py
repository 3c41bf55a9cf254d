"""Realised quality: intervals by day, a baseline a row, too little evidence is no signal."""

import json

import numpy as np
import pytest

from mainspring.kernel.digests import canonical_json
from mainspring.kernel.times import DAY, HOUR
from mainspring.observe.quality import Metric, expected_losses, judge_quality, paired_blocks
from mainspring.stats.columns import Floats
from mainspring.stats.metrics import brier, log_loss


def week(skew: float, *, days: int = 7, rows: int = 900, seed: int = 0) -> tuple[Floats, Floats, np.ndarray]:
    """Scores whose true odds are `skew` times theirs."""
    random = np.random.default_rng(seed)
    count = days * rows
    scores = random.beta(2, 6, count)
    odds = scores / (1 - scores) * skew
    target = (random.uniform(size=count) < odds / (1 + odds)).astype(np.float64)
    return target, scores, np.repeat(np.arange(days, dtype=np.int64) * DAY, rows)


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
def test_a_calibrated_model_keeps_its_promise_and_a_wrong_one_does_not(metric: Metric) -> None:
    fine, wrong = judge_quality(*week(1.0), metric=metric), judge_quality(*week(3.0), metric=metric)
    assert fine.judged
    assert not fine.worse
    assert wrong.worse
    assert wrong.excess > wrong.excess_low > wrong.margin


def test_a_hard_season_alone_is_no_signal() -> None:
    random = np.random.default_rng(4)
    scores = random.beta(5, 5, 7 * 900)
    target = (random.uniform(size=len(scores)) < scores).astype(np.float64)
    days = np.repeat(np.arange(7, dtype=np.int64) * DAY, 900)
    assert not judge_quality(target, scores, days).worse
    assert judge_quality(target, scores, days, baseline=0.45).worse


def test_the_values_are_the_metrics() -> None:
    target, scores, at = week(1.0)
    assert judge_quality(target, scores, at).value == pytest.approx(log_loss(target, scores))
    assert judge_quality(target, scores, at, metric="brier").value == pytest.approx(brier(target, scores))


def test_the_expected_loss_is_what_a_calibrated_model_loses() -> None:
    scores = np.array([0.2, 0.5, 0.0, 1.0])
    np.testing.assert_allclose(expected_losses("brier", scores), [0.16, 0.25, 0, 0], atol=1e-12)
    mean = -(0.2 * np.log(0.2) + 0.8 * np.log(0.8))
    np.testing.assert_allclose(expected_losses("log_loss", scores), [mean, np.log(2), 0, 0], atol=1e-12)


def test_few_rows_or_days_are_never_worse() -> None:
    assert not judge_quality(*week(4.0, days=4)).worse
    assert not judge_quality(*week(4.0, rows=50)).judged
    nothing = judge_quality(np.zeros(0), np.zeros(0), np.zeros(0, np.int64))
    assert not nothing.judged
    assert json.loads(canonical_json(nothing.to_json()))["value"] is None


def test_paired_blocks_leave_out_what_has_not_matured_or_was_not_scored() -> None:
    at = np.array([0, 1 * HOUR, 7 * HOUR, 8 * HOUR, 13 * HOUR], np.int64)
    target = np.array([1.0, 0.0, 1.0, 1.0, 0.0])
    old = np.full(5, 0.5)
    new = np.array([0.25, 0.5, 0.5, np.nan, 0.9])
    found = paired_blocks(target, new, old, at, block=6 * HOUR, until=12 * HOUR)
    assert [(one.block, one.rows) for one in found] == [(0, 2), (1, 1)]
    assert found[0].total == pytest.approx(np.log(2))
    assert paired_blocks(target, new, old, at, block=6 * HOUR, until=5 * HOUR) == ()
