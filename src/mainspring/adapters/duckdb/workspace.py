"""The SQL of one call: sources loaded on demand, the asks, and each view's answers as a table beside them."""

# ruff: noqa: S608 - every name and literal goes through `quoted` and `text_literal`

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb

from mainspring.adapters.duckdb.streams import Loaded, row_stream
from mainspring.adapters.duckdb.tables import column, column_types, load, scan
from mainspring.adapters.duckdb.window_reader import WindowReader
from mainspring.data.expressions import infer, parse, quoted, to_sql
from mainspring.data.ports import KEY_JOINT
from mainspring.data.views import Definitions, RowView, Types, WindowView, columns_of, readable, row_columns
from mainspring.stats.columns import Array, Columns

_JOINT = f"chr({ord(KEY_JOINT)})"


class Workspace:
    """Tables of one database for one set of definitions."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        definitions: Definitions,
        tables: Mapping[str, Sequence[Path]],
        raw: Mapping[str, Mapping[str, str]],
        between: tuple[int, int] | None = None,
    ) -> None:
        """Prepare; nothing is read yet. between: the only event times that matter to the questions that follow."""
        self._connection, self._definitions, self._tables, self._raw = connection, definitions, tables, raw
        self.types: Types = {name: column_types(kinds) for name, kinds in raw.items()}
        self._between = between
        self._loaded: dict[str, Loaded] = {}

    def load(self, source: str, extra: Iterable[str] = ()) -> Loaded:
        """Return a source in a temporary table with every column that the definitions read, and `extra`."""
        if source not in self._loaded:
            name, found = f"source{len(self._loaded)}", self._definitions.source(source)
            files = (scan(self._tables[source]), self._raw[source])
            columns = {*self._columns(source), *extra}
            corrected = load(self._connection, name, found, files, columns, self._between)
            self._loaded[source] = Loaded(name=name, source=found, corrected=corrected)
        return self._loaded[source]

    def first_versions(self, columns: Iterable[str]) -> str:
        """Return SQL of (key, e, `c.<column>`..): one row an ask, the version that came first."""
        columns = tuple(columns)
        loaded = self.load(self._definitions.ask.source, columns)
        one = "QUALIFY row_number() OVER (PARTITION BY key, e ORDER BY tie) = 1" if loaded.corrected else ""
        return f"SELECT {', '.join(['key', 'e', *map(column, columns)])} FROM {loaded.name} {one}"

    def take_asks(self, sql: str, order: str = "") -> None:
        """Make the table of asks from rows as `first_versions` gives them, in their order or another."""
        self._connection.execute(f"CREATE TEMP TABLE asks AS SELECT * RENAME (e AS t) FROM ({sql}) {order}")

    def answers(self, at: str) -> str:
        """Return SQL of (key, `at`, features..) in the order of the asks; each view is answered beside them first.

        All tables are in the order of the asks, so they are put side by side without a join.
        """
        beside, features = ["asks a"], []
        numbers = self._windows()
        if numbers:
            self._connection.register("windows", numbers)
            beside.append("windows")
        for place, view in enumerate(self._definitions.views):
            if isinstance(view, WindowView):
                names = [quoted(f"{view.name}.{name}") for name in columns_of(view)]
                features += [f", nullif(windows.{name}, 'nan'::DOUBLE) AS {name}" for name in names]
            elif not view.by:
                features.append(self._own(view))
            else:
                table = f"answer{place}"
                self._connection.execute(f"CREATE TEMP TABLE {table} AS {self._row(view)} ORDER BY place")
                beside.append(table)
                features += [f", {table}.{quoted(f'{view.name}.{name}')}" for name in columns_of(view)]
        return f"SELECT a.key, a.t AS {quoted(at)}{''.join(features)} FROM {' POSITIONAL JOIN '.join(beside)}"

    def ask_stream(self) -> str:
        """Return SQL of the ask's own rows: key, at, event_time and their early columns that views read."""
        columns = self._definitions.ask_columns()
        shown = "".join(f", {column(name)} AS {quoted(name)}" for name in columns)
        return f'SELECT key, e AS "at", e AS event_time{shown} FROM ({self.first_versions(columns)})'

    def row_stream(self, view: RowView) -> str:
        """Return SQL of what a row view shows from when, under its key's text."""
        loaded = self.load(view.source)
        shown = "".join(f", {column(name)} AS {quoted(name)}" for name in row_columns(view))
        by = f" || {_JOINT} || ".join(column(name) for name in view.by) if view.by else "key"
        rows = row_stream(view, loaded, strict=view.source == self._definitions.ask.source)
        return f'SELECT {by} AS key, t AS "at", event_time{shown} FROM ({rows})'

    def window_stream(self, view: WindowView, start: int, end: int) -> Columns:
        """Return what a window view shows from when, for start < at <= end, under its key's text, by (at, key)."""
        return WindowReader(self._connection, self._definitions, self.load(view.source)).stream(view, start, end)

    def _columns(self, source: str) -> set[str]:
        """Return every column of a source that the definitions read."""
        definitions = self._definitions
        found = set(definitions.ask_columns()) if source == definitions.ask.source else set()
        if source == definitions.target.source:
            found.update(parse(definitions.target.expression).columns)
        for view in definitions.views:
            if view.source == source and isinstance(view, RowView):
                found.update(row_columns(view))
            elif view.source == source and isinstance(view, WindowView):
                found.update(view.by, *(call.columns for call in definitions.aggregates(view)))
        return found

    def _own(self, view: RowView) -> str:
        """Return SQL of the features of a view of the ask's own row `a`, each after a comma."""
        columns = {name: f"a.{column(name)}" for name in self._definitions.ask_columns()}
        return self._features(view, {**columns, **{f"ask.{name}": sql for name, sql in columns.items()}})

    def _row(self, view: RowView) -> str:
        """Answer a view of the newest row of a key, and blank what is too old."""
        stream = row_stream(view, self.load(view.source), strict=view.source == self._definitions.ask.source)
        match = " AND ".join(f"a.{column(name)} = s.{column(name)}" for name in view.by)
        fresh = "TRUE" if view.max_age is None else f"a.t - s.event_time <= {view.max_age}"
        shown = "".join(
            f", CASE WHEN {fresh} THEN s.{column(name)} END AS {quoted('s.' + name)}" for name in row_columns(view)
        )
        asked = "".join(f", a.{column(name)}" for name in self._definitions.ask_columns())
        timeless = not self._definitions.source(view.source).event_time
        join = (
            f"LEFT JOIN ({stream}) s ON {match}"
            if timeless
            else f"ASOF LEFT JOIN ({stream}) s ON {match} AND a.t >= s.t"
        )
        joined = f"SELECT a.rowid AS place{asked}{shown} FROM asks a {join}"
        here = {name: quoted("s." + name) for name in row_columns(view)}
        here.update({f"ask.{name}": column(name) for name in self._definitions.ask_columns()})
        return f"SELECT place{self._features(view, here)} FROM ({joined})"

    def _features(self, view: RowView, here: Mapping[str, str]) -> str:
        """Return SQL of a row view's features, cast to their kind, each after a comma."""
        types = readable(self._definitions, view, self.types)
        parts = [(name, here[name], types[name]) for name in view.columns]
        for name, text in view.derive:
            expression = parse(text)
            parts.append((name, to_sql(expression, here), infer(expression, types)))
        casts = ((name, sql, "VARCHAR" if kind == "string" else "DOUBLE") for name, sql, kind in parts)
        return "".join(f", CAST({sql} AS {kind}) AS {quoted(f'{view.name}.{name}')}" for name, sql, kind in casts)

    def _windows(self) -> dict[str, Array]:
        """Answer all window views: their values as of the asks; no rows yet count as none."""
        found: dict[str, Array] = {}
        for source in dict.fromkeys(view.source for view in self._definitions.views if isinstance(view, WindowView)):
            found.update(WindowReader(self._connection, self._definitions, self.load(source)).answer())
        return found
