"""The real clock: the only reader of wall time in the package."""

import time

from mainspring.kernel.times import SECOND


class SystemClock:
    """Tells UTC microseconds."""

    def now(self) -> int:
        """Return microseconds since 1970."""
        return time.time_ns() * SECOND // 1_000_000_000
