"""An online store in dictionaries: the reference for `data.ports.OnlineStore`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mainspring.data.ports import NEVER
from mainspring.kernel.errors import Damaged, NotFound
from mainspring.stats.columns import Array, Columns, length

_KEYS = ("key", "at", "event_time")


class OnlineStore:
    """Keeps every row ever written, by view and key. Not shared between processes."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, dict[int, tuple[Any, ...]]]] = {}
        self._columns: dict[str, dict[str, np.dtype[Any]]] = {}
        self._watermarks: dict[str, int] = {}

    def write(self, view: str, rows: Columns, *, whole: bool = False) -> None:
        """Add rows of a stream; see the port."""
        if whole:
            self._rows.pop(view, None)
        columns = {name: values.dtype for name, values in rows.items() if name not in _KEYS}
        if self._columns.setdefault(view, columns) != columns:
            raise Damaged(f"view {view} has columns {list(self._columns[view])}, not {list(columns)}", fix="rename it")
        kept = self._rows.setdefault(view, {})
        for row in range(length(rows)):
            shown = (int(rows["event_time"][row]), *(rows[name][row] for name in columns))
            kept.setdefault(rows["key"][row], {})[int(rows["at"][row])] = shown

    def read(self, keys: Mapping[str, Sequence[str | None]], at: Sequence[int]) -> dict[str, Columns]:
        """Return what was shown to each (key, at); see the port."""
        return {view: self._read(view, wanted, at) for view, wanted in keys.items()}

    def _read(self, view: str, keys: Sequence[str | None], at: Sequence[int]) -> Columns:
        if view not in self._rows:
            raise NotFound(f"view {view} was never materialised", fix="run: mainspring features materialise")
        columns = self._columns[view]
        found: list[tuple[Any, ...] | None] = []
        for key, moment in zip(keys, at, strict=True):
            history = self._rows[view].get(key, {}) if key is not None else {}
            shown = [row_at for row_at in history if row_at <= min(moment, self.watermark(view))]
            found.append(history[max(shown)] if shown else None)
        read: Columns = {"event_time": np.array([NEVER if row is None else row[0] for row in found], dtype=np.int64)}
        for place, (name, kind) in enumerate(columns.items(), start=1):
            read[name] = _column([None if row is None else row[place] for row in found], kind)
        return read

    def watermark(self, view: str) -> int:
        """Return the time up to which the view is complete; see the port."""
        return self._watermarks.get(view, NEVER)

    def publish(self, until: Mapping[str, int]) -> None:
        """Say that views are complete up to a time; see the port."""
        for view in until:
            if view not in self._rows:
                raise NotFound(f"view {view} was never materialised", fix="write it first")
        self._watermarks |= {view: max(at, self.watermark(view)) for view, at in until.items()}

    def prune(self, view: str, before: int) -> None:
        """Forget what no read at or after `before` can see; see the port."""
        for history in self._rows.get(view, {}).values():
            seen = max((at for at in history if at <= before), default=NEVER)
            for at in [at for at in history if at < seen]:
                del history[at]


def _column(values: list[Any], kind: np.dtype[Any]) -> Array:
    if kind.kind == "O":
        found = np.empty(len(values), dtype=object)
        found[:] = values
        return found
    if kind.kind == "M":
        return np.array([np.datetime64("NaT") if value is None else value for value in values], dtype="datetime64[us]")
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
