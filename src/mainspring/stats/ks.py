"""Two-sample Kolmogorov-Smirnov distance from counts at shared cut points (Smirnov 1939).

Only differences at the cut points are seen, so the distance is at most the exact one and the p-value at least the
exact one: the test is conservative. The p-value is the asymptotic one with the effective sample size n m / (n + m).
"""

import numpy as np

from mainspring.stats.columns import Array, Floats


def ks(expected: Array, actual: Array) -> tuple[float, float]:
    """Return (distance, p-value) of two count vectors over the same ordered bins; (0.0, 1.0) where either is empty.

    >>> distance, p = ks(np.array([500, 500]), np.array([250, 750]))
    >>> round(distance, 3), p < 1e-20
    (0.25, True)
    """
    from scipy.special import kolmogorov  # 0.3 s that a command without statistics need not pay

    first, second = np.asarray(expected, np.float64), np.asarray(actual, np.float64)
    n, m = first.sum(), second.sum()
    if not n or not m:
        return 0.0, 1.0
    distance = float(ks_each(first, second))
    return distance, float(kolmogorov(distance * np.sqrt(n * m / (n + m))))


def ks_each(expected: Array, actual: Array) -> Floats:
    """Return the distance of each pair of count vectors: [.., bins] of both give [..]; 0.0 where either is empty."""
    first, second = np.cumsum(expected, axis=-1, dtype=np.float64), np.cumsum(actual, axis=-1, dtype=np.float64)
    n, m = first[..., -1:], second[..., -1:]
    distance = np.abs(first / np.maximum(n, 1.0) - second / np.maximum(m, 1.0)).max(axis=-1)
    return np.where((n[..., 0] > 0) & (m[..., 0] > 0), distance, 0.0)
