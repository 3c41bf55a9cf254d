"""Learn a model's reference from its training rows: bins, counts, and what is usual from week to week.

Every 7-day window of training (stepped by a day) is measured against all *other* training rows. What nine windows in
ten stay below is a drift detector's usual value; for a fault detector it is the largest. So a season that training
saw is not drift, and a threshold needs no tuning. (Why nine in ten: docs/studies/flights.md.)
"""

from dataclasses import replace

import numpy as np
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
WEEK_DAYS = 7
MIN_WEEK_ROWS = 100
Days = NDArray[np.int64]
USUAL = {"drift": 0.9, "fault": 1.0}


def reference_profile(columns: Columns, asked_at: Array, scores: Array) -> Reference:
    """Return the reference of a model trained on `columns`, which answered `scores` on them.

    columns: inputs by name, float64 or object. asked_at: int64 UTC microseconds, in any order.
    """
    order = np.argsort(asked_at, kind="stable")
    at = np.asarray(asked_at, np.int64)[order]
    if not len(at):
        raise InvalidValue("a reference cannot be learnt from no rows", fix="train on data")
    days = (at // DAY) - (at[0] // DAY)
    table = {**columns, OUTPUT: np.asarray(scores, np.float64)}
    learnt = tuple(_learn(name, values[order], days) for name, values in table.items())
    return Reference(columns=learnt, rows=len(at), start=int(at[0]), end=int(at[-1]) + 1)


def cut_points(numbers: Floats) -> Floats:
    """Return ascending cuts: the twentieths of the known values, between bounds one training range further out."""
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return np.zeros(0)
    low, high = float(known.min()), float(known.max())
    inner = np.unique(np.quantile(known, np.arange(1, PARTS) / PARTS, method="higher"))
    below, above = _widened(np.array([low]), np.array([high]))
    return np.unique(np.concatenate([below, inner, above]))


def novelty(values: Array, days: Days) -> float:
    """Return the largest share, over all 7-day windows of training, of values that the days before had not seen.

    values: numbers, or level codes of strings (`_codes`), null-free and in order of time; days: their day numbers
    from 0. Only windows that a week precedes say something.
    """
    if not len(days):
        return 0.0
    numbers = values.dtype.kind == "f"
    ranges = _ranges(values, days) if numbers else []
    firsts = days if numbers else _first_days(values, days)
    edges = np.searchsorted(days, np.arange(int(days[-1]) + 2))
    largest = 0.0
    for first in range(int(days[0]) + WEEK_DAYS, len(edges) - WEEK_DAYS):
        start, end = int(edges[first]), int(edges[first + WEEK_DAYS])
        if end - start >= MIN_WEEK_ROWS:
            part = values[start:end]
            new = _outside(part, *ranges[first - 1]) if numbers else firsts[start:end] >= first
            largest = max(largest, float(np.mean(new)))
    return largest


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
    found: dict[str | None, int] = {None: 0}
    codes = np.array([found.setdefault(value, len(found)) for value in values.tolist()], np.int64)
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
            values = [detector.measure(kind, total - week, week).value for week in full]
            found[detector.name] = float(np.quantile(values, USUAL[detector.tells])) if values else 0.0
    return found


def _first_days(codes: Array, days: Days) -> Days:
    """Return for each row the day on which its level was first seen."""
    first = np.zeros(int(codes.max()) + 1, np.int64)
    first[codes[::-1]] = days[::-1]
    return first[codes]


def _ranges(numbers: Floats, days: Days) -> list[tuple[float, float]]:
    """Return the widened range of everything known by the end of each day."""
    ends = np.searchsorted(days, np.arange(int(days[-1]) + 1), side="right") - 1
    low, high = np.minimum.accumulate(numbers)[ends], np.maximum.accumulate(numbers)[ends]
    below, above = _widened(low, high)
    return list(zip(below.tolist(), above.tolist(), strict=True))


def _outside(part: Floats, below: float, above: float) -> NDArray[np.bool_]:
    if part.min() >= below and part.max() < above:
        return np.zeros(1, np.bool_)
    new: NDArray[np.bool_] = (part < below) | (part >= above)
    return new


def _widened(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return bounds one range further out; a constant counts as a range of its own size, at least 1."""
    wide = np.where(high > low, high - low, np.maximum(np.abs(high), 1.0))
    return low - wide, high + wide
