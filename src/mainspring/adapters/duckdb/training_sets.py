"""`data.ports.TrainingSets` on DuckDB: every view becomes an effective stream, every ask an as-of join.

A call opens its own database, loads the columns it needs and answers view by view, so memory stays bounded. Start at
`TrainingSets.build`; `workspace` holds the SQL of one call.
"""

# ruff: noqa: S608 - every name and literal goes through `quoted` and `text_literal`

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import duckdb

from mainspring.adapters.duckdb.session import fetch, session
from mainspring.adapters.duckdb.tables import column, column_types, known, raw_types
from mainspring.adapters.duckdb.workspace import Workspace
from mainspring.data.checks import check_definitions
from mainspring.data.expressions import parse, quoted, text_literal, to_sql
from mainspring.data.ports import ASK_VIEW
from mainspring.data.views import Definitions, RowView, Types, WindowView
from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.files import replace as put_in_place
from mainspring.stats.columns import Array, Columns

_ROW_GROUP = 122_880


class TrainingSets:
    """Point-in-time tables over Parquet files: source name -> files of equal columns.

    Times are TIMESTAMP meaning UTC, or TIMESTAMPTZ.
    """

    def __init__(self, tables: Mapping[str, Sequence[Path]]) -> None:
        self._tables = {name: tuple(paths) for name, paths in tables.items()}
        self._raw: dict[str, dict[str, str]] | None = None

    @property
    def types(self) -> Types:
        """Return source -> column -> type, as `check_definitions` takes them."""
        return {name: column_types(raw) for name, raw in self._raw_types().items()}

    def asks(self, definitions: Definitions, start: int, end: int) -> Columns:
        """Return the asks of start <= at < end; see the port."""
        source = definitions.source(definitions.ask.source)
        with self._open(definitions) as (connection, work):
            early = [name for name in sorted(work.types[source.name]) if source.is_early(name)]
            rows = work.first_versions(early)
            names = ", ".join(f"{column(name)} AS {quoted(name)}" for name in early if name not in ("key", "at"))
            sql = f"FROM ({rows}) WHERE e >= {start} AND e < {end} ORDER BY e, key"
            return fetch(connection, f'SELECT {names}, key, e AS "at" {sql}')

    def build(self, definitions: Definitions, asks: Columns) -> Columns:
        """Return the features of `asks`; see the port."""
        missing = [name for name in ("key", "at", *definitions.ask_columns()) if name not in asks]
        if missing:
            raise InvalidValue(f"the asks lack {', '.join(missing)}", fix="take the asks from asks()")
        with self._open(definitions) as (connection, work):
            connection.register("given", _given(asks, definitions))
            work.take_asks(_ask_sql(definitions, work.types[definitions.ask.source]))
            found = fetch(connection, work.answers("at"))
        return {"key": asks["key"], "at": asks["at"], **{name: found[name] for name in definitions.feature_names()}}

    def targets(self, definitions: Definitions) -> Columns:
        """Return every version of every label; see the port."""
        expression = parse(definitions.target.expression)
        with self._open(definitions) as (connection, work):
            loaded = work.load(definitions.target.source)
            value = to_sql(expression, {name: column(name) for name in expression.columns})
            waits = loaded.source.known_columns(expression.columns)
            one = "QUALIFY row_number() OVER (PARTITION BY key, e, k ORDER BY tie) = 1" if loaded.corrected else ""
            versions = f"SELECT key, e, {known(waits)} AS k, CAST(({value}) AS DOUBLE) AS value, tie FROM {loaded.name}"
            kept = f"SELECT * FROM ({versions}) WHERE k IS NOT NULL {one}"
            sql = f"SELECT key, e AS asked_at, value, k AS known_at FROM ({kept}) WHERE value IS NOT NULL"
            return fetch(connection, f"{sql} ORDER BY asked_at, key, known_at")

    def write(self, definitions: Definitions, path: Path) -> None:
        """Write one Parquet file of all asks; see the port."""
        beside = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
        try:
            with self._open(definitions) as (connection, work):
                work.take_asks(work.first_versions(definitions.ask_columns()), "ORDER BY e, key")
                table = work.answers("asked_at")
                options = f"FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE {_ROW_GROUP}"
                connection.execute(f"COPY ({table}) TO {text_literal(str(beside))} ({options})")
            os.chmod(beside, 0o600)
            put_in_place(beside, path)
        finally:
            beside.unlink(missing_ok=True)

    def stream(self, definitions: Definitions, view: str, start: int, end: int) -> Columns:
        """Return what `view` shows from when; see the port."""
        if view == ASK_VIEW:
            with self._open(definitions, (start, end)) as (connection, work):
                return fetch(connection, _window(work.ask_stream(), start, end))
        found, between = definitions.view(view), None
        check_definitions(definitions, self.types)
        if isinstance(found, WindowView):
            between = (start - found.window - found.refresh, end)
        with self._open(replace(definitions, views=(found,)), between) as (connection, work):
            if isinstance(found, RowView):
                return fetch(connection, _window(work.row_stream(found), start, end))
            return work.window_stream(found, start, end)

    @contextmanager
    def _open(
        self, definitions: Definitions, between: tuple[int, int] | None = None
    ) -> Iterator[tuple[duckdb.DuckDBPyConnection, Workspace]]:
        check_definitions(definitions, self.types)
        with session() as connection:
            yield connection, Workspace(connection, definitions, self._tables, self._raw_types(), between)

    def _raw_types(self) -> dict[str, dict[str, str]]:
        if self._raw is None:
            with session() as connection:
                self._raw = {name: raw_types(connection, paths) for name, paths in self._tables.items()}
        return self._raw


def _window(sql: str, start: int, end: int) -> str:
    return f'SELECT * FROM ({sql}) WHERE "at" > {start} AND "at" <= {end} ORDER BY "at", key'


def _given(asks: Columns, definitions: Definitions) -> dict[str, Array]:
    wanted = ("key", "at", *definitions.ask_columns())
    return {f"c.{name}": asks[name] for name in wanted}


def _ask_sql(definitions: Definitions, types: Mapping[str, str]) -> str:
    """Return SQL of the given asks as `first_versions` gives them, typed."""
    sql_types = {"number": "DOUBLE", "string": "VARCHAR", "time": "TIMESTAMP", "bool": "DOUBLE"}
    parts = []
    for name in definitions.ask_columns():
        value = f"CAST({column(name)} AS {sql_types[types[name]]})"
        parts.append(f"{value} AS {column(name)}" if types[name] != "bool" else f"{value} = 1 AS {column(name)}")
    key = f"CAST({column('key')} AS VARCHAR) AS key, CAST({column('at')} AS BIGINT) AS e"
    return f"SELECT {', '.join([key, *parts])} FROM given"
