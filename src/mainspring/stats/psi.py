"""Population stability index of two histograms over the same bins (Lewis 1994; Siddiqi 2006).

PSI = sum (p - q) ln(p / q): the symmetric Kullback-Leibler divergence. Half a row is added to every bin that either
side filled (Jeffreys), so that an empty bin costs a finite amount that falls as rows grow. Under no drift,
PSI / (1/n + 1/m) is about chi-squared with bins - 1 degrees of freedom (Yurdakul 2018): a p-value for any column.
"""

import numpy as np
from numpy.typing import NDArray

from mainspring.stats.columns import Array, Floats

HALF = 0.5


def psi(expected: Array, actual: Array) -> float:
    """Return the PSI of two count vectors over the same bins; 0.0 where either is empty.

    >>> psi(np.array([50, 50]), np.array([500, 500]))
    0.0
    >>> round(psi(np.array([500, 500]), np.array([250, 750])), 3)
    0.274
    """
    return float(psi_each(expected, actual))


def psi_each(expected: Array, actual: Array) -> Floats:
    """Return the PSI of each pair of count vectors: [.., bins] of both give [..]."""
    before, now = np.asarray(expected, np.float64), np.asarray(actual, np.float64)
    used = (before > 0) | (now > 0)
    p, q = _shares(before, used), _shares(now, used)
    ratio = np.divide(q, p, out=np.ones_like(q), where=used)
    filled = (before.sum(axis=-1) > 0) & (now.sum(axis=-1) > 0)
    return np.where(filled, ((q - p) * np.log(ratio)).sum(axis=-1), 0.0)


def psi_p_value(value: float, expected: Array, actual: Array) -> float:
    """Return the chance of a PSI at least this large if both histograms came from one distribution."""
    from scipy.special import chdtrc  # 0.3 s that a command without statistics need not pay

    n, m = float(np.sum(expected)), float(np.sum(actual))
    used = int(((np.asarray(expected) > 0) | (np.asarray(actual) > 0)).sum())
    if not n or not m or used < 2:
        return 1.0
    return float(chdtrc(used - 1, value / (1 / n + 1 / m)))


def _shares(counts: Floats, used: NDArray[np.bool_]) -> Floats:
    smooth = np.where(used, counts + HALF, 0.0)
    shares: Floats = smooth / np.maximum(smooth.sum(axis=-1, keepdims=True), HALF)
    return shares
