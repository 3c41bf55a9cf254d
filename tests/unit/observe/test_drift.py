"""Drift and faults: every detector under one suite, the judgement told apart."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from mainspring.kernel.digests import canonical_json
from mainspring.kernel.errors import InvalidValue
from mainspring.observe.drift.detector import Detector, Kind
from mainspring.observe.drift.judgement import DETECTORS, find_detector, judge_drift
from mainspring.observe.plans import DriftRule
from mainspring.observe.profiles import Reference, profile
from mainspring.observe.references import reference_profile
from mainspring.stats.columns import Array, Columns, Floats

World = Callable[..., tuple[Columns, Array, Floats]]
Change = Callable[[Columns, np.ndarray], tuple[Columns, np.ndarray]]
CASES = [(detector, kind) for detector in DETECTORS for kind in detector.kinds]


@pytest.mark.parametrize(("detector", "kind"), CASES, ids=lambda case: getattr(case, "name", case))
class TestEveryDetector:
    """The contract."""

    def test_equal_shares_are_no_drift_whatever_their_size(self, detector: Detector, kind: Kind) -> None:
        counts = np.array([0, 400, 300, 300, 0, 0])
        found = detector.measure(kind, counts, counts * 1000)
        assert found.value == pytest.approx(0.0, abs=1e-3)
        assert found.value <= detector.threshold(0.0)
        assert 0 <= found.p <= 1

    def test_its_threshold_is_at_least_its_floor_and_grows_with_what_is_usual(
        self, detector: Detector, kind: Kind
    ) -> None:
        assert detector.threshold(0.0) >= detector.floor > 0
        assert detector.threshold(0.5) >= 0.5

    def test_counts_are_not_changed(self, detector: Detector, kind: Kind) -> None:
        before, now = np.array([1, 5, 9, 2, 0, 3]), np.array([2, 0, 4, 9, 1, 1])
        kept = before.copy(), now.copy()
        detector.measure(kind, before, now)
        np.testing.assert_array_equal(before, kept[0])
        np.testing.assert_array_equal(now, kept[1])

    def test_an_empty_window_shows_nothing(self, detector: Detector, kind: Kind) -> None:
        found = detector.measure(kind, np.array([0, 4, 4, 0, 1]), np.zeros(5))
        assert (found.value, found.p) == (0.0, 1.0)

    def test_many_windows_at_once_have_the_values_of_each(self, detector: Detector, kind: Kind) -> None:
        now = np.random.default_rng(3).integers(0, 40, (30, 7))
        now[4], now[5, :-1], now[6, 1:] = 0, 0, 0
        before = np.vstack([now[1:], now[:1]])
        found = [detector.measure(kind, old, new).value for old, new in zip(before, now, strict=True)]
        np.testing.assert_allclose(detector.each(kind, before, now), found, rtol=1e-12)

    def test_everything_elsewhere_is_over_any_threshold_it_learnt_in_calm(self, detector: Detector, kind: Kind) -> None:
        moved = np.array([0, 0, 0, 0, 900, 900])
        found = detector.measure(kind, np.array([0, 400, 300, 300, 0, 0]), moved)
        assert found.value > detector.threshold(0.02)


def test_a_detector_is_found_by_name() -> None:
    assert find_detector("psi").tells == "drift"
    with pytest.raises(InvalidValue, match="use one of: psi, ks"):
        find_detector("pis")


def _same(columns: Columns, scores: np.ndarray) -> tuple[Columns, np.ndarray]:
    return columns, scores


def _shifted(columns: Columns, scores: np.ndarray) -> tuple[Columns, np.ndarray]:
    return {**columns, "wind": columns["wind"] + 3}, scores


def _mixed(columns: Columns, scores: np.ndarray) -> tuple[Columns, np.ndarray]:
    carrier = np.where(np.arange(len(scores)) % 2 == 0, "AA", columns["carrier"]).astype(object)
    return {**columns, "carrier": carrier}, scores


def _scored(columns: Columns, scores: np.ndarray) -> tuple[Columns, np.ndarray]:
    return columns, np.clip(scores + 0.15, 0, 1)


def _nulls(columns: Columns, scores: np.ndarray) -> tuple[Columns, np.ndarray]:
    wind = np.where(np.arange(len(scores)) % 3 == 0, np.nan, columns["wind"])
    return {**columns, "wind": wind}, scores


def _units(columns: Columns, scores: np.ndarray) -> tuple[Columns, np.ndarray]:
    return {**columns, "wind": columns["wind"] * 1.609 * 10}, scores


def _levels(columns: Columns, scores: np.ndarray) -> tuple[Columns, np.ndarray]:
    carrier = np.array([None if c is None else c.lower() for c in columns["carrier"]], dtype=object)
    return {**columns, "carrier": carrier}, scores


def _absent(columns: Columns, scores: np.ndarray) -> tuple[Columns, np.ndarray]:
    return {"wind": columns["wind"]}, scores


@pytest.mark.parametrize(
    ("change", "drifted", "output", "faults"),
    [
        (_same, (), False, []),
        (_shifted, ("wind",), False, []),
        (_mixed, ("carrier",), False, []),
        (_scored, (), True, []),
        (_nulls, (), False, [("wind", "missing")]),
        (_units, (), False, [("wind", "novelty")]),
        (_levels, (), False, [("carrier", "novelty")]),
        (_absent, (), False, [("carrier", "missing")]),
    ],
)
def test_a_window_is_judged_for_what_happened_to_it(
    world: World,
    reference: Reference,
    change: Change,
    drifted: tuple[str, ...],
    output: bool,
    faults: list[tuple[str, str]],
) -> None:
    columns, _, scores = world(7, seed=9)
    found = judge_drift(reference, profile(reference, *change(columns, scores)), DriftRule())
    assert found.judged
    assert found.drifted == drifted
    assert found.output_drifted == output
    assert [(fault.column, fault.detector) for fault in found.faults] == faults
    assert all(fault.column in fault.what for fault in found.faults)
    json.loads(canonical_json(found.to_json()))


def test_a_few_rows_are_not_judged(world: World, reference: Reference) -> None:
    columns, _, scores = world(2, shift=50)
    found = judge_drift(reference, profile(reference, columns, scores), DriftRule())
    assert not found.judged
    assert found.drifted == ()
    assert not found.output_drifted


def test_a_fixed_threshold_is_honoured_and_significance_still_needed(world: World, reference: Reference) -> None:
    columns, _, scores = world(7, seed=9, shift=0.8)
    window = profile(reference, columns, scores)
    assert judge_drift(reference, window, DriftRule(above=1.0)).drifted == ()
    assert judge_drift(reference, window, DriftRule(above=0.02)).drifted == ("wind",)
    calm = profile(reference, *world(7, seed=10)[::2])
    assert judge_drift(reference, calm, DriftRule(above=1e-9)).drifted == ()


def test_a_trivial_shift_in_a_million_rows_is_quiet(world: World, reference: Reference) -> None:
    columns, _, scores = world(7, seed=11, shift=0.15, rows=20_000)
    found = judge_drift(reference, profile(reference, columns, scores), DriftRule())
    wind = found.columns[0]
    assert wind.p < 1e-3
    assert not wind.drifted


def test_a_season_that_training_saw_is_usual(world: World, reference: Reference) -> None:
    columns, at, scores = world(120)
    season = 4 * np.sin(2 * np.pi * at / (60 * 86_400_000_000))
    seasonal = reference_profile({**columns, "wind": columns["wind"] + season}, at, scores)
    warm, _, warm_scores = world(7, seed=12, shift=3.0)
    assert judge_drift(seasonal, profile(seasonal, warm, warm_scores), DriftRule()).drifted == ()
    assert judge_drift(reference, profile(reference, warm, warm_scores), DriftRule()).drifted == ("wind",)


def test_a_window_of_another_model_is_refused(world: World, reference: Reference) -> None:
    columns, at, scores = world(20)
    other = reference_profile(columns, at, scores)
    with pytest.raises(InvalidValue):
        judge_drift(reference, profile(other, columns, scores), DriftRule())
