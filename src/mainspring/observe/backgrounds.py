"""Rows that stand for what training saw, drawn from a reference profile: no training row is kept or shown."""

import numpy as np

from mainspring.observe.profiles import OUTPUT, ColumnReference, Reference
from mainspring.stats.columns import Array, Columns

_SEED = 0


def background(reference: Reference, rows: int) -> Columns:
    """Return `rows` rows whose every column is spread as in training, by name; columns are independent of each other.

    A number is the lower end of its bin, which is a value that training saw (a middle would be none: 0.5 of a flag); a
    text is the level itself, what is in no level is left out; null is null. Stratified: the i-th of n draws comes
    from the i-th n-th of the counts, so few rows stand for many.
    """
    random = np.random.default_rng(_SEED)
    places = (np.arange(rows) + 0.5) / rows
    return {
        column.name: random.permutation(_drawn(column, places))
        for column in reference.columns if column.name != OUTPUT
    }  # fmt: skip


def _drawn(column: ColumnReference, places: Array) -> Array:
    counts = column.expected.copy()
    if column.kind == "string":
        values = np.empty(column.bins, dtype=object)
        values[: len(column.levels)] = list(column.levels)
        counts[-2] = 0  # all other levels have no name
    else:
        values = np.full(column.bins, np.nan)
        if len(column.cuts):
            edges = column.edges
            values[:-1] = np.concatenate([edges[:1], edges])
            if len(edges) > 1:  # the first inner bin begins where training never was
                values[1] = edges[1]
    if not counts.sum():
        counts[-1] = 1
    return values[np.searchsorted(np.cumsum(counts) / counts.sum(), places)]
