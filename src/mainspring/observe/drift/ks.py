"""Kolmogorov-Smirnov distance at the cut points, for numbers: shown beside PSI, and its p-value is the test."""

from mainspring.observe.drift.detector import Detector, Kind, Measured
from mainspring.stats.columns import Array, Floats
from mainspring.stats.ks import ks, ks_each


def measure(kind: Kind, expected: Array, actual: Array) -> Measured:
    """Return the distance and its conservative p-value (`stats.ks`); nulls are left to `missing`."""
    distance, p = ks(expected[:-1], actual[:-1])
    return Measured(value=distance, p=p)


def each(kind: Kind, expected: Array, actual: Array) -> Floats:
    """Return the distance of each window."""
    return ks_each(expected[..., :-1], actual[..., :-1])


KS = Detector(name="ks", tells="drift", kinds=("number",), floor=0.05, slack=0.0, measure=measure, each=each)
