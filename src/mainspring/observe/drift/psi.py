"""Population stability index over all bins but nulls: the measure of drift for numbers and strings."""

from mainspring.observe.drift.detector import Detector, Kind, Measured
from mainspring.stats.columns import Array, Floats
from mainspring.stats.psi import psi, psi_each, psi_p_value


def measure(kind: Kind, expected: Array, actual: Array) -> Measured:
    """Return the PSI and its chi-squared p-value (`stats.psi`); nulls are left to `missing`."""
    before, now = expected[:-1], actual[:-1]
    value = psi(before, now)
    return Measured(value=value, p=psi_p_value(value, before, now))


def each(kind: Kind, expected: Array, actual: Array) -> Floats:
    """Return the PSI of each window."""
    return psi_each(expected[..., :-1], actual[..., :-1])


PSI = Detector(
    name="psi", tells="drift", kinds=("number", "string"), floor=0.05, slack=0.0, measure=measure, each=each
)  # fmt: skip
