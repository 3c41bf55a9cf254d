"""Is the new model worse than the old one on the same rows? The mean paired difference in day blocks.

Pairing removes what both models share (on the flights the paired standard deviation is a quarter of the unpaired
one); day blocks keep the interval honest. `upper` is the one-sided bound that a non-inferiority gate compares with
its margin (Piaggio et al. 2012).
"""

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np

from mainspring.kernel.errors import InvalidValue
from mainspring.stats.blocks import block_sums
from mainspring.stats.columns import Array
from mainspring.stats.intervals import check_confidence, ratio_error, reach


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """New minus old, so above zero is worse. `low`, `high`: two-sided; `upper`: one-sided, same confidence.

    With fewer than two blocks the bounds are infinite.
    """

    difference: float
    low: float
    high: float
    upper: float
    blocks: int
    rows: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; what is not finite is null, which no gate accepts."""
        return {name: _finite(value) for name, value in asdict(self).items()}


def paired_difference(new_losses: Array, old_losses: Array, days: Array, confidence: float = 0.95) -> PairedDifference:
    """Compare the losses of two models on the same rows, by blocks of `days`.

    >>> new, old, days = np.array([0.5, 0.7, 0.6]), np.array([0.4, 0.5, 0.5]), np.array([1, 2, 3])
    >>> found = paired_difference(new, old, days)
    >>> round(found.difference, 6), found.blocks, found.low < found.difference < found.upper < found.high
    (0.133333, 3, True)
    """
    new, old = np.asarray(new_losses, np.float64), np.asarray(old_losses, np.float64)
    if new.shape != old.shape:
        raise InvalidValue(f"{new.shape} and {old.shape} losses do not pair", fix="score the same rows with both")
    check_confidence(confidence)
    _, totals, rows = block_sums(new - old, days)
    mean, error = ratio_error(totals, rows)
    blocks = len(rows)
    wide = reach(error, blocks, (1 + confidence) / 2)
    upper = mean + reach(error, blocks, confidence)
    return PairedDifference(
        difference=mean, low=mean - wide, high=mean + wide, upper=upper, blocks=blocks, rows=int(rows.sum())
    )


def _finite(value: float | int) -> float | int | None:
    return value if isfinite(value) else None
