"""The rules of point-in-time reading as plain loops over one table: what was known of which row, and when.

`History.row_as_of` answers row views, `History.window_at` window views. Both look at every row, every time.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import fsum, isfinite
from typing import Any

import numpy as np

from mainspring.data.aggregates import Aggregate
from mainspring.data.expressions import ColumnType
from mainspring.data.ports import ALWAYS
from mainspring.data.views import Source
from mainspring.stats.columns import Array, Columns, length

Row = dict[str, Any]
Values = Mapping[str, Sequence[Any]]


class History:
    """One source's rows as dictionaries. Times are int UTC microseconds, a missing value is None.

    rank: decides between rows that are alike in all that the rules name: the lowest wins, the row whose known times
    came first, so that a correction never changes what had already been said.
    """

    def __init__(self, source: Source, table: Columns) -> None:
        self.source = source
        plain = {name: [_plain(value) for value in values] for name, values in table.items()}
        everything = [{name: values[row] for name, values in plain.items()} for row in range(length(table))]
        event = source.event_time
        self.kept = [
            row
            for row, values in enumerate(everything)
            if values[source.key] is not None and (not event or values[event] is not None)
        ]
        self.rows = {row: everything[row] for row in self.kept}
        order = sorted(self.kept, key=lambda row: _order(source, self.rows[row]))
        self.rank = {row: place for place, row in enumerate(order)}

    def event(self, row: int) -> int:
        """Return a row's event time; `ALWAYS` where the source has none."""
        return int(self.rows[row][self.source.event_time]) if self.source.event_time else ALWAYS

    def key(self, row: int) -> str:
        """Return a row's own key."""
        return str(self.rows[row][self.source.key])

    def known(self, row: int, columns: Sequence[str]) -> int | None:
        """Return when all of `columns` of a row were known, or None for never."""
        times = [self.rows[row][name] for name in self.source.known_columns(columns)]
        return None if None in times else max([self.event(row), *times])

    def by(self, row: int, columns: Sequence[str]) -> tuple[Any, ...]:
        """Return the values of a row's key columns."""
        return tuple(self.rows[row][name] for name in columns)

    def first_versions(self) -> Iterator[int]:
        """Yield one row for every (key, event time): the version that came first."""
        best: dict[tuple[str, int], int] = {}
        for row in self.kept:
            identity = (self.key(row), self.event(row))
            if identity not in best or self.rank[row] < self.rank[best[identity]]:
                best[identity] = row
        yield from best.values()

    def shown_from(self, row: int, columns: Sequence[str], *, strict: bool) -> int | None:
        """Return the first moment at which a row view can show a row; `strict` rows show only after their event."""
        known = self.known(row, columns)
        return None if known is None else max(known, self.event(row) + strict)

    def row_as_of(
        self, by: tuple[tuple[str, ...], tuple[Any, ...]], columns: Sequence[str], at: int, *, strict: bool
    ) -> int | None:
        """Return the newest row whose key columns equal `by` (names, values), of those known at `at`."""
        names, wanted = by
        best: int | None = None
        for row in self.kept:
            shown = self.shown_from(row, columns, strict=strict)
            matches = None not in wanted and self.by(row, names) == wanted
            if matches and shown is not None and shown <= at and (best is None or self._newer(row, best, columns)):
                best = row
        return best

    def _newer(self, row: int, other: int, columns: Sequence[str]) -> bool:
        def order(one: int) -> tuple[int, int | None, str, int]:
            return self.event(one), self.known(one, columns), self.key(one), -self.rank[one]

        return order(row) > order(other)

    def window_at(
        self,
        by: tuple[tuple[str, ...], tuple[Any, ...]],
        aggregate: tuple[Aggregate, Sequence[Any]],
        window: int,
        at: int,
    ) -> float | None:
        """Return an aggregate over the rows of [at - window, at) as they were known at `at`.

        aggregate: with the value of its expression a row. Of a row's versions the one known last counts.
        """
        names, wanted = by
        if None in wanted:
            return None
        call, values = aggregate
        current: dict[tuple[str, int], int] = {}
        for row in self.kept:
            known = self.known(row, (*names, *call.columns))
            if known is None or known > at or not at - window <= self.event(row) < at:
                continue
            identity = (self.key(row), self.event(row))
            if identity not in current or self._later(row, known, current[identity], (*names, *call.columns)):
                current[identity] = row
        counted = [values[row] for row in current.values() if self.by(row, names) == wanted and values[row] is not None]
        return _total(call.function, counted)

    def _later(self, row: int, known: int, other: int, columns: Sequence[str]) -> bool:
        before = self.known(other, columns)
        return before is None or (known, -self.rank[row]) > (before, -self.rank[other])


def type_of(values: Array) -> ColumnType:
    """Return a column's type; object arrays hold text, or bools with None."""
    if values.dtype.kind == "M":
        return "time"
    if values.dtype.kind == "b" or any(isinstance(value, bool) for value in values.tolist()):
        return "bool"
    return "string" if values.dtype.kind == "O" else "number"


def _plain(value: object) -> Any:  # noqa: ANN401 - a cell is any of these
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else int(value.astype("datetime64[us]").astype(np.int64))
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, float | int | np.number):
        return float(value) if isfinite(value) else None
    return value


def _order(source: Source, row: Row) -> tuple[tuple[bool, Any], ...]:
    names = [time for time, _ in source.known] + sorted(row)
    return tuple((row[name] is not None, row[name] if row[name] is not None else 0) for name in names)


def _total(function: str, counted: Sequence[Any]) -> float | None:
    if function == "count":
        return float(len(counted))
    if not counted:
        return None
    total = fsum(counted)
    return total if function == "sum" else total / len(counted)
