"""Learn a model's reference from its training rows: bins, counts, and what is usual from week to week.

Every 7-day window of training (stepped by a day) is measured against all *other* training rows. What nine windows in
ten stay below is a drift detector's usual value; for a fault detector it is the largest. So a season that training
saw is not drift, and a threshold needs no tuning. (Why nine in ten: docs/studies/flights.md.)
"""

import numpy as np
from numpy.typing import NDArray

from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.times import DAY
from mainspring.observe.drift.detector import Kind
from mainspring.observe.drift.judgement import DETECTORS
from mainspring.observe.drift.novelty import NOVELTY
from mainspring.observe.profiles import OUTPUT, ColumnReference, Counts, Reference, bin_rows
from mainspring.stats.columns import Array, Columns, Floats, is_null

PARTS = 20
MAX_LEVELS = 100
WEEK_DAYS = 7
MIN_WEEK_ROWS = 100
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


def novelty(values: Array, days: NDArray[np.int64]) -> float:
    """Return the largest share, over all 7-day windows of training, of values that the days before had not seen.

    values: in order of time; days: their day numbers from 0. Only windows that a week precedes say something.
    """
    known = ~is_null(values)
    days, values = days[known], values[known]
    seen = _first_days(values, days) if values.dtype == object else None
    ranges = None if seen is not None else _ranges(values.astype(np.float64))
    largest = 0.0
    for phase in range(WEEK_DAYS):
        week = (days + phase) // WEEK_DAYS
        starts = np.searchsorted(week, week, side="left")
        if seen is not None:
            new = seen >= week * WEEK_DAYS - phase
        elif ranges is not None:
            below, above = (bound[np.maximum(starts - 1, 0)] for bound in ranges)
            new = (values < below) | (values >= above)
        preceded = days[np.maximum(starts - 1, 0)] - days[:1] >= WEEK_DAYS - 1
        rows = np.bincount(week)
        fresh = np.bincount(week, weights=new & preceded, minlength=len(rows))
        counted = rows >= MIN_WEEK_ROWS
        largest = max(largest, float((fresh[counted] / rows[counted]).max(initial=0.0)))
    return largest


def _learn(name: str, values: Array, days: NDArray[np.int64]) -> ColumnReference:
    kind: Kind = "string" if values.dtype == object else "number"
    cuts = cut_points(values.astype(np.float64)) if kind == "number" else np.zeros(0)
    levels = _levels(values) if kind == "string" else ()
    bare = ColumnReference(name=name, kind=kind, cuts=tuple(cuts.tolist()), levels=levels, counts=(), usual={})
    place = bin_rows(bare, values)
    counts = np.bincount(place, minlength=bare.bins)
    usual = _usual(kind, place, days, bare.bins)
    usual[NOVELTY.name] = max(usual[NOVELTY.name], novelty(values, days))
    return ColumnReference(
        name=name, kind=kind, cuts=bare.cuts, levels=levels, counts=tuple(counts.tolist()), usual=usual
    )


def _usual(kind: Kind, place: Counts, days: NDArray[np.int64], bins: int) -> dict[str, float]:
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


def _levels(values: Array) -> tuple[str, ...]:
    counted: dict[str, int] = {}
    for value in values.tolist():
        if value is not None:
            counted[value] = counted.get(value, 0) + 1
    return tuple(sorted(counted, key=lambda level: (-counted[level], level))[:MAX_LEVELS])


def _first_days(values: Array, days: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each value the day on which its level was first seen."""
    first: dict[str, int] = {}
    for value, day in zip(values.tolist(), days.tolist(), strict=True):
        first.setdefault(value, day)
    return np.fromiter((first[value] for value in values.tolist()), np.int64, len(values))


def _ranges(numbers: Floats) -> tuple[Floats, Floats]:
    """Return the widened range of all rows up to each row."""
    return _widened(np.minimum.accumulate(numbers), np.maximum.accumulate(numbers))


def _widened(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return bounds one range further out; a constant counts as a range of its own size, at least 1."""
    wide = np.where(high > low, high - low, np.maximum(np.abs(high), 1.0))
    return low - wide, high + wide
