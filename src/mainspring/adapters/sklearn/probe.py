"""Rows on which a converted model would show that it differs, with the original estimator's answers.

Holdout rows; then rows with one number set exactly on, just below and just above each split threshold of the trees
inside (found by walking the estimator), or on quantiles where no tree reads the column; then rows with a value
never seen, or missing where training had missing values (elsewhere estimators answer a null arbitrarily, and
watching reports it as a data fault). A row on which the original itself fails is left out.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from mainspring.adapters.sklearn.boosted import split_points
from mainspring.adapters.sklearn.pandas_frames import frame_of
from mainspring.stats.columns import Array, Columns, Floats, length, take

HOLDOUT_ROWS = 2_000
THRESHOLDS = 60
_MATCH_ROWS = 500
_QUANTILES = np.linspace(0.01, 0.99, 15)
_UNSEEN = "\N{REPLACEMENT CHARACTER}unseen"


def probe(estimator: Any, columns: Columns, nullable: Collection[str]) -> tuple[Columns, Floats]:  # noqa: ANN401
    """Return (rows, original answers).

    columns: holdout rows, rounded; at most 2,000 of them are used, evenly. nullable: number columns in which
    training had missing values.
    """
    base = _spread(columns, HOLDOUT_ROWS)
    edges = _edges(estimator, base)
    usual = _stacked([base, _beside(base, edges)])
    odd = [_odd(base, name) for name, values in base.items() if values.dtype == object or name in nullable]
    rows = _stacked([usual, *odd])
    try:
        return rows, positive(estimator, rows)
    except ValueError:
        return _answered(estimator, usual, odd)


def _answered(estimator: Any, usual: Columns, odd: Sequence[Columns]) -> tuple[Columns, Floats]:  # noqa: ANN401
    """Return all rows but the odd ones that the original refuses: there is no answer to compare with."""
    parts, scores = [usual], [positive(estimator, usual)]
    for part in odd:
        try:
            scores.append(positive(estimator, part))
        except ValueError:
            continue
        parts.append(part)
    return _stacked(parts), np.concatenate(scores)


def positive(estimator: Any, columns: Columns) -> Floats:  # noqa: ANN401 - any estimator
    """Return the estimator's P(positive) as float64."""
    return np.asarray(estimator.predict_proba(frame_of(columns))[:, 1], np.float64)


def thresholds(estimator: Any, matrix: Any) -> Iterator[tuple[Array, dict[int, Array]]]:  # noqa: ANN401
    """Yield (matrix that trees read, column -> thresholds) for every tree model inside an estimator."""
    if hasattr(estimator, "steps"):
        last = estimator.steps[-1][1]
        before = estimator[:-1].transform(matrix) if len(estimator.steps) > 1 else matrix
        yield from thresholds(last, before)
    elif (points := split_points(estimator)) is not None:
        yield matrix, points
    elif hasattr(estimator, "_predictors"):
        trees = [tree.nodes for group in estimator._predictors for tree in group]
        nodes = np.concatenate([tree[tree["is_leaf"] == 0] for tree in trees])
        yield matrix, _by_column(nodes["feature_idx"], nodes["num_threshold"])
    elif hasattr(estimator, "tree_"):
        split = estimator.tree_.feature >= 0
        yield matrix, _by_column(estimator.tree_.feature[split], estimator.tree_.threshold[split])
    else:
        for inner in _inside(estimator):
            yield from thresholds(inner, matrix)


def _inside(estimator: Any) -> list[Any]:  # noqa: ANN401 - any estimator
    calibrated = getattr(estimator, "calibrated_classifiers_", None)
    if calibrated is not None:
        return [item.estimator for item in calibrated]
    found = getattr(estimator, "estimators_", None)
    return [] if found is None else list(np.asarray(found, dtype=object).ravel())


def _by_column(columns: Array, values: Array) -> dict[int, Array]:
    return {int(column): np.unique(values[columns == column]) for column in np.unique(columns)}


def _edges(estimator: Any, base: Columns) -> dict[str, Array]:  # noqa: ANN401 - any estimator
    sample = _spread(base, _MATCH_ROWS)
    edges = {name: _quantiles(values) for name, values in base.items() if values.dtype != object}
    for matrix, found in thresholds(estimator, frame_of(sample)):
        values = np.asarray(matrix)
        for column, cuts in found.items():
            source = _source(values[:, column], sample)
            if source:
                finite = cuts[np.isfinite(cuts)]
                edges[source] = np.unique(np.concatenate([edges[source], _spread_values(finite, THRESHOLDS)]))
    return edges


def _source(values: Array, sample: Columns) -> str:
    """Name the raw number column that a transformed one is equal to, or "" for an encoded one."""
    for name, raw in sample.items():
        if raw.dtype != object and np.array_equal(raw, values.astype(np.float64), equal_nan=True):
            return name
    return ""


def _quantiles(values: Array) -> Array:
    known = values[np.isfinite(values)]
    return np.quantile(known, _QUANTILES) if len(known) else np.zeros(1)


def _beside(base: Columns, edges: dict[str, Array]) -> Columns:
    parts = []
    for place, (name, cuts) in enumerate(edges.items()):
        on = cuts.astype(np.float32)
        values = np.concatenate([np.nextafter(on, np.float32(-np.inf)), on, np.nextafter(on, np.float32(np.inf))])
        rows = (np.arange(len(values)) * 7 + place) % length(base)
        parts.append({**take(base, rows), name: values.astype(np.float64)})
    if not parts:
        return take(base, np.arange(0))
    return {name: np.concatenate([part[name] for part in parts]) for name in base}


def _stacked(parts: Sequence[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _odd(base: Columns, name: str) -> Columns:
    rows = take(base, np.arange(min(3, length(base))))
    if base[name].dtype == object:
        rows[name] = np.array(["", _UNSEEN, _UNSEEN][: length(rows)], dtype=object)
    else:
        rows[name] = np.full(length(rows), np.nan)
    return rows


def _spread(columns: Columns, most: int) -> Columns:
    count = length(columns)
    return take(columns, np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.intp)))


def _spread_values(values: Array, most: int) -> Array:
    return values[np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).astype(np.intp))]
