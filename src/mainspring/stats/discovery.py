"""False-discovery control over many columns at once (Benjamini and Hochberg 1995)."""

import numpy as np
from numpy.typing import NDArray

from mainspring.kernel.errors import InvalidValue
from mainspring.stats.columns import Array


def benjamini_hochberg(p_values: Array, level: float) -> NDArray[np.bool_]:
    """Tell which hypotheses are rejected so that the expected share of false rejections is at most `level`.

    >>> benjamini_hochberg(np.array([0.001, 0.9, 0.02]), 0.05).tolist()
    [True, False, True]
    """
    p = np.asarray(p_values, np.float64)
    if not 0 < level < 1:
        raise InvalidValue(f"false-discovery level {level} is not in (0, 1)", fix="use a share such as 0.05")
    rejected = np.zeros(len(p), dtype=np.bool_)
    order = np.argsort(p, kind="stable")
    below = np.flatnonzero(p[order] <= level * np.arange(1, len(p) + 1) / max(len(p), 1))
    if len(below):
        rejected[order[: below[-1] + 1]] = True
    return rejected
