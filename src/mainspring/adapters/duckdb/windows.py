"""Answer window views by running sums in numpy: a value is what came up to a moment less what went.

A row comes when it is in the window and known, and goes when it leaves or is corrected; both count from the next
refresh point on. A *code* orders all keys and points in one integer, so that one sort serves every key and a binary
search finds a sum; the rows that came are sorted once for all windows of one key. Keys share one running sum: what a
key adds it takes back, so its sums are zero before its first point.

Sums are integers (doubles scaled by a power of two, in three parts), so they do not depend on the order of rows.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mainspring.adapters.duckdb.measures import Answer, Measure
from mainspring.data.views import WindowView
from mainspring.stats.columns import Array, Columns, Floats

NEVER_KNOWN = 2**62
"""The known time of what is never known; also later than every time that counts."""
NO_ROWS = -2
"""The id of an ask whose key has no rows; the rows without a key have -1."""
_TIMES = 2**56  # microseconds between the earliest and the latest point that are told apart: 2,283 years
_SCALE_BITS = 50
_LARGEST_BITS = 99
_PART_BITS = 33
_WHOLE_LIMIT = 2**31
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A source's rows in any order: event times, and by `waits` when each is known and when a correction replaces it.

    Times are int64 UTC microseconds, `NEVER_KNOWN` for never; following: empty where nothing is corrected.
    """

    event: Ints
    known: Mapping[tuple[str, ...], Ints]
    following: Mapping[tuple[str, ...], Ints]
    measures: Mapping[Measure, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Asks under one kind of key: the key's id (`NO_ROWS` if none), whether it is null, and the time asked."""

    ids: Ints
    unmatched: NDArray[np.bool_]
    at: Ints


class Windows:
    """The windows of one source by one kind of key. ids: the key's number a row, from 0, or -1."""

    def __init__(self, rows: Rows, ids: Ints) -> None:
        self._rows, self._ids = rows, ids
        self._came: dict[tuple[int, tuple[str, ...]], _Steps] = {}
        self._sorted: dict[int, tuple[Ints, Ints]] = {}
        self._parts: dict[Measure, list[_Part]] = {}

    def answer(self, view: WindowView, answers: Sequence[Answer], asked: Asked) -> Columns:
        """Return each aggregate at every ask, NaN for null; all calls on one object give equal asks."""
        if view.refresh not in self._sorted:
            codes = _codes(asked.ids, _clipped(asked.at) // view.refresh, view.refresh)
            order = np.argsort(codes)
            self._sorted[view.refresh] = order, codes[order]
        order, codes = self._sorted[view.refresh]
        values = self._values(view, answers, codes)
        found: Columns = {}
        for one in answers:
            found[one.name] = np.empty(len(codes), np.float64)
            found[one.name][order] = values[one.name]
            if one.function == "count":
                found[one.name][asked.unmatched] = np.nan
        return found

    def stream(self, view: WindowView, answers: Sequence[Answer]) -> tuple[Ints, Ints, Columns]:
        """Return (ids, points as times, aggregates): what each key shows from a point on, wherever a row moves."""
        moved = []
        for waits in _waits(answers):
            first, past = self._span(view, waits)
            counted = (first < past) & (self._ids >= 0)
            moved += [_codes(self._ids[counted], one[counted], view.refresh) for one in (first, past)]
        codes = np.unique(np.concatenate(moved))
        ids, points = _decoded(codes, view.refresh)
        return ids, points * view.refresh, self._values(view, answers, codes)

    def _values(self, view: WindowView, answers: Sequence[Answer], codes: Ints) -> Columns:
        """Return every aggregate as of ascending codes."""
        sums: dict[Measure, Floats] = {}
        for waits in _waits(answers):
            came, went = self._steps(view, waits)
            before, after = came.places(codes), went.places(codes)
            wanted = {measure for one in answers for measure in one.measures if measure.waits == waits}
            for measure in wanted:
                sums[measure] = np.zeros(len(codes))
                for part in self._measured(measure):
                    inside = came.sums(part)[before] - went.sums(part)[after]
                    sums[measure] += inside * part.weight
        return {one.name: _aggregate(one, sums) for one in answers}

    def _steps(self, view: WindowView, waits: tuple[str, ...]) -> tuple["_Steps", "_Steps"]:
        first, past = self._span(view, waits)
        if (view.refresh, waits) not in self._came:
            self._came[view.refresh, waits] = _Steps.of(_codes(self._ids, first, view.refresh))
        return self._came[view.refresh, waits], _Steps.of(_codes(self._ids, past, view.refresh))

    def _span(self, view: WindowView, waits: tuple[str, ...]) -> tuple[Ints, Ints]:
        """Return the numbers of the points at which each row comes and goes; equal for one that never counts."""
        event = _clipped(self._rows.event)
        until = event + (view.window + 1)
        if self._rows.following:
            until = np.minimum(until, self._rows.following[waits])
        first = _point(np.maximum(self._rows.known[waits], event + 1), view.refresh)
        return first, np.maximum(first, _point(until, view.refresh))

    def _measured(self, measure: Measure) -> list["_Part"]:
        if measure not in self._parts:
            self._parts[measure] = _parts(self._rows.measures[measure])
        return self._parts[measure]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Part:
    """Whole numbers a row, and what one of them is worth."""

    values: Array
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Steps:
    """Codes in ascending order with the rows that are there, and the running sums that were asked for."""

    codes: Ints
    order: Ints
    known: dict[_Part, Ints] = field(default_factory=dict)

    @classmethod
    def of(cls, codes: Ints) -> "_Steps":
        order = np.argsort(codes)
        return cls(codes=codes[order], order=order)

    def places(self, codes: Ints) -> Ints:
        """Return how many rows are at or before each code."""
        return np.searchsorted(self.codes, codes, side="right")

    def sums(self, part: _Part) -> Ints:
        """Return the sum of the first 0, 1, 2.. rows."""
        if part not in self.known:
            total = np.zeros(len(self.order) + 1, np.int64)
            np.cumsum(part.values[self.order], dtype=np.int64, out=total[1:])
            self.known[part] = total
        return self.known[part]


def _waits(answers: Sequence[Answer]) -> list[tuple[str, ...]]:
    return sorted({measure.waits for one in answers for measure in one.measures})


def _aggregate(one: Answer, sums: Mapping[Measure, Floats]) -> Floats:
    count = sums[one.count]
    if one.total is None:
        return count
    total = sums[one.total]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(count > 0, total if one.function == "sum" else total / count, np.nan)


def _parts(values: Array) -> list[_Part]:
    """Split numbers into whole ones: flags and small whole numbers as they are, others scaled, 50 bits after the point.

    Huge numbers get fewer. Each part stays below 2**33, so 2**29 rows add up without overflow.
    """
    if values.dtype.kind == "b":
        return [_Part(values=values, weight=1.0)]
    largest = float(np.abs(values).max(initial=0.0))
    if largest < _WHOLE_LIMIT and np.array_equal(values, np.floor(values)):
        return [_Part(values=values.astype(np.int64), weight=1.0)]
    bits = _SCALE_BITS - max(0, math.frexp(largest)[1] - (_LARGEST_BITS - _SCALE_BITS))
    rest, found = np.rint(np.ldexp(values, bits)), []
    for place in (2, 1, 0):
        part = np.trunc(np.ldexp(rest, -_PART_BITS * place))
        rest = rest - np.ldexp(part, _PART_BITS * place)
        if part.any():
            found.append(_Part(values=part.astype(np.int64), weight=2.0 ** (_PART_BITS * place - bits)))
    return found


def _clipped(times: Ints) -> Ints:
    return np.clip(times, -NEVER_KNOWN // 2, NEVER_KNOWN // 2)


def _point(times: Ints, refresh: int) -> Ints:
    """Return the number of the first refresh point at or after a time, also before 1970."""
    return -(-times // refresh)


def _radix(refresh: int) -> tuple[int, int]:
    """Return (the largest number of a point, how many numbers lie between equal points of neighbouring keys)."""
    half = _TIMES // 2 // refresh + 1
    return half, 2 * half + 1


def _codes(ids: Ints, points: Ints, refresh: int) -> Ints:
    """Return one number for a key and a point: ordered by key, then time."""
    half, radix = _radix(refresh)
    return ids * radix + np.clip(points, -half, half)


def _decoded(codes: Ints, refresh: int) -> tuple[Ints, Ints]:
    half, radix = _radix(refresh)
    ids = (codes + half) // radix
    return ids, codes - ids * radix
