"""How fast a version scores: measured at load, watched in traffic. It says where scoring may run, and batches.

The event loop serves everybody, so only what takes less than `INLINE_US` a call may run there. A batch is worth its
while only where 16 rows cost clearly less than 16 times one row (evidence, not a setting).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mainspring.serve.blocks import Block
from mainspring.serve.errors import ModelRefused
from mainspring.stats.columns import Floats

INLINE_US = 500.0
BATCH = 16
_WORTH = 0.75  # 16 rows together must cost at most this share of 16 alone
_ENOUGH_US = 20_000.0  # a model this slow is timed once
_SLOW_CALLS, _OF = 8, 32


@dataclass(frozen=True, slots=True)
class Measured:
    """Microseconds of scoring one row, and 16 rows together; infinite where the engine failed on them."""

    one_us: float
    sixteen_us: float


UNKNOWN = Measured(0.0, 0.0)


class Pace:
    """What is known of one version's speed. `saw` is called on one thread; reading is safe from any."""

    def __init__(self) -> None:
        self.inline = True
        self.batches = False
        self.measured = UNKNOWN
        self._seen = self._slow = 0

    def begin(self, measured: Measured) -> None:
        """Start from what was measured at load."""
        self.measured = measured
        self.inline = measured.one_us <= INLINE_US
        self.batches = measured.sixteen_us < _WORTH * BATCH * measured.one_us

    def fits(self, rows: int) -> bool:
        """Tell whether scoring `rows` rows is short enough for the event loop."""
        if rows == 1 or not self.inline:
            return self.inline
        each = max(self.measured.sixteen_us - self.measured.one_us, 0.0) / (BATCH - 1)
        return self.measured.one_us + each * (rows - 1) <= INLINE_US

    def saw(self, took_us: int, rows: int) -> None:
        """Learn from one call in traffic: a version that turns out slow on single rows leaves the event loop."""
        if rows == 1:
            self._seen += 1
            self._slow += took_us > INLINE_US
            if self._slow >= _SLOW_CALLS:
                self.inline = False
            if self._seen >= _OF:
                self._seen = self._slow = 0


def measured(score: Callable[[Block], Floats], sample: Block) -> Measured:
    """Time a scorer on rows of its sample; a warm call comes first."""
    rows = np.arange(BATCH) % len(sample.numbers)
    one = Block(sample.numbers[:1], sample.texts[:1])
    return Measured(_timed(score, one), _timed(score, Block(sample.numbers[rows], sample.texts[rows])))


def _timed(score: Callable[[Block], Floats], block: Block) -> float:
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter_ns()
        try:
            score(block)
        except ModelRefused:  # its sample held, so it may serve; but not on the event loop
            return float("inf")
        best = min(best, (time.perf_counter_ns() - started) / 1_000)
        if best > _ENOUGH_US:
            break
    return best
