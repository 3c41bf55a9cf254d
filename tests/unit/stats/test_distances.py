"""PSI, KS and false-discovery control against their definitions and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from mainspring.kernel.errors import InvalidValue
from mainspring.stats.discovery import benjamini_hochberg
from mainspring.stats.ks import ks
from mainspring.stats.psi import psi, psi_p_value

counts = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=30)


@given(counts)
def test_psi_is_symmetric_and_never_negative(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    assert psi(first, second) >= -1e-12
    assert psi(first, second) == pytest.approx(psi(second, first), abs=1e-12)
    assert 0 <= psi_p_value(psi(first, second), first, second) <= 1
    distance, p = ks(first, second)
    assert 0 <= distance <= 1 + 1e-12
    assert 0 <= p <= 1


def test_psi_of_equal_distributions_has_about_uniform_p_values() -> None:
    random = np.random.default_rng(8)
    low = 0
    for _ in range(400):
        first, second = random.multinomial(4000, [0.1] * 10), random.multinomial(1000, [0.1] * 10)
        low += psi_p_value(psi(first, second), first, second) < 0.05
    assert 8 <= low <= 36


def test_the_distance_at_every_value_is_the_exact_two_sample_distance() -> None:
    random = np.random.default_rng(9)
    first, second = random.integers(0, 30, 900), random.integers(2, 32, 700)
    found, p = ks(np.bincount(first, minlength=32), np.bincount(second, minlength=32))
    exact = scipy_stats.ks_2samp(first, second, method="asymp")
    assert found == pytest.approx(float(exact.statistic), abs=1e-12)
    assert p == pytest.approx(float(scipy_stats.kstwobign.sf(found * np.sqrt(900 * 700 / 1600))), rel=1e-6)


def test_an_empty_side_shows_no_drift() -> None:
    assert psi(np.zeros(4), np.ones(4)) == 0.0
    assert psi_p_value(0.0, np.zeros(4), np.ones(4)) == 1.0
    assert ks(np.zeros(4), np.ones(4)) == (0.0, 1.0)


@given(st.lists(st.floats(0, 1), max_size=40), st.floats(0.001, 0.5))
def test_rejections_equal_scipy_adjusted_p_values(p_values: list[float], level: float) -> None:
    found = benjamini_hochberg(np.array(p_values), level)
    adjusted = scipy_stats.false_discovery_control(p_values) if p_values else np.zeros(0)
    clear = np.abs(adjusted - level) > 1e-9
    np.testing.assert_array_equal(found[clear], (adjusted <= level)[clear])


def test_a_level_outside_zero_and_one_is_refused() -> None:
    with pytest.raises(InvalidValue):
        benjamini_hochberg(np.zeros(2), 1.0)
