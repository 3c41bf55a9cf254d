"""Always-valid tests: error rates under continuous looking, power, hard edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.kernel.errors import InvalidValue
from mainspring.stats.sequential import harm_evidence, rate_evidence


def _ever(means: list[float], level: float) -> bool:
    return any(harm_evidence(means[:n]) >= 1 / level for n in range(1, len(means) + 1))


def test_equal_models_are_almost_never_called_worse_however_often_one_looks() -> None:
    random = np.random.default_rng(11)
    alarms = sum(_ever(random.normal(size=40).tolist(), 0.05) for _ in range(400))
    assert alarms <= 32


def test_a_better_model_is_called_worse_even_more_rarely() -> None:
    random = np.random.default_rng(12)
    assert sum(_ever(random.normal(-0.5, size=40).tolist(), 0.05) for _ in range(200)) <= 5


def test_a_clearly_worse_model_is_found_within_a_few_blocks() -> None:
    random = np.random.default_rng(13)
    found = sum(_ever(random.normal(2.0, size=10).tolist(), 0.01) for _ in range(100))
    assert found >= 90


@given(st.lists(st.floats(-10, 10), max_size=20), st.floats(0.01, 100))
def test_the_unit_of_the_loss_does_not_matter(means: list[float], unit: float) -> None:
    kept = [m for m in means if abs(m) > 1e-3]
    assert harm_evidence([m * unit for m in kept]) == pytest.approx(harm_evidence(kept), rel=1e-6)


def test_a_margin_moves_the_question() -> None:
    worse = [0.02, 0.021, 0.019, 0.02, 0.022, 0.018]
    assert harm_evidence(worse) > 100
    assert harm_evidence(worse, margin=0.02) < 5
    assert harm_evidence([]) == 1.0
    assert harm_evidence([0.0, 0.0]) == 1.0
    assert np.isfinite(harm_evidence([1.0] * 500))


def test_a_tolerated_failure_rate_rarely_raises_an_alarm() -> None:
    random = np.random.default_rng(14)
    alarms = 0
    for _ in range(300):
        failed = np.cumsum(random.uniform(size=1500) < 0.01)
        looks = np.arange(25, 1501, 25)
        alarms += any(rate_evidence(int(failed[n - 1]), int(n), 0.01) >= 100 for n in looks)
    assert alarms <= 6


@pytest.mark.parametrize(("rate", "within"), [(1.0, 20), (0.21, 100), (0.03, 1000)])
def test_failures_above_the_tolerance_are_found_in_time(rate: float, within: int) -> None:
    assert rate_evidence(round(rate * within), within, 0.01) >= 1000


@given(st.integers(0, 300), st.integers(0, 300), st.floats(0, 0.9))
def test_one_more_failure_is_never_better_news(failures: int, fine: int, tolerated: float) -> None:
    trials = failures + fine + 1
    assert rate_evidence(failures + 1, trials, tolerated) >= rate_evidence(failures, trials, tolerated) * (1 - 1e-9)


def test_impossible_questions_are_refused() -> None:
    with pytest.raises(InvalidValue):
        rate_evidence(3, 2, 0.01)
    with pytest.raises(InvalidValue):
        harm_evidence([1.0], scale=0.0)
    assert rate_evidence(1, 50, 0.0) == float("inf")
    assert rate_evidence(0, 50, 0.0) < 1
