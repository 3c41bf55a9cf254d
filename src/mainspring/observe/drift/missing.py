"""Share of nulls: a jump means that something upstream stopped sending."""

from mainspring.observe.drift.detector import Detector, Kind, Measured
from mainspring.stats.columns import Array


def measure(kind: Kind, expected: Array, actual: Array) -> Measured:
    """Return the share of nulls."""
    rows = float(actual.sum())
    return Measured(value=float(actual[-1]) / rows if rows else 0.0)


MISSING = Detector(name="missing", tells="fault", kinds=("number", "string"), floor=0.2, slack=0.2, measure=measure)
