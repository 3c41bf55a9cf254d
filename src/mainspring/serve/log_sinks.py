"""One sink of the prediction log: a bounded queue of chunks and a thread that alone calls its writer.

What cannot be written is counted, and never waited for by an answer or by another sink. A *patient* sink (one over a
network) tries the same chunks again, with growing pauses, until they are taken or the log closes; the queue behind
them is bounded, and what does not fit is dropped and counted.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import SystemRandom

from mainspring.kernel.errors import MainspringError
from mainspring.serve.ports import Chunk, LogRefused, LogWriter

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 30.0
_CLOSE_S, _CLOSING_PAUSE_S = 5.0, 0.25
_random = SystemRandom()


@dataclass(slots=True, kw_only=True)
class LogCounts:
    """Totals since the start. frames: requests written and durable; failures: writes that failed.

    sampled_out_rows: rows that the rules leave out.
    """

    rows: int = 0
    frames: int = 0
    dropped_rows: int = 0
    dropped_frames: int = 0
    failures: int = 0
    sampled_out_rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """When a sink writes and when it makes durable, in seconds or bytes, whichever comes first.

    patient: whether what failed is tried again. queue_size: bytes that may wait (0: the log's own bound holds).
    """

    write_s: float = 0.0
    write_size: int = 0
    sync_s: float = 0.2
    sync_size: int = 8 << 20
    patient: bool = False
    queue_size: int = 0
    first_pause_s: float = _FIRST_PAUSE_S


LOCAL = Cadence()
OBJECTS = Cadence(write_s=10.0, write_size=8 << 20, sync_s=0.0, patient=True, queue_size=64 << 20)
EVENTS = Cadence(write_s=0.5, write_size=256 << 10, sync_s=0.0, patient=True, queue_size=32 << 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """A named writer and how it is driven."""

    name: str
    writer: LogWriter
    cadence: Cadence


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkReport:
    """How a sink does. state: `ok`, or `failing` while its last write did not succeed or what came last was dropped."""

    name: str
    state: str
    waiting_rows: int
    counts: LogCounts
    failure: str


class SinkRunner:
    """Drives one sink. settled: told of every chunk that was made durable or lost."""

    def __init__(self, sink: Sink, settled: Callable[[Sequence[Chunk]], None] = lambda _: None) -> None:
        self._sink, self._cadence, self._settled = sink, sink.cadence, settled
        self._waiting: deque[Chunk] = deque()
        self._size = self._rows = 0
        self._since = 0.0
        self._unsynced: list[Chunk] = []
        self._unsynced_size, self._unsynced_since = 0, 0.0
        self._changed = threading.Condition()
        self._hurried = self._closing = False
        self._close_at = 0.0
        self._is_failing = self._is_refused = False
        self._ending = threading.Event()
        self.counts, self.failure = LogCounts(), ""
        self._thread = threading.Thread(target=self._run, name=f"log-{sink.name}"[:15], daemon=True)
        self._thread.start()

    def report(self) -> SinkReport:
        """Return how the sink does now."""
        return SinkReport(
            name=self._sink.name, state="failing" if self._is_failing else "ok", waiting_rows=self._rows,
            counts=self.counts, failure=self.failure,
        )  # fmt: skip

    def offer(self, chunks: Sequence[Chunk]) -> None:
        """Queue chunks; drop and count those for which the queue is full. Never waits for the writer."""
        with self._changed:
            bound = self._cadence.queue_size
            if not self._waiting:
                self._since = time.monotonic()
            for chunk in chunks:
                if bound and self._size + len(chunk.frame) > bound:
                    self._lose([chunk])
                    continue
                self._waiting.append(chunk)
                self._size += len(chunk.frame)
                self._rows += chunk.rows
            self._changed.notify()

    def hurry(self) -> None:
        """Write and make durable what waits, without gathering more."""
        with self._changed:
            self._hurried = True
            self._changed.notify()

    def close(self) -> None:
        """Write what waits and finish; a patient sink that keeps failing is given a few seconds."""
        with self._changed:
            self._closing, self._close_at = True, time.monotonic() + _CLOSE_S
            self._changed.notify()
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while self._awaited():
            batch = self._taken()
            if batch:
                self._write(batch)
            if self._unsynced and self._wait_for_sync() <= 0:
                self._sync()
        self._sync()
        self._attempt(self._sink.writer.close)

    def _awaited(self) -> bool:
        """Wait until there is something to write or to sync; False when all is done and the log closes."""
        with self._changed:
            while not self._closing:
                waits = [self._wait_for_write()] if self._waiting else []
                waits += [self._wait_for_sync()] if self._unsynced else []
                if self._hurried and not waits:
                    self._hurried = False
                if waits and min(waits) <= 0:
                    return True
                self._changed.wait(min(waits, default=None))
            return bool(self._waiting)

    def _wait_for_write(self) -> float:
        if self._hurried or self._closing or self._size >= self._cadence.write_size:
            return 0.0
        return self._since + self._cadence.write_s - time.monotonic()

    def _wait_for_sync(self) -> float:
        if (self._hurried or self._closing) and not self._waiting:
            return 0.0
        if self._unsynced_size >= self._cadence.sync_size:
            return 0.0
        return self._unsynced_since + self._cadence.sync_s - time.monotonic()

    def _taken(self) -> list[Chunk]:
        with self._changed:
            if not self._waiting or self._wait_for_write() > 0:
                return []
            taken: list[Chunk] = []
            size = 0
            while self._waiting and (not taken or size < max(self._cadence.write_size, 1 << 20)):
                taken.append(self._waiting.popleft())
                size += len(taken[-1].frame)
            return taken

    def _write(self, batch: list[Chunk]) -> None:
        pause = self._cadence.first_pause_s
        while not self._attempt(lambda: self._sink.writer.write(batch)):
            if self._is_refused and len(batch) > 1:  # by halves, so that only what is refused is lost
                self._write(batch[: len(batch) // 2])
                self._write(batch[len(batch) // 2 :])
                return
            if not self._cadence.patient or self._is_refused or not self._paused(pause):
                self._release(batch)
                self._lose(batch)
                return
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        self._release(batch)
        if not self._unsynced:
            self._unsynced_since = time.monotonic()
        self._unsynced += batch
        self._unsynced_size += sum(len(chunk.frame) for chunk in batch)

    def _release(self, batch: Sequence[Chunk]) -> None:
        with self._changed:
            self._size -= sum(len(chunk.frame) for chunk in batch)
            self._rows -= sum(chunk.rows for chunk in batch)
            self._since = time.monotonic()

    def _paused(self, pause: float) -> bool:
        """Wait before the next try, with jitter so that many servers do not come back at once; False to give up."""
        if not self._closing:
            self._ending.wait(pause * (0.5 + _random.random()))
            return True
        time.sleep(_CLOSING_PAUSE_S)
        return time.monotonic() < self._close_at

    def _sync(self) -> None:
        with self._changed:
            self._hurried = False
            pending, self._unsynced, self._unsynced_size = self._unsynced, [], 0
        if not pending:
            return
        if self._attempt(self._sink.writer.sync):
            with self._changed:
                self._is_failing = False
                self.counts.rows += sum(chunk.rows for chunk in pending)
                self.counts.frames += sum(chunk.requests for chunk in pending)
            self._settled(pending)
        else:
            self._lose(pending)

    def _lose(self, chunks: Sequence[Chunk]) -> None:
        with self._changed:
            self._is_failing = True
            self.counts.dropped_rows += sum(chunk.rows for chunk in chunks)
            self.counts.dropped_frames += sum(chunk.requests for chunk in chunks)
        self._settled(chunks)

    def _attempt(self, act: Callable[[], object]) -> bool:
        try:
            act()
        except (OSError, MainspringError) as error:
            self._is_refused = isinstance(error, LogRefused)
            self._is_failing = True
            self.counts.failures += 1
            self.failure = f"{type(error).__name__}: {error}"[:200]
            return False
        return True
