"""Paired bootstrap by day: draw whole days with replacement, the same days for both models (Efron 1979; Künsch 1989).

Means and AUC are computed from weights a row (how often its day was drawn), so rows are sorted once and not copied.
Percentile intervals; `seed` fixes the draws.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainspring.kernel.errors import InvalidValue
from mainspring.stats.blocks import block_sums
from mainspring.stats.columns import Array, Floats
from mainspring.stats.intervals import check_confidence


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapDifference:
    """New minus old of a metric, with a percentile interval over `draws` draws of `blocks` days."""

    difference: float
    low: float
    high: float
    blocks: int
    draws: int


def bootstrap_difference(
    new_losses: Array, old_losses: Array, days: Array, *, confidence: float = 0.95, draws: int = 2000, seed: int = 0
) -> BootstrapDifference:
    """Return the difference of two mean losses with its interval by day.

    >>> days = np.repeat(np.arange(20), 5)
    >>> found = bootstrap_difference(np.full(100, 0.4), np.full(100, 0.5), days)
    >>> round(found.difference, 6), round(found.low, 6), round(found.high, 6)
    (-0.1, -0.1, -0.1)
    """
    gap = np.asarray(new_losses, np.float64) - np.asarray(old_losses, np.float64)
    _, totals, rows = block_sums(gap, days)
    weights = _draws(len(rows), draws, seed)
    drawn = (weights @ totals) / (weights @ rows)
    return _percentiles(float(totals.sum() / rows.sum()), drawn, len(rows), confidence)


def bootstrap_auc_difference(
    target: Array, new_scores: Array, old_scores: Array, days: Array, *, draws: int = 300, seed: int = 0
) -> BootstrapDifference:
    """Return the difference of two ROC AUCs (above zero: the new model is better) with a 95 % interval by day."""
    names, place = np.unique(np.asarray(days, np.int64), return_inverse=True)
    truth = np.asarray(target, np.float64) > 0
    new, old = _Sorted(truth, new_scores), _Sorted(truth, old_scores)
    weights = _draws(len(names), draws, seed)
    drawn = np.array([new.auc(row[place]) - old.auc(row[place]) for row in weights])
    every = np.ones(len(truth))
    seen = new.auc(every) - old.auc(every)
    return _percentiles(seen, drawn[np.isfinite(drawn)], len(names), 0.95)


class _Sorted:
    """Rows in order of score, ready for a weighted AUC."""

    def __init__(self, truth: NDArray[np.bool_], scores: Array) -> None:
        self.order = np.argsort(scores, kind="stable")
        ordered = np.asarray(scores)[self.order]
        self.truth = truth[self.order]
        self.starts = np.flatnonzero(np.append(True, np.diff(ordered) != 0))

    def auc(self, weights: Floats) -> float:
        ordered = weights[self.order]
        ones = np.add.reduceat(np.where(self.truth, ordered, 0.0), self.starts)
        zeros = np.add.reduceat(np.where(self.truth, 0.0, ordered), self.starts)
        below = np.cumsum(zeros) - zeros / 2.0
        pairs = float(ones.sum() * zeros.sum())
        return float(ones @ below) / pairs if pairs else float("nan")


def _draws(blocks: int, draws: int, seed: int) -> Floats:
    if blocks < 2:
        raise InvalidValue(f"{blocks} days cannot be resampled", fix="give at least two days")
    random = np.random.default_rng(seed)
    return random.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=draws).astype(np.float64)


def _percentiles(seen: float, drawn: Floats, blocks: int, confidence: float) -> BootstrapDifference:
    check_confidence(confidence)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return BootstrapDifference(difference=seen, low=float(low), high=float(high), blocks=blocks, draws=len(drawn))
