"""Columns to Parquet and back through DuckDB, and the one join that steps need.

Strings of few distinct values are read as codes into their list, so equal texts share one object: 336,776 rows of
five string columns take 13 MB instead of 100. The last large table read is kept, for a warm worker trains again and
again on one snapshot; a file in a content store never changes, so its path is its identity.
"""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from mainspring.kernel.errors import Damaged, InvalidValue
from mainspring.stats.columns import Array, Columns, length

_ROW_GROUP = 122_880
_LARGE = 2_000_000
_FEW = 5_000
_EXAMPLES = """
WITH known AS (
    SELECT key, asked_at, arg_max(value, known_at) AS value, max(known_at) AS known_at
    FROM read_parquet($targets) WHERE known_at <= $end AND asked_at >= $start AND asked_at < $end
    GROUP BY key, asked_at
)
SELECT f.file_row_number AS row, f.asked_at, known.value, known.known_at
FROM read_parquet($features, file_row_number = true) AS f JOIN known USING (key, asked_at)
WHERE f.asked_at >= $start AND f.asked_at < $end ORDER BY row
"""


class ParquetFrames:
    """Reads and writes tables. keep: how many large tables stay in memory; 0 in a process that reads once."""

    def __init__(self, *, keep: int = 1) -> None:
        self._keep = keep
        self._kept: OrderedDict[Path, Columns] = OrderedDict()

    def read(self, path: Path) -> Columns:
        """Return every column of a file; numbers as float64 (int64 where the file has BIGINT), strings as objects."""
        if path in self._kept:
            self._kept.move_to_end(path)
            return dict(self._kept[path])
        with duckdb.connect() as connection:
            columns = _read(connection, path)
        if self._keep and len(columns) * length(columns) >= _LARGE:
            self._remember(path, columns)
        return dict(columns)

    def write(self, path: Path, columns: Columns) -> None:
        """Write columns to a new file on one thread, so that equal columns make equal bytes."""
        with duckdb.connect(config={"threads": 1}) as connection:
            connection.register("given", {name: _plain(name, values) for name, values in columns.items()})
            target = f"'{_quoted(path)}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP})"
            texts = [name for name, values in columns.items() if values.dtype == object]
            casts = ", ".join(f'"{_name(name)}"::VARCHAR AS "{_name(name)}"' for name in texts)
            chosen = f"* REPLACE ({casts})" if casts else "*"
            connection.execute(f"COPY (SELECT {chosen} FROM given) TO {target}")  # noqa: S608 - quoted above

    def examples(self, features: Path, targets: Path, span: tuple[int, int]) -> Columns:
        """Return {row, asked_at, value, known_at}: the last version of each outcome known by the end of the span."""
        with duckdb.connect() as connection:
            given = {"features": str(features), "targets": str(targets), "start": span[0], "end": span[1]}
            found = connection.execute(_EXAMPLES, given).fetchnumpy()
        kinds = {"row": np.int64, "asked_at": np.int64, "value": np.float64, "known_at": np.int64}
        return {name: np.asarray(found[name], kind) for name, kind in kinds.items()}

    def _remember(self, path: Path, columns: Columns) -> None:
        for values in columns.values():
            values.setflags(write=False)
        self._kept[path] = columns
        while len(self._kept) > self._keep:
            self._kept.popitem(last=False)


def _read(connection: duckdb.DuckDBPyConnection, path: Path) -> Columns:
    source = f"read_parquet('{_quoted(path)}')"
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()  # noqa: S608 - quoted above
    except duckdb.Error as error:
        raise Damaged(f"{path.name} is not a Parquet file: {error}", fix="delete it; the step runs again") from error
    kinds = {str(row[0]): str(row[1]) for row in described}
    texts = [name for name, kind in kinds.items() if kind == "VARCHAR"]
    levels = {name: found for name in texts if len(found := _levels(connection, source, name)) <= _FEW}
    wanted = []
    for place, (name, kind) in enumerate(kinds.items()):
        column = f'"{_name(name)}"'
        if name in levels:
            connection.execute(f"CREATE TYPE e{place} AS ENUM (SELECT unnest($1))", [list(levels[name]) or [""]])
            column = f"coalesce(enum_code({column}::e{place})::INTEGER, -1)"
        elif kind not in ("BIGINT", "VARCHAR"):
            column = f"{column}::DOUBLE"
        wanted.append(f'{column} AS "{_name(name)}"')
    arrays = connection.execute(f"SELECT {', '.join(wanted)} FROM {source}").fetchnumpy()  # noqa: S608 - quoted above
    return {name: _array(np.ma.asanyarray(arrays[name]), levels.get(name)) for name in kinds}


def _levels(connection: duckdb.DuckDBPyConnection, source: str, name: str) -> Array:
    column = f'"{_name(name)}"'
    sql = f"SELECT DISTINCT {column} FROM {source} WHERE {column} IS NOT NULL LIMIT {_FEW + 1}"  # noqa: S608 - quoted
    return np.array(sorted(row[0] for row in connection.execute(sql).fetchall()), dtype=object)


def _array(values: np.ma.MaskedArray[Any, Any], levels: Array | None) -> Array:
    if levels is not None:
        texts: Array = np.array([*levels, None], dtype=object)
        return np.asarray(texts[np.asarray(values)])  # code -1 picks the null at the end
    if values.dtype == object:
        found: Array = values.data.copy()
        found[np.ma.getmaskarray(values)] = None
        return found
    if values.dtype.kind == "f":
        return np.asarray(values.filled(np.nan))
    if np.ma.is_masked(values):
        raise Damaged("a column of whole numbers has nulls", fix="delete the file; the step runs again")
    return np.asarray(values)


def _plain(name: str, values: Array) -> Array:
    if values.dtype == object or values.dtype in (np.dtype(np.float64), np.dtype(np.int64)):
        return np.ascontiguousarray(values)
    raise InvalidValue(f"column {name!r} has type {values.dtype}", fix="use float64, int64 or str objects")


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _name(name: str) -> str:
    return name.replace('"', '""')
