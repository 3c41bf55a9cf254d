"""Evidence is right, complete, plain JSON, and honest about what is undefined."""

import json

import numpy as np
import pytest

from mainspring.develop import evidence
from mainspring.develop.errors import ChampionMismatch
from mainspring.develop.evidence import Judged
from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.times import DAY
from mainspring.stats.columns import Columns, Floats

RANDOM = np.random.default_rng(3)
ROWS = 2_000
SCORES = RANDOM.random(ROWS)
JUDGED = Judged(
    target=(RANDOM.random(ROWS) < SCORES).astype(np.float64), scores=SCORES, asked_at=RANDOM.integers(0, 10 * DAY, ROWS)
)
COLUMNS: Columns = {
    "v.kind": np.array(["a", "b", None], dtype=object)[RANDOM.integers(0, 3, ROWS)],
    "v.size": RANDOM.normal(size=ROWS),
    "w.size": RANDOM.normal(size=ROWS),
    "v.hour": RANDOM.integers(0, 24, ROWS).astype(np.float64),
}


def test_a_model_is_measured_with_intervals_by_day() -> None:
    found = evidence.measure(JUDGED)
    assert (found["rows"], found["days"]) == (ROWS, 10)
    assert set(found["metrics"]) == {"log_loss", "roc_auc", "pr_auc", "brier", "ece"}
    loss = found["intervals"]["log_loss"]
    assert loss["low"] < found["metrics"]["log_loss"] < loss["high"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_champion_is_compared_on_the_same_rows() -> None:
    same = evidence.compare(JUDGED, SCORES, "sha256:x", loss="log_loss", confidence=0.95)
    assert same["paired"]["difference"] == 0.0
    worse = evidence.compare(JUDGED, np.full(ROWS, 0.5), "sha256:x", loss="brier", confidence=0.9)
    assert worse["paired"]["upper"] < 0
    assert (worse["paired"]["metric"], worse["paired"]["confidence"], worse["paired"]["blocks"]) == ("brier", 0.9, 10)


def test_slices_cover_every_row_and_nulls_are_a_slice() -> None:
    found = evidence.slices(JUDGED, COLUMNS, ("kind", "v.hour"))
    assert set(found["kind"]) == {"a", "b", "(none)"}
    assert sum(part["rows"] for part in found["kind"].values()) == ROWS
    assert set(found["v.hour"]) == {str(hour) for hour in range(24)}
    assert 0 < found["kind"]["a"]["tpr"] <= 1


def test_a_slice_of_one_outcome_has_no_auc() -> None:
    one = Judged(target=np.zeros(2), scores=np.array([0.1, 0.9]), asked_at=np.zeros(2, dtype=np.int64))
    part = evidence.slices(one, {"v.x": np.array(["a", "a"], dtype=object)}, ("x",))["x"]["a"]
    assert (part["roc_auc"], part["tpr"], part["positive_rate"]) == (None, None, 0.5)


@pytest.mark.parametrize(("name", "what"), [("size", "names 2 features"), ("none", "names 0 features")])
def test_a_slice_must_name_one_feature(name: str, what: str) -> None:
    with pytest.raises(InvalidValue, match=what):
        evidence.slices(JUDGED, COLUMNS, (name,))


def test_a_column_of_too_many_values_is_no_slice() -> None:
    with pytest.raises(InvalidValue, match="at most 200"):
        evidence.slices(JUDGED, COLUMNS, ("v.size",))


def test_equality_counts_what_is_off_and_nan_is_off() -> None:
    found = evidence.equality(np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.2 + 1e-4, np.nan]))
    assert (found["rows"], found["worst"], found["off"]) == (3, None, 2)
    assert evidence.equality(np.zeros(0), np.zeros(0))["worst"] is None


def test_robustness_is_repeatable_and_falls_with_noise() -> None:
    def scorer(columns: Columns) -> Floats:
        return np.asarray(1 / (1 + np.exp(-4 * columns["v.size"])), np.float64)

    base = {"v.size": COLUMNS["v.size"], "v.kind": COLUMNS["v.kind"]}
    target = (COLUMNS["v.size"] > 0).astype(np.float64)
    judged = Judged(target=target, scores=scorer(base), asked_at=JUDGED.asked_at)
    little, much = (evidence.robustness(judged, base, scorer, epsilon) for epsilon in (0.01, 1.0))
    assert little == evidence.robustness(judged, base, scorer, 0.01)
    assert much["accuracy"] < little["accuracy"] <= little["clean"] == 1.0


def test_a_champion_of_other_features_is_told() -> None:
    with pytest.raises(ChampionMismatch, match=r"reads v\.gone"):
        evidence.require_features(["v.size", "v.gone"], COLUMNS, "sha256:x")
