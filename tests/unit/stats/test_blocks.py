"""Block intervals, paired differences and bootstraps: definitions, properties, coverage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from mainspring.kernel.errors import InvalidValue
from mainspring.stats.blocks import as_blocks, block_sums
from mainspring.stats.bootstrap import bootstrap_auc_difference, bootstrap_difference
from mainspring.stats.columns import Floats
from mainspring.stats.intervals import block_interval
from mainspring.stats.metrics import roc_auc
from mainspring.stats.paired import paired_difference

table = st.lists(st.tuples(st.floats(-5, 5), st.integers(0, 6)), min_size=1, max_size=60)


@given(table)
def test_block_sums_add_up_and_ignore_the_order_of_rows(rows: list[tuple[float, int]]) -> None:
    values, days = np.array([v for v, _ in rows]), np.array([d for _, d in rows])
    names, totals, counts = block_sums(values, days)
    again = block_sums(values[::-1], days[::-1])
    assert counts.sum() == len(rows)
    assert float(totals.sum()) == pytest.approx(float(values.sum()), abs=1e-9)
    np.testing.assert_allclose(again[1], totals, atol=1e-9)
    assert [b.block for b in as_blocks(values, days)] == names.tolist()


def test_equal_blocks_give_the_students_t_interval_of_their_means() -> None:
    random = np.random.default_rng(1)
    values, days = random.normal(size=120), np.repeat(np.arange(12), 10)
    found = block_interval(values, days, 0.9)
    means = values.reshape(12, 10).mean(axis=1)
    low, high = scipy_stats.t.interval(0.9, 11, loc=means.mean(), scale=scipy_stats.sem(means))
    assert found.low == pytest.approx(low)
    assert found.high == pytest.approx(high)


@given(table)
def test_an_interval_holds_its_mean_and_grows_with_confidence(rows: list[tuple[float, int]]) -> None:
    values, days = np.array([v for v, _ in rows]), np.array([d for _, d in rows])
    narrow, wide = block_interval(values, days, 0.8), block_interval(values, days, 0.99)
    assert wide.low <= narrow.low <= narrow.mean <= narrow.high <= wide.high
    if narrow.blocks == 1:
        assert math.isinf(narrow.high)


def test_intervals_cover_correlated_days_where_row_intervals_do_not() -> None:
    random = np.random.default_rng(7)
    by_day = by_row = 0
    days = np.repeat(np.arange(14), 50)
    for _ in range(400):
        values = random.normal(size=700) + np.repeat(random.normal(scale=0.3, size=14), 50)
        found = block_interval(values, days)
        by_day += found.low <= 0 <= found.high
        by_row += abs(values.mean()) <= 1.96 * values.std() / math.sqrt(700)
    assert by_day >= 370
    assert by_row <= 300


def test_swapping_the_models_turns_the_difference_round() -> None:
    random = np.random.default_rng(2)
    new, old, days = random.uniform(size=90), random.uniform(size=90), np.repeat(np.arange(9), 10)
    found, turned = paired_difference(new, old, days), paired_difference(old, new, days)
    assert found.difference == pytest.approx(-turned.difference)
    assert found.low == pytest.approx(-turned.high)
    assert found.difference < found.upper < found.high


def test_one_day_bounds_nothing_and_its_json_says_so() -> None:
    found = paired_difference(np.array([0.2, 0.3]), np.array([0.1, 0.1]), np.array([5, 5]))
    assert math.isinf(found.upper)
    assert found.to_json() == {
        "difference": pytest.approx(0.15), "low": None, "high": None, "upper": None, "blocks": 1, "rows": 2,
    }  # fmt: skip


def test_values_that_do_not_pair_or_are_not_finite_are_refused() -> None:
    with pytest.raises(InvalidValue, match="do not pair"):
        paired_difference(np.zeros(3), np.zeros(2), np.zeros(3))
    with pytest.raises(InvalidValue, match="do not pair"):
        block_interval(np.zeros(3), np.zeros(2))
    with pytest.raises(InvalidValue, match="finite"):
        block_interval(np.array([np.nan]), np.array([1]))
    with pytest.raises(InvalidValue, match="confidence"):
        block_interval(np.zeros(3), np.zeros(3), 1.0)


def test_the_bootstrap_agrees_with_the_t_interval_on_many_days_and_is_seeded() -> None:
    random = np.random.default_rng(5)
    days = np.repeat(np.arange(60), 30)
    old = random.uniform(size=1800)
    new = old + random.normal(0.02, 0.2, size=1800)
    found, again = bootstrap_difference(new, old, days), bootstrap_difference(new, old, days)
    by_t = paired_difference(new, old, days)
    assert found == again
    assert found.low == pytest.approx(by_t.low, abs=2e-3)
    assert found.high == pytest.approx(by_t.high, abs=2e-3)


def test_a_better_ranking_shows_in_the_auc_bootstrap() -> None:
    random = np.random.default_rng(6)
    target = (random.uniform(size=2000) < 0.3).astype(float)
    days = np.repeat(np.arange(20), 100)
    good, poor = target + random.normal(size=2000), target * 0.2 + random.normal(size=2000)
    found = bootstrap_auc_difference(target, good, poor, days)
    assert found.difference == pytest.approx(roc_auc(target, _unit(good)) - roc_auc(target, _unit(poor)))
    assert 0 < found.low < found.difference < found.high
    with pytest.raises(InvalidValue, match="resampled"):
        bootstrap_difference(good, poor, np.zeros(2000))


def _unit(scores: Floats) -> Floats:
    unit: Floats = (scores - scores.min()) / (scores.max() - scores.min())
    return unit
