"""Where answers of the short ways are named, counted and logged."""

from bisect import bisect_left
from time import perf_counter_ns

import msgspec

from mainspring.kernel.ids import RequestIds
from mainspring.kernel.indicators import LATENCY_BOUNDS_US
from mainspring.kernel.times import Clock
from mainspring.serve.counters import Counters
from mainspring.serve.log_rows import RowShape
from mainspring.serve.ports import LogSink


class Till(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Where a thread that answers logs, counts and takes ids; only the log is shared with other threads.

    paces: what its calls take tells how fast the model is. Where threads contend for the interpreter it does not.
    """

    log: LogSink
    clock: Clock
    ids: RequestIds
    counters: Counters
    paces: bool = True

    def settled(self, shape: RowShape, values: bytes, scores: bytes, took: int, started: int) -> str:
        """Count and log a scored request, and return its id. Not for several threads at once.

        values, scores: little-endian float64, column by column. took: microseconds of the version. started:
        `time.perf_counter_ns`.
        """
        now = self.clock.now()
        name = self.ids.next(now)
        took_us = (perf_counter_ns() - started) // 1_000
        counters = self.counters
        counters.rows_by_version[shape.number] += shape.rows
        counters.latency[bisect_left(LATENCY_BOUNDS_US, took_us)] += 1
        counters.latency_sum_us += took_us
        counters.requests += 1
        counters.rows += shape.rows
        self.log.put_row((shape, name, now, took_us, values, scores, took))
        return name
