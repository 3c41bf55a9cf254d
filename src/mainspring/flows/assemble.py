"""Make a model's features for questions that are asked now, by the definitions that trained it.

A request may bring the ask's row, or only keys: what it leaves out is read from the online store, as of the time asked.
Derived columns are computed here by the numpy back-end. Start at `assemble`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mainspring.data.expressions import evaluate, parse
from mainspring.data.expressions.arrays import as_time
from mainspring.data.ports import ASK_VIEW, KEY_JOINT, NEVER, OnlineStore
from mainspring.data.views import Definitions, RowView, WindowView, from_json, row_columns
from mainspring.flows.materialise import stored_name
from mainspring.kernel.errors import InvalidValue
from mainspring.stats.columns import Array, Columns


class Assembler:
    """The definitions of one model, read once, ready to answer many requests.

    online may be None where every view is of the ask's own row and requests bring its columns.
    """

    def __init__(self, definitions: Definitions, online: OnlineStore | None) -> None:
        self._definitions, self._online = definitions, online
        self._needed = definitions.ask_columns()
        self._stored = {view.name: stored_name(definitions, view.name) for view in definitions.views if view.by}
        self._stored[ASK_VIEW] = stored_name(definitions, ASK_VIEW)
        self._derived = {
            view.name: tuple((name, parse(text)) for name, text in view.derive)
            for view in definitions.views
            if isinstance(view, RowView)
        }
        self._aggregates = {
            view.name: definitions.aggregates(view) for view in definitions.views if isinstance(view, WindowView)
        }

    def __call__(self, keys: Sequence[str | None], at: Sequence[int], request: Columns) -> Columns:
        """Return every feature, by `<view>.<column>` in declared order, a row for each key.

        at: when each question is asked, UTC microseconds. request: columns of the ask's row that the caller knows.
        """
        moments = np.asarray(at, dtype=np.int64)
        asked = self._ask_row(list(keys), moments, request)
        wanted = {view.name: _joined([asked[name] for name in view.by]) for view in self._definitions.views if view.by}
        shown = self._read(wanted, moments)
        features: Columns = {}
        for view in self._definitions.views:
            if isinstance(view, WindowView):
                features.update(self._window(view, wanted[view.name], shown[view.name]))
            else:
                features.update(self._row(view, asked, moments, shown.get(view.name)))
        return features

    def _read(self, wanted: Mapping[str, Sequence[str | None]], at: Array) -> dict[str, Columns]:
        """Return what the store shows for the keys of each view: one question to the store for all of them."""
        if not wanted:
            return {}
        if self._online is None:
            raise InvalidValue(
                f"{', '.join(wanted)} cannot be looked up and there is no online store",
                fix="send these columns with the request, or give the server an online store",
            )
        found = self._online.read({self._stored[name]: keys for name, keys in wanted.items()}, at.tolist())
        return {name: found[self._stored[name]] for name in wanted}

    def _ask_row(self, keys: list[str | None], at: Array, request: Columns) -> Columns:
        """Return the early columns of the ask's rows: from the request, else from the store, else what `at` says."""
        ask = self._definitions.ask
        asked = {name: _normal(request[name]) for name in self._needed if name in request}
        missing = [name for name in self._needed if name not in asked and name not in (ask.key, ask.at)]
        if missing:
            stored = self._read({ASK_VIEW: keys}, at)[ASK_VIEW]
            if not request:
                _check_known(keys, stored["event_time"])
            asked.update({name: stored[name] for name in missing})
        if ask.key in self._needed and ask.key not in asked:
            asked[ask.key] = _texts(keys)
        if ask.at in self._needed:
            asked[ask.at] = as_time(asked.get(ask.at, at))
        return asked

    def _row(self, view: RowView, asked: Columns, at: Array, shown: Columns | None) -> Columns:
        here = dict(asked) if shown is None else self._fresh(view, at, shown)
        here.update({f"ask.{name}": values for name, values in asked.items()})
        found = {name: _feature(here[name]) for name in view.columns}
        found.update({name: evaluate(derive, here, len(at)) for name, derive in self._derived[view.name]})
        return {f"{view.name}.{name}": values for name, values in found.items()}

    def _fresh(self, view: RowView, at: Array, shown: Columns) -> Columns:
        """Return the columns of the row that `view` shows at each ask, nulls where it is too old."""
        event = shown.pop("event_time")
        if view.max_age is None:
            return shown
        old = event < at - view.max_age
        return {name: _blanked(shown[name], old) for name in row_columns(view)}

    def _window(self, view: WindowView, keys: Sequence[str | None], found: Columns) -> Columns:
        matched = np.fromiter((key is not None for key in keys), dtype=np.bool_, count=len(keys))
        features: Columns = {}
        for call in self._aggregates[view.name]:
            values = found[call.name]
            empty = matched & np.isnan(values) if call.function == "count" else np.zeros(len(keys), dtype=np.bool_)
            features[f"{view.name}.{call.name}"] = np.where(empty, 0.0, values)
        return features


def assemble(
    definitions: Definitions | Mapping[str, Any],
    keys: Sequence[str | None],
    at: Sequence[int],
    request: Columns,
    online: OnlineStore | None,
) -> Columns:
    """Return every feature for `keys` asked at `at`; `definitions` may be their JSON.

    A server keeps an `Assembler` instead, which reads the definitions once.
    """
    read = definitions if isinstance(definitions, Definitions) else from_json(definitions)
    return Assembler(read, online)(keys, at, request)


def _check_known(keys: Sequence[str | None], seen: Array) -> None:
    """Refuse keys of which nothing is known at all: an answer made of nothing would look like any other."""
    unknown = np.flatnonzero(seen == NEVER)
    if unknown.size:
        raise InvalidValue(
            f"the online store has no row of key {str(keys[unknown[0]])[:60]!r} at that time ({unknown.size} such)",
            fix="check key and asked_at, run features materialise, or send what is known as ask.COLUMN",
        )


def _normal(values: Array) -> Array:
    return values.astype(np.float64) if values.dtype.kind in "iub" else values


def _texts(values: Sequence[str | None]) -> Array:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _joined(columns: Sequence[Array]) -> list[str | None]:
    """Return one key a row; a null part makes it null, for null matches nothing."""
    if len(columns) == 1:
        return [None if value is None else str(value) for value in columns[0].tolist()]
    rows = zip(*(values.tolist() for values in columns), strict=True)
    return [None if None in row else KEY_JOINT.join(row) for row in rows]


def _blanked(values: Array, where: Array) -> Array:
    if not where.any():
        return values
    blank = np.datetime64("NaT") if values.dtype.kind == "M" else None if values.dtype.kind == "O" else np.nan
    found = values.copy()
    found[where] = blank
    return found


def _feature(values: Array) -> Array:
    """Bring a column to a feature: text or null, or a finite float64 or NaN."""
    return values if values.dtype.kind == "O" else np.where(np.isfinite(values), values, np.nan).astype(np.float64)
