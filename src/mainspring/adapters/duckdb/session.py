"""A private DuckDB: UTC, no downloads, bounded memory, its own folder for what does not fit; and numpy in and out."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import numpy as np

from mainspring.stats.columns import Array, Columns

MEMORY = "1GB"


@contextmanager
def session() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an empty in-memory database; it and its folder are gone at the end."""
    with tempfile.TemporaryDirectory(prefix="mainspring-") as folder:
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY,
            "temp_directory": folder,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        with duckdb.connect(":memory:", config=config) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection


def fetch(connection: duckdb.DuckDBPyConnection, sql: str) -> Columns:
    """Return a query's answer: DOUBLE as float64, BIGINT as int64, text as objects, times as datetime64[us].

    Integers with nulls and bools are float64.
    """
    return {name: _array(np.ma.asarray(values)) for name, values in connection.execute(sql).fetchnumpy().items()}


def _array(values: Array) -> Array:
    mask = np.ma.getmaskarray(values)
    plain = np.ma.getdata(values)
    if plain.dtype.kind in "fb" or (plain.dtype.kind in "iu" and mask.any()):
        return np.where(mask, np.nan, plain.astype(np.float64))
    if plain.dtype.kind == "M":
        return np.where(mask, np.datetime64("NaT"), plain.astype("datetime64[us]"))
    if plain.dtype.kind != "O":
        return plain
    found = plain.copy()
    found[mask] = None
    return found
