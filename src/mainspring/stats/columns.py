"""A table as plain arrays: `Columns` maps a name to a 1-D array, all of one length.

Numbers are float64 with NaN for null, strings are object arrays of str or None, times are int64 UTC microseconds.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Columns = dict[str, Array]


def length(columns: Columns) -> int:
    """Return the number of rows; 0 for no columns."""
    return len(next(iter(columns.values()))) if columns else 0


def take(columns: Columns, rows: Array) -> Columns:
    """Return the rows picked by a mask or an index array."""
    return {name: values[rows] for name, values in columns.items()}


def blanked(values: Array) -> Array:
    """Return strings with null as "": what every model is trained and asked with. `values` is not changed."""
    missing = np.asarray(values == None)  # noqa: E711 - elementwise
    if not missing.any():
        return values
    filled = values.copy()
    filled[missing] = ""
    return filled


def is_null(values: Array) -> NDArray[np.bool_]:
    """Tell which values are null: NaN in numbers, None in strings."""
    if values.dtype == object:
        return np.fromiter((value is None for value in values), dtype=np.bool_, count=len(values))
    if values.dtype.kind == "f":
        return np.isnan(values)
    return np.zeros(len(values), dtype=np.bool_)
