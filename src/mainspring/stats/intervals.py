"""Intervals of a mean whose rows come in correlated blocks.

The mean is a ratio, sum over rows / number of rows. Its standard error comes from the block residuals
`total - mean * rows` (the linearised, cluster-robust estimate: Cochran 1977, section 6; Liang and Zeger 1986) and
the quantile from Student's t with blocks - 1 degrees of freedom. On the flights the t interval covered better than a
percentile bootstrap by day (92 % against 87 % at 14 days: docs/studies/flights.md), and it needs no random numbers.
"""

from dataclasses import dataclass

import numpy as np

from mainspring.kernel.errors import InvalidValue
from mainspring.stats.blocks import block_sums
from mainspring.stats.columns import Array, Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean with its two-sided bounds. With fewer than two blocks the bounds are infinite: nothing is known."""

    mean: float
    low: float
    high: float
    blocks: int
    rows: int


def block_interval(values: Array, days: Array, confidence: float = 0.95) -> Interval:
    """Return the mean of `values` with a two-sided interval by blocks of `days`.

    >>> found = block_interval(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 1, 2, 2]))
    >>> found.mean, found.blocks, found.low < 0 < 5 < found.high
    (2.5, 2, True)
    """
    check_confidence(confidence)
    _, totals, rows = block_sums(values, days)
    mean, error = ratio_error(totals, rows)
    wide = reach(error, len(rows), (1 + confidence) / 2)
    return Interval(mean=mean, low=mean - wide, high=mean + wide, blocks=len(rows), rows=int(rows.sum()))


def ratio_error(totals: Floats, rows: Floats) -> tuple[float, float]:
    """Return (mean, standard error) of sum(totals) / sum(rows); NaN and infinity for no rows or one block."""
    count = float(rows.sum())
    if not count:
        return float("nan"), float("inf")
    mean = float(totals.sum()) / count
    if len(rows) < 2:
        return mean, float("inf")
    residual = totals - mean * rows
    scale = len(rows) / (len(rows) - 1.0)
    return mean, float(np.sqrt(scale * float(residual @ residual)) / count)


def reach(error: float, blocks: int, quantile: float) -> float:
    """Return how far the bound at `quantile` lies from the mean: t with blocks - 1 degrees of freedom."""
    from scipy.special import stdtrit  # 0.3 s that a command without statistics need not pay

    return float("inf") if not np.isfinite(error) else float(stdtrit(blocks - 1, quantile)) * error


def check_confidence(confidence: float) -> None:
    """Refuse a confidence that is not between one half and one."""
    if not 0.5 <= confidence < 1:
        raise InvalidValue(f"confidence {confidence} is not in [0.5, 1)", fix="use a share such as 0.95")
