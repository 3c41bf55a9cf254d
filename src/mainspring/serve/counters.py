"""Counts of the data plane: plain numbers, added to by one thread each and read by metrics and admin.

A metric library's locks and labels cost microseconds a request; these cost nanoseconds and are exported when scraped.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable

from mainspring.kernel.indicators import LATENCY_BOUNDS_US


class Counters:
    """What happened since the start; only grows."""

    def __init__(self) -> None:
        self.requests = 0
        self.rows = 0
        self.refused: Counter[str] = Counter()
        self.rows_by_version: Counter[int] = Counter()
        self.failed_by_version: Counter[int] = Counter()
        self.challenger_requests = 0
        self.challenger_failures: Counter[str] = Counter()
        self.fallback_rows = 0
        self.unpaired_requests = 0
        self.latency = [0] * (len(LATENCY_BOUNDS_US) + 1)
        self.latency_sum_us = 0

    def answered(self, took_us: int) -> None:
        """Count one answered request and its latency in microseconds."""
        self.latency[bisect_left(LATENCY_BOUNDS_US, took_us)] += 1
        self.latency_sum_us += took_us
        self.requests += 1

    def challenger_failed(self, number: int, reason: str) -> None:
        """Count a request in which a challenger, the version of this number, failed."""
        self.challenger_failures[reason] += 1
        self.failed_by_version[number] += 1

    def with_those_of(self, others: "Iterable[Counters]") -> "Counters":
        """Return the sums of these and other threads' counts of answers; the rest is counted here alone."""
        total = Counters()
        total.__dict__.update(self.__dict__)
        for other in others:
            total.requests += other.requests
            total.rows += other.rows
            total.rows_by_version = total.rows_by_version + other.rows_by_version
            total.latency = [one + more for one, more in zip(total.latency, other.latency, strict=True)]
            total.latency_sum_us += other.latency_sum_us
        return total
