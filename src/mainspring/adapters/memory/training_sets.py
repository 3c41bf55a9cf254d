"""The reference for `data.ports.TrainingSets`: plain loops that read like the rules, right before fast.

Everything is looked up again for every ask: quadratic, for tests and for checking other adapters. Tables are `Columns`
whose times are datetime64[us]; strings and bools with nulls are object arrays. The rules themselves are in `history`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mainspring.adapters.memory.history import History, type_of
from mainspring.data.checks import check_definitions
from mainspring.data.expressions import evaluate, parse
from mainspring.data.ports import ASK_VIEW, KEY_JOINT
from mainspring.data.views import Definitions, RowView, Types, View, WindowView, columns_of, row_columns
from mainspring.kernel.errors import InvalidValue
from mainspring.stats.columns import Array, Columns, length, take


class TrainingSets:
    """Point-in-time tables over columns in memory; `types` says what a column of only nulls cannot show."""

    def __init__(self, tables: Mapping[str, Columns], types: Types | None = None) -> None:
        self.types: Types = types or {
            name: {column: type_of(values) for column, values in table.items()} for name, table in tables.items()
        }
        self._tables = {name: _typed(table, self.types[name]) for name, table in tables.items()}

    def asks(self, definitions: Definitions, start: int, end: int) -> Columns:
        """Return the asks of start <= at < end; see the port."""
        check_definitions(definitions, self.types)
        history = self._history(definitions, definitions.ask.source)
        source, types = history.source, self.types[history.source.name]
        found = [row for row in history.first_versions() if start <= history.event(row) < end]
        found.sort(key=lambda row: (history.event(row), history.key(row)))
        early = take(self._tables[source.name], np.array(found, dtype=np.int64))
        columns: Columns = {"key": early[source.key], "at": _integers([history.event(row) for row in found])}
        return {**{name: early[name] for name in sorted(types) if source.is_early(name)}, **columns}

    def build(self, definitions: Definitions, asks: Columns) -> Columns:
        """Return the features of `asks`; see the port."""
        check_definitions(definitions, self.types)
        missing = [name for name in definitions.ask_columns() if name not in asks]
        if missing:
            raise InvalidValue(f"the asks lack {', '.join(missing)}", fix="take the asks from asks()")
        built: Columns = {"key": asks["key"], "at": asks["at"]}
        for view in definitions.views:
            found = self._rows(definitions, view, asks) if isinstance(view, RowView) else self._windows(
                definitions, view, asks
            )  # fmt: skip
            built.update({f"{view.name}.{name}": found[name] for name in columns_of(view)})
        return built

    def targets(self, definitions: Definitions) -> Columns:
        """Return every version of every label; see the port."""
        check_definitions(definitions, self.types)
        history = self._history(definitions, definitions.target.source)
        expression = parse(definitions.target.expression)
        values = evaluate(expression, self._tables[history.source.name])
        versions: dict[tuple[int, str, int], int] = {}
        for row in sorted(history.kept, key=history.rank.__getitem__):
            known = history.known(row, expression.columns)
            if known is not None:
                versions.setdefault((history.event(row), history.key(row), known), row)
        found = [(*identity, values[row]) for identity, row in sorted(versions.items()) if not np.isnan(values[row])]
        return {
            "key": np.array([key for _, key, _, _ in found], dtype=object),
            "asked_at": _integers([at for at, _, _, _ in found]),
            "value": np.array([value for *_, value in found], dtype=np.float64),
            "known_at": _integers([known for _, _, known, _ in found]),
        }

    def write(self, definitions: Definitions, path: Path) -> None:
        """Refuse: this adapter has no Parquet; `build` gives the same table."""
        raise InvalidValue(f"the memory adapter cannot write {path.name}", fix="use build, or the DuckDB adapter")

    def stream(self, definitions: Definitions, view: str, start: int, end: int) -> Columns:
        """Return what `view` shows from when; see the port. It asks at every moment at which an answer may change."""
        check_definitions(definitions, self.types)
        if view == ASK_VIEW:
            return self._ask_stream(definitions, start, end)
        found = definitions.view(view)
        history = self._history(definitions, found.source)
        moments = sorted({*_moments(history, definitions, found)})
        rows = [(by, at) for by, at in moments if start < at <= end]
        asks: Columns = {name: _texts([by[place] for by, _ in rows]) for place, name in enumerate(found.by)}
        asks["at"] = _integers([at for _, at in rows])
        if isinstance(found, WindowView):
            shown = {"event_time": asks["at"], **self._windows(definitions, found, asks)}
        else:
            shown = self._shown(definitions, found, asks)
        return {"key": _texts([KEY_JOINT.join(by) for by, _ in rows]), "at": asks["at"], **shown}

    def _history(self, definitions: Definitions, source: str) -> History:
        return History(definitions.source(source), self._tables[source])

    def _rows(self, definitions: Definitions, view: RowView, asks: Columns) -> Columns:
        shown = self._shown(definitions, view, asks) if view.by else asks
        if view.max_age is not None:
            shown = _blanked(shown, asks["at"] - shown["event_time"] > view.max_age)
        here = {**shown, **{f"ask.{name}": values for name, values in asks.items()}}
        derived = {name: evaluate(parse(text), here, length(asks)) for name, text in view.derive}
        return {**{name: _feature(shown[name]) for name in view.columns}, **derived}

    def _shown(self, definitions: Definitions, view: RowView, asks: Columns) -> Columns:
        """Return the columns of the row that `view` shows at each ask, and its event_time."""
        history, columns = self._history(definitions, view.source), row_columns(view)
        strict = view.source == definitions.ask.source
        found = [
            history.row_as_of((view.by, _by(asks, view.by, row)), columns, int(asks["at"][row]), strict=strict)
            for row in range(length(asks))
        ]
        picked = np.array([0 if row is None else row for row in found], dtype=np.int64)
        table = {name: values for name, values in self._tables[view.source].items() if name in columns}
        shown = take({name: values if len(values) else _blank(values, 1) for name, values in table.items()}, picked)
        shown["event_time"] = _integers([0 if row is None else history.event(row) for row in found])
        return _blanked(shown, np.array([row is None for row in found], dtype=np.bool_))

    def _windows(self, definitions: Definitions, view: WindowView, asks: Columns) -> Columns:
        history, table = self._history(definitions, view.source), self._tables[view.source]
        columns: Columns = {}
        for call in definitions.aggregates(view):
            values = _values(evaluate(call.expression, table)) if call.expression else [1.0] * length(table)
            found = [
                history.window_at(
                    (view.by, _by(asks, view.by, row)), (call, values), view.window,
                    int(asks["at"][row]) // view.refresh * view.refresh,
                )
                for row in range(length(asks))
            ]  # fmt: skip
            columns[call.name] = np.array([np.nan if value is None else value for value in found], dtype=np.float64)
        return columns

    def _ask_stream(self, definitions: Definitions, start: int, end: int) -> Columns:
        asks = self.asks(definitions, start + 1, end + 1)
        wanted = {name: asks[name] for name in definitions.ask_columns()}
        return {"key": asks["key"], "at": asks["at"], "event_time": asks["at"], **wanted}


def _moments(history: History, definitions: Definitions, view: View) -> list[tuple[tuple[str, ...], int]]:
    """Return (key values, moment) wherever the answer of `view` may change."""
    found: list[tuple[tuple[str, ...], int]] = []
    keys = {row: history.by(row, view.by) for row in history.kept}
    every = {by for by in keys.values() if None not in by}
    if isinstance(view, RowView):
        strict = view.source == definitions.ask.source
        shown = {row: history.shown_from(row, row_columns(view), strict=strict) for row in history.kept}
        return [(keys[row], at) for row, at in shown.items() if at is not None and None not in keys[row]]
    for row in history.kept:
        reads = [history.known(row, (*view.by, *call.columns)) for call in definitions.aggregates(view)]
        edges = [history.event(row) + 1, history.event(row) + view.window + 1, *(at for at in reads if at is not None)]
        found.extend((by, -(-at // view.refresh) * view.refresh) for at in edges for by in every)
    return found


def _by(asks: Columns, names: Sequence[str], row: int) -> tuple[Any, ...]:
    return tuple(asks[name][row] for name in names)


def _typed(table: Columns, types: Mapping[str, str]) -> Columns:
    """Bring bools (None for null) and numbers to float64 with NaN for null or infinite; leave texts and times."""
    return {name: _number(values) if types[name] in ("bool", "number") else values for name, values in table.items()}


def _number(values: Array) -> Array:
    plain = np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)
    return np.where(np.isfinite(plain), plain, np.nan)


def _feature(values: Array) -> Array:
    return values if values.dtype.kind == "O" else np.where(np.isfinite(values), values.astype(np.float64), np.nan)


def _values(values: Array) -> list[Any]:
    if values.dtype.kind == "M":
        return [None if np.isnat(value) else 0 for value in values]
    return [None if value is None or value != value else value for value in values]


def _blank(values: Array, rows: int) -> Array:
    if values.dtype.kind == "M":
        return np.full(rows, np.datetime64("NaT"), dtype="datetime64[us]")
    return np.full(rows, None if values.dtype.kind == "O" else np.nan)


def _blanked(columns: Columns, where: Array) -> Columns:
    return {
        name: values if name == "event_time" else np.where(where, _blank(values, len(values)), values)
        for name, values in columns.items()
    }


def _integers(values: Sequence[int]) -> Array:
    return np.array(values, dtype=np.int64)


def _texts(values: Sequence[Any]) -> Array:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found
