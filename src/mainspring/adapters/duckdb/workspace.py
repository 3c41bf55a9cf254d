"""The SQL of one call: sources loaded on demand, the asks, and each view's answers as a table beside them."""

# ruff: noqa: S608 - every name and literal goes through `quoted` and `text_literal`

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb

from mainspring.adapters.duckdb.streams import Loaded, WindowStream, row_stream
from mainspring.adapters.duckdb.tables import column, column_types, load, scan
from mainspring.data.expressions import infer, parse, quoted, to_sql
from mainspring.data.ports import KEY_JOINT
from mainspring.data.views import Definitions, RowView, Types, WindowView, columns_of, readable, row_columns

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
        self._keyed: dict[tuple[str, tuple[str, ...]], str] = {}

    def load(self, source: str, extra: Iterable[str] = ()) -> Loaded:
        """Return a source in a temporary table with every column that the definitions read, and `extra`."""
        if source not in self._loaded:
            name, found = f"source{len(self._loaded)}", self._definitions.source(source)
            files = (scan(self._tables[source]), self._raw[source])
            columns = {*self._columns(source), *extra}
            corrected = load(self._connection, name, found, files, columns, self._between)
            self._loaded[source] = Loaded(name=name, source=found, types=self.types[source], corrected=corrected)
        return self._loaded[source]

    def first_versions(self, columns: Iterable[str]) -> str:
        """Return SQL of (key, e, `c.<column>`..): one row an ask, the version that came first."""
        columns = tuple(columns)
        loaded = self.load(self._definitions.ask.source, columns)
        one = "QUALIFY row_number() OVER (PARTITION BY key, e ORDER BY tie) = 1" if loaded.corrected else ""
        return f"SELECT {', '.join(['key', 'e', *map(column, columns)])} FROM {loaded.name} {one}"

    def take_asks(self, sql: str, order: str = "row_number() OVER ()") -> None:
        """Make the table of asks from rows as `first_versions` gives them, numbered in their order or another."""
        self._connection.execute(f"CREATE TEMP TABLE asks AS SELECT *, {order} AS rn FROM ({sql})")
        self._connection.execute("ALTER TABLE asks RENAME COLUMN e TO t")

    def answers(self, at: str) -> str:
        """Return SQL of (key, `at`, features..) over the asks `a`; each view is answered into a table first."""
        features, joins = [], []
        for place, view in enumerate(self._definitions.views):
            if isinstance(view, RowView) and not view.by:
                features.append(self._own(view))
                continue
            table = f"answer{place}"
            sql = self._windows(view) if isinstance(view, WindowView) else self._row(view)
            self._connection.execute(f"CREATE TEMP TABLE {table} AS {sql}")
            joins.append(f"JOIN {table} ON {table}.rn = a.rn")
            features += [f", {table}.{quoted(f'{view.name}.{name}')}" for name in columns_of(view)]
        return f"SELECT a.key, a.t AS {quoted(at)}{''.join(features)} FROM asks a {' '.join(joins)}"

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

    def window_stream(self, view: WindowView) -> str:
        """Return SQL of what a window view shows from when, under its key's text."""
        rows, ids = self._with_ids(view)
        by = f" || {_JOINT} || ".join(column(name) for name in view.by)
        shown = ", ".join(f"{column(name)} AS {quoted(name)}" for name in columns_of(view))
        stream = self._window_stream(view)
        key, moment = stream.decode()
        coded = f'SELECT *, {key} AS id, {moment} AS "at" FROM ({stream.sql(rows)})'
        return f'SELECT {by} AS key, "at", "at" AS event_time, {shown} FROM ({coded}) JOIN {ids} USING (id)'

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
        joined = f"SELECT a.rn{asked}{shown} FROM asks a {join}"
        here = {name: quoted("s." + name) for name in row_columns(view)}
        here.update({f"ask.{name}": column(name) for name in self._definitions.ask_columns()})
        return f"SELECT rn{self._features(view, here)} FROM ({joined})"

    def _features(self, view: RowView, here: Mapping[str, str]) -> str:
        """Return SQL of a row view's features, cast to their kind, each after a comma."""
        types = readable(self._definitions, view, self.types)
        parts = [(name, here[name], types[name]) for name in view.columns]
        for name, text in view.derive:
            expression = parse(text)
            parts.append((name, to_sql(expression, here), infer(expression, types)))
        casts = ((name, sql, "VARCHAR" if kind == "string" else "DOUBLE") for name, sql, kind in parts)
        return "".join(f", CAST({sql} AS {kind}) AS {quoted(f'{view.name}.{name}')}" for name, sql, kind in casts)

    def _windows(self, view: WindowView) -> str:
        """Answer a window view: its running values as of the ask; no rows yet count as none."""
        rows, ids = self._with_ids(view)
        match = " AND ".join(f"a.{column(name)} = i.{column(name)}" for name in view.by)
        stream = self._window_stream(view)
        unmatched = " OR ".join(f"a.{column(name)} IS NULL" for name in view.by)
        code = stream.code("i.id", "a.t")
        asked = f"SELECT a.rn, {code} AS code, {unmatched} AS unmatched FROM asks a LEFT JOIN {ids} i ON {match}"
        parts = []
        for call in self._definitions.aggregates(view):
            value = f"s.{column(call.name)}"
            if call.function == "count":
                value = f"CASE WHEN NOT a.unmatched THEN coalesce({value}, 0) END"
            parts.append(f", {value} AS {quoted(f'{view.name}.{call.name}')}")
        shown = f"({stream.sql(rows)}) s ON a.code >= s.code"
        return f"SELECT a.rn{''.join(parts)} FROM ({asked}) a ASOF LEFT JOIN {shown}"

    def _window_stream(self, view: WindowView) -> WindowStream:
        return WindowStream(
            self._connection, view, self._definitions.aggregates(view), self.load(view.source)
        )  # fmt: skip

    def _with_ids(self, view: WindowView) -> tuple[str, str]:
        """Return tables of (rows with an `id` a key, keys with their ids), shared by views of equal `by`."""
        wanted = (view.source, view.by)
        if wanted not in self._keyed:
            self._keyed[wanted] = name = f"keyed{len(self._keyed)}"
            loaded, by = self.load(view.source), ", ".join(column(one) for one in view.by)
            present = " AND ".join(f"{column(one)} IS NOT NULL" for one in view.by)
            numbered = "CAST(row_number() OVER () AS INTEGER) AS id"
            distinct = f"SELECT DISTINCT {by} FROM {loaded.name} WHERE {present}"
            self._connection.execute(f"CREATE TEMP TABLE {name}_ids AS SELECT *, {numbered} FROM ({distinct})")
            self._connection.execute(
                f"CREATE TEMP TABLE {name} AS SELECT * FROM {loaded.name} LEFT JOIN {name}_ids USING ({by})"
            )
        return self._keyed[wanted], f"{self._keyed[wanted]}_ids"
