"""The prediction log's near end: a bounded queue and one writer thread. It never blocks an answer.

`put` drops and counts when the queue is full (rows or bytes) or closed; a writer that fails (a full disk) loses its
batch, which is counted too, and is tried again with the next one.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mainspring.kernel.errors import MainspringError
from mainspring.kernel.records import LoggedRequest
from mainspring.serve.ports import LogWriter

_GATHER_S = 0.005  # wait a moment after the first record, so that a busy server writes batches
_BATCH = 512
_TEXT_BYTES = 48  # what a short string costs in a list; an estimate is enough for a bound


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLimits:
    """How much may wait for the disk: rows, and estimated bytes."""

    rows: int = 2_000_000
    size: int = 256 << 20


@dataclass(slots=True, kw_only=True)
class LogCounts:
    """Totals since the start. frames: requests written; failures: batches that the writer lost."""

    rows: int = 0
    frames: int = 0
    dropped_rows: int = 0
    dropped_frames: int = 0
    failures: int = 0


class PredictionLog:
    """Queues records for `writer`, which only this log's own thread calls."""

    def __init__(self, writer: LogWriter, limits: LogLimits | None = None) -> None:
        self._writer, self._limits = writer, limits or LogLimits()
        self._waiting: deque[tuple[LoggedRequest, int]] = deque()
        self._rows = self._size = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._put = self._done = 0
        self._synced = threading.Condition(self._lock)
        self._closing = False
        self.counts = LogCounts()
        self.failure = ""
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    @property
    def waiting_rows(self) -> int:
        """Return how many rows wait for the disk."""
        return self._rows

    def put(self, record: LoggedRequest, /) -> bool:
        """Queue one record; False when it was dropped."""
        rows, size = len(record.keys), _size_of(record)
        with self._lock:
            full = self._rows + rows > self._limits.rows or self._size + size > self._limits.size
            if full or self._closing:
                self.counts.dropped_rows += rows
                self.counts.dropped_frames += 1
                return False
            self._rows += rows
            self._size += size
            self._put += 1
            self._waiting.append((record, size))
        if not self._wake.is_set():
            self._wake.set()
        return True

    def flush(self, timeout_s: float = 30.0) -> Mapping[str, int]:
        """Return {rows, frames} written since the start, once everything put before this call is on disk or dropped.

        Raises `TimeoutError` when the disk does not keep up.
        """
        with self._synced:
            target = self._put
            self._wake.set()
            if not self._synced.wait_for(lambda: self._done >= target, timeout_s):
                raise TimeoutError(f"{target - self._done} records still wait for the disk")
            return {"rows": self.counts.rows, "frames": self.counts.frames}

    def close(self) -> None:
        """Write what waits, then finish."""
        with self._lock:
            self._closing = True
            self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            if not self._closing:
                time.sleep(_GATHER_S)
            batch = self._taken()
            if batch:
                self._write(batch)
            elif self._closing:
                break
        self._attempt(self._writer.close)

    def _taken(self) -> list[LoggedRequest]:
        with self._lock:
            taken = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            self._rows -= sum(len(record.keys) for record, _ in taken)
            self._size -= sum(size for _, size in taken)
            if not self._waiting and not self._closing:
                self._wake.clear()
            return [record for record, _ in taken]

    def _write(self, batch: list[LoggedRequest]) -> None:
        rows = sum(len(record.keys) for record in batch)
        written = self._attempt(lambda: self._writer.append(batch)) and self._attempt(self._writer.sync)
        with self._synced:
            if written:
                self.counts.rows += rows
                self.counts.frames += len(batch)
            else:
                self.counts.dropped_rows += rows
                self.counts.dropped_frames += len(batch)
            self._done += len(batch)
            self._synced.notify_all()

    def _attempt(self, act: Callable[[], object]) -> bool:
        try:
            act()
        except (OSError, MainspringError) as error:
            self.counts.failures += 1
            self.failure = f"{type(error).__name__}: {error}"[:200]
            return False
        return True


def _size_of(record: LoggedRequest) -> int:
    """Return an estimate of the record's bytes in memory, without walking the strings."""
    rows = len(record.keys)
    return rows * (8 * (len(record.numbers) + len(record.scores) + 1) + _TEXT_BYTES * (len(record.strings) + 1)) + 1_000
