"""Rows drawn from a reference profile are spread as training was."""

import numpy as np

from mainspring.observe.backgrounds import background
from mainspring.observe.references import reference_profile
from mainspring.stats.columns import Array


def _rows() -> tuple[dict[str, Array], Array]:
    random = np.random.default_rng(3)
    number = random.normal(10.0, 2.0, 4_000)
    number[::10] = np.nan
    text = np.array(["AA", "BB", "BB", "BB"] * 1_000, dtype=object)
    text[::8] = None
    return {"x": number, "t": text, "same": np.full(4_000, 2.5)}, np.arange(4_000) * 600_000_000


def test_columns_are_spread_as_in_training() -> None:
    columns, at = _rows()
    drawn = background(reference_profile(columns, at, np.full(4_000, 0.5)), 200)
    assert list(drawn) == ["x", "t", "same"]
    known = drawn["x"][np.isfinite(drawn["x"])]
    assert abs(np.isnan(drawn["x"]).mean() - 0.1) < 0.02
    assert abs(known.mean() - 10.0) < 0.2
    assert 1.5 < known.std() < 2.5
    assert known.min() >= np.nanmin(columns["x"]) - 1
    shares = {level: np.mean(drawn["t"] == level) for level in ("AA", "BB", None)}
    assert abs(shares["AA"] - 0.125) < 0.03
    assert abs(shares["BB"] - 0.75) < 0.03
    assert drawn["same"].tolist() == [2.5] * 200


def test_the_draw_is_the_same_every_time_and_columns_are_independent() -> None:
    columns, at = _rows()
    columns["y"] = columns["x"].copy()
    reference = reference_profile(columns, at, np.full(4_000, 0.5))
    once, again = background(reference, 64), background(reference, 64)
    assert np.array_equal(once["x"], again["x"], equal_nan=True)
    both = np.isfinite(once["x"]) & np.isfinite(once["y"])
    assert abs(np.corrcoef(once["x"][both], once["y"][both])[0, 1]) < 0.4
