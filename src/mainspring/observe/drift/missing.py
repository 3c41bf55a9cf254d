"""Share of nulls: a jump means that something upstream stopped sending."""

import numpy as np

from mainspring.observe.drift.detector import Detector, Kind, Measured
from mainspring.stats.columns import Array, Floats


def measure(kind: Kind, expected: Array, actual: Array) -> Measured:
    """Return the share of nulls."""
    return Measured(value=float(each(kind, expected, actual)))


def each(kind: Kind, expected: Array, actual: Array) -> Floats:
    """Return the share of nulls in each window; 0.0 in one without rows."""
    shares: Floats = actual[..., -1] / np.maximum(actual.sum(axis=-1), 1)
    return shares


MISSING = Detector(
    name="missing", tells="fault", kinds=("number", "string"), floor=0.2, slack=0.2, measure=measure, each=each
)  # fmt: skip
