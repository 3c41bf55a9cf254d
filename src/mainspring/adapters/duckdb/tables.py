"""Sources as typed temporary tables: one shape whatever the Parquet files hold.

A loaded table has `key`, `e` (event time), `tie`, one `k.<name>` a known time (all BIGINT microseconds but the key) and
`c.<name>` a column: DOUBLE that is finite or null, VARCHAR, TIMESTAMP in UTC, or BOOLEAN.
"""

# ruff: noqa: S608 - every name and literal goes through `quoted` and `text_literal`

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb

from mainspring.data.expressions import ColumnType, quoted, text_literal
from mainspring.data.ports import ALWAYS
from mainspring.data.views import Source
from mainspring.kernel.errors import InvalidValue

_TYPES: Mapping[str, ColumnType] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL"), "number"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), "number"),
    **dict.fromkeys(("VARCHAR", "ENUM", "UUID"), "string"),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "DATE"), "time"),
    **dict.fromkeys(("TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "time"),
    "BOOLEAN": "bool",
}


def column(name: str) -> str:
    """Return the SQL name of a source's column in a loaded table."""
    return quoted(f"c.{name}")


def scan(paths: Sequence[Path]) -> str:
    """Return SQL that reads Parquet files as one table."""
    if not paths:
        raise InvalidValue("a source has no files", fix="take a snapshot of it")
    return f"read_parquet([{', '.join(text_literal(str(path)) for path in paths)}])"


def raw_types(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> dict[str, str]:
    """Return the DuckDB type of every column that can be used; others are left out."""
    described = connection.execute(f"DESCRIBE SELECT * FROM {scan(paths)}").fetchall()
    plain = {name: str(kind).partition("(")[0] for name, kind, *_ in described}
    return {name: kind for name, kind in plain.items() if kind in _TYPES}


def column_types(raw: Mapping[str, str]) -> dict[str, ColumnType]:
    """Return "number", "string", "time" or "bool" for DuckDB types."""
    return {name: _TYPES[kind] for name, kind in raw.items()}


def typed(name: str, raw: str) -> str:
    """Return SQL for a raw column in the one form of its type."""
    sql = quoted(name)
    kind = _TYPES[raw]
    if kind == "number":
        return f"CASE WHEN isfinite(CAST({sql} AS DOUBLE)) THEN CAST({sql} AS DOUBLE) END"
    if kind == "time":
        return f"timezone('UTC', {sql})" if raw == "TIMESTAMP WITH TIME ZONE" else f"CAST({sql} AS TIMESTAMP)"
    return f"CAST({sql} AS VARCHAR)" if kind == "string" else sql


def load(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    source: Source,
    files: tuple[str, Mapping[str, str]],
    columns: Iterable[str],
    between: tuple[int, int] | None = None,
) -> bool:
    """Make the temporary table `name` of a source's rows with `columns`; tell whether it holds corrections.

    files: the SQL that reads them and their raw types. between: the first and last event time that are wanted, or
    None for all. Rows without key or event time are left out.
    """
    scanned, raw = files
    parts = [f"{typed(source.key, raw[source.key])} AS key", f"{_event(source, raw)} AS e"]
    parts += [f"epoch_us({typed(time, raw[time])}) AS {quoted('k.' + time)}" for time, _ in source.known]
    parts += [
        f"{typed(column_name, raw[column_name])} AS {column(column_name)}" for column_name in sorted(set(columns))
    ]
    body = f"FROM {scanned} WHERE {quoted(source.key)} IS NOT NULL"
    if source.event_time:
        moment = typed(source.event_time, raw[source.event_time])
        body += f" AND {moment} IS NOT NULL"
        body += f" AND {moment} BETWEEN {_moment(between[0])} AND {_moment(between[1])}" if between else ""
    connection.execute(f"CREATE TEMP TABLE {name} AS SELECT {', '.join(parts)}, 0::BIGINT AS tie {body}")
    rows = connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]
    kept = connection.execute(f"SELECT count(*) FROM (SELECT DISTINCT key, e FROM {name})").fetchall()[0][0]
    if rows == kept:
        return False
    order = [typed(time, raw[time]) for time, _ in source.known] + [typed(one, raw[one]) for one in sorted(raw)]
    ranked = f"row_number() OVER (ORDER BY {', '.join(f'{sql} NULLS FIRST' for sql in order)}) AS tie"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {', '.join(parts)}, {ranked} {body}")
    return True


def known(times: Iterable[str]) -> str:
    """Return SQL of when all the known times `times` of a loaded row have passed; NULL for never."""
    names = [quoted(f"k.{time}") for time in times]
    if not names:
        return "e"
    return f"CASE WHEN {' AND '.join(f'{name} IS NOT NULL' for name in names)} THEN greatest(e, {', '.join(names)}) END"


def _moment(at: int) -> str:
    return f"make_timestamp({min(max(at, ALWAYS), -ALWAYS)}::BIGINT)"


def _event(source: Source, raw: Mapping[str, str]) -> str:
    if not source.event_time:
        return f"({ALWAYS})::BIGINT"
    return f"epoch_us({typed(source.event_time, raw[source.event_time])})"
