"""Columns as the pandas frame that user functions take, rounded so that the exported graph sees the same values."""

import numpy as np
import pandas as pd

from mainspring.kernel.contract import Input
from mainspring.stats.columns import Array, Columns, Floats, blanked


def inputs_of(columns: Columns) -> tuple[Input, ...]:
    """Return each column's name and kind, in order."""
    return tuple(
        Input(name=name, kind="string" if values.dtype == object else "number") for name, values in columns.items()
    )


def rounded(columns: Columns) -> Columns:
    """Return columns as every model sees them: numbers rounded to float32, missing strings as ""."""
    return {name: blanked(values) if values.dtype == object else _floats(values) for name, values in columns.items()}


def frame_of(columns: Columns) -> pd.DataFrame:
    """Return a frame of rounded columns: numbers float64 with NaN for null, strings of dtype object."""
    kinds = {name: object if values.dtype == object else np.float64 for name, values in columns.items()}
    series = {name: pd.Series(values, dtype=kinds[name], copy=False) for name, values in columns.items()}
    return pd.DataFrame(series, copy=False)


def target_of(target: Floats) -> pd.Series:
    """Return the 0/1 target as int64."""
    return pd.Series(target.astype(np.int64), name="target")


def _floats(values: Array) -> Array:
    with np.errstate(over="ignore"):
        return values.astype(np.float32).astype(np.float64)
