"""A number that a watch found, as a monitoring system takes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One sample of one series. Times are UTC seconds, as Prometheus counts them.

    name: without the `_total` of a number that only grows. text: one line of help. grows: it never falls.
    """

    name: str
    text: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    grows: bool = False
