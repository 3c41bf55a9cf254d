"""Learn a model's reference from its training rows: bins, counts, and what is usual from week to week.

Every 7-day window of training (stepped by a day) is measured against all *other* training rows. What nine windows in
ten stay below is a drift detector's usual value; for a fault detector it is the largest. So a season that training
saw is not drift, and a threshold needs no tuning. (Why nine in ten: docs/studies/flights.md.)
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.times import DAY
from mainspring.observe.drift.detector import Kind
from mainspring.observe.drift.judgement import DETECTORS
from mainspring.observe.drift.novelty import NOVELTY
from mainspring.observe.profiles import OUTPUT, ColumnReference, Counts, Reference, bin_rows
from mainspring.stats.columns import Array, Columns, Floats

PARTS = 20
MAX_LEVELS = 100
_AT_ONCE = 2
WEEK_DAYS = 7
MIN_WEEK_ROWS = 100
Days = NDArray[np.int64]
USUAL = {"drift": 0.9, "fault": 1.0}


@dataclass(frozen=True, slots=True)
class Learnt:
    """What training rows say of their own columns, before any model: `with_scores` adds the output.

    order: the rows by time. days: their day numbers from 0. start, end: the period, UTC microseconds.
    """

    order: NDArray[np.intp]
    days: Days
    columns: Mapping[str, ColumnReference]
    start: int
    end: int

    def with_scores(self, names: Sequence[str], scores: Array) -> Reference:
        """Return the reference of a model that reads `names` and answered `scores` on the rows as they came."""
        output = _learn(OUTPUT, np.asarray(scores, np.float64)[self.order], self.days)
        columns = (*(self.columns[name] for name in names), output)
        return Reference(columns=columns, rows=len(self.order), start=self.start, end=self.end)


def learn(columns: Columns, asked_at: Array) -> Learnt:
    """Learn what is usual of every column; a thread beside the fit may do it, for it needs no model.

    columns: by name, float64 or object. asked_at: int64 UTC microseconds, in any order.
    """
    at = np.asarray(asked_at, np.int64)
    order = np.argsort(at, kind="stable")
    at = at[order]
    if not len(at):
        raise InvalidValue("a reference cannot be learnt from no rows", fix="train on data")
    days = (at // DAY) - (at[0] // DAY)
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # sorting and searching run outside Python's lock
        learnt = pool.map(lambda name: _learn(name, columns[name][order], days), columns)
        return Learnt(order, days, dict(zip(columns, learnt, strict=True)), int(at[0]), int(at[-1]) + 1)


def reference_profile(columns: Columns, asked_at: Array, scores: Array) -> Reference:
    """Return the reference of a model trained on `columns`, which answered `scores` on them."""
    return learn(columns, asked_at).with_scores(list(columns), scores)


def cut_points(numbers: Floats) -> Floats:
    """Return ascending cuts: the twentieths of the known values, between bounds one training range further out."""
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return np.zeros(0)
    known = np.sort(known)
    twentieths = np.ceil((len(known) - 1) * (np.arange(1, PARTS) / PARTS)).astype(np.intp)
    inner = np.unique(known[twentieths])
    below, above = _widened(known[:1], known[-1:])
    return np.unique(np.concatenate([below, inner, above]))


def novelty(values: Array, days: Days) -> float:
    """Return the largest share, over all 7-day windows of training, of values that the days before had not seen.

    values: numbers, or level codes of strings (`_codes`), null-free and in order of time; days: their day numbers
    from 0. Only windows that a week precedes say something.
    """
    if not len(days):
        return 0.0
    edges = np.searchsorted(days, np.arange(int(days[-1]) + 2))
    firsts = np.arange(int(days[0]) + WEEK_DAYS, len(edges) - WEEK_DAYS)
    firsts = firsts[edges[firsts + WEEK_DAYS] - edges[firsts] >= MIN_WEEK_ROWS]
    if not len(firsts):
        return 0.0
    find_new = _numbers_beyond if values.dtype.kind == "f" else _levels_since
    return max(find_new(values, edges, firsts))


def _learn(name: str, values: Array, days: Days) -> ColumnReference:
    kind: Kind = "string" if values.dtype == object else "number"
    bare, place, known = _binned(name, values) if kind == "number" else _levelled(name, values)
    usual = _usual(kind, place, days, bare.bins)
    usual[NOVELTY.name] = max(usual[NOVELTY.name], novelty(known, days[place < bare.bins - 1]))
    counts = tuple(np.bincount(place, minlength=bare.bins).tolist())
    return replace(bare, counts=counts, usual=usual)


def _binned(name: str, values: Array) -> tuple[ColumnReference, Counts, Array]:
    """Return a number column without counts, the bin of every row, and the known values."""
    numbers = values.astype(np.float64, copy=False)
    cuts = tuple(cut_points(numbers).tolist())
    bare = ColumnReference(name=name, kind="number", cuts=cuts, levels=(), counts=(), usual={})
    return bare, bin_rows(bare, numbers), numbers[~np.isnan(numbers)]


def _levelled(name: str, values: Array) -> tuple[ColumnReference, Counts, Array]:
    """Return a string column without counts, the bin of every row, and the level codes of the known values."""
    texts = values.tolist()
    found: dict[str | None, int] = {level: code for code, level in enumerate(dict.fromkeys([None, *texts]))}
    codes = np.fromiter(map(found.__getitem__, texts), np.int64, len(texts))
    counted = np.bincount(codes, minlength=len(found)).tolist()
    names = [(-counted[code], level) for level, code in found.items() if level is not None]
    levels = tuple(level for _, level in sorted(names)[:MAX_LEVELS])
    bare = ColumnReference(name=name, kind="string", cuts=(), levels=levels, counts=(), usual={})
    bins = np.array([bare.index.get(level, len(levels)) for level in found], np.int64)
    return bare, bins[codes], codes[codes > 0]


def _usual(kind: Kind, place: Counts, days: Days, bins: int) -> dict[str, float]:
    """Measure every week (stepped by a day) against the rest of training with every detector."""
    span = int(days[-1]) + 1
    daily = np.bincount(days * bins + place, minlength=span * bins).reshape(span, bins)
    total = daily.sum(axis=0)
    summed = np.vstack([np.zeros((1, bins), np.int64), np.cumsum(daily, axis=0)])
    weeks = summed[WEEK_DAYS:] - summed[:-WEEK_DAYS]
    full = weeks[(weeks.sum(axis=1) >= MIN_WEEK_ROWS) & ((total - weeks).sum(axis=1) >= MIN_WEEK_ROWS)]
    found = {}
    for detector in DETECTORS:
        if kind in detector.kinds:
            values = detector.each(kind, total - full, full)
            found[detector.name] = float(np.quantile(values, USUAL[detector.tells])) if len(values) else 0.0
    return found


def _levels_since(codes: Array, edges: Days, firsts: Days) -> Iterator[float]:
    """Yield for each window that starts on a day of `firsts` the share of values first seen on that day or later."""
    place = np.full(int(codes.max()) + 1, len(codes), np.int64)
    np.minimum.at(place, codes, np.arange(len(codes)))
    for first in firsts.tolist():
        yield float(np.mean(place[codes[edges[first] : edges[first + WEEK_DAYS]]] >= edges[first]))


def _numbers_beyond(numbers: Floats, edges: Days, firsts: Days) -> Iterator[float]:
    """Yield for each window the share of values outside the widened range of the days before it; 0.0 first."""
    filled = np.flatnonzero(np.diff(edges))
    low, high = np.full(len(edges) - 1, np.inf), np.full(len(edges) - 1, -np.inf)
    low[filled], high[filled] = (extreme.reduceat(numbers, edges[filled]) for extreme in (np.minimum, np.maximum))
    below, above = _widened(np.minimum.accumulate(low)[firsts - 1], np.maximum.accumulate(high)[firsts - 1])
    least, most = sliding_window_view(low, WEEK_DAYS).min(axis=1), sliding_window_view(high, WEEK_DAYS).max(axis=1)
    yield 0.0
    for place in np.flatnonzero((least[firsts] < below) | (most[firsts] >= above)):
        part = numbers[edges[firsts[place]] : edges[firsts[place] + WEEK_DAYS]]
        yield float(np.mean((part < below[place]) | (part >= above[place])))


def _widened(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return bounds one range further out; a constant counts as a range of its own size, at least 1."""
    wide = np.where(high > low, high - low, np.maximum(np.abs(high), 1.0))
    return low - wide, high + wide
