"""The prediction log's near end: a bounded queue, a thread that packs, a thread a sink. It never blocks an answer.

`put` drops and counts when the queue is full (rows or bytes) or closed. The packing thread applies the rules, makes
frames (`log_packing`), gives every sink the same bytes (`log_sinks`) and lets other threads run after each frame, for
it shares one interpreter with the server. The first sink is the disk: `flush`, `counts` and the bound are about it.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mainspring.kernel.records import Block, LoggedRequest
from mainspring.serve.log_packing import MAX_REQUESTS, Unloggable, chunk_of, packed_runs, row_chunks
from mainspring.serve.log_rows import Row, whole
from mainspring.serve.log_rules import LogRules
from mainspring.serve.log_sinks import LOCAL, LogCounts, Sink, SinkReport, SinkRunner
from mainspring.serve.ports import Chunk, LogWriter

_DRAIN, _DRAIN_SIZE = 16 * MAX_REQUESTS, 8 << 20
_GATHER_S = 0.01  # wait a moment after the first record, so that a busy server packs many
_NUMBER, _TEXT, _REQUEST = 8, 64, 1_200  # bytes that a number, a short text, a request take in memory, about


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLimits:
    """How much may wait for the disk: rows, and estimated bytes."""

    rows: int = 2_000_000
    size: int = 256 << 20


class PredictionLog:
    """Queues records for `writer`, which only this log's own thread calls, and for further sinks.

    sinks: places beside the disk, each with a bounded queue of its own; their failures are theirs alone.
    rules_failure: why rules that were changed do not hold yet, or "".
    """

    def __init__(
        self, writer: LogWriter, limits: LogLimits | None = None, *, rules: LogRules | None = None,
        sinks: Sequence[Sink] = (),
    ) -> None:  # fmt: skip
        self._limits, self.rules = limits or LogLimits(), rules or LogRules()
        self._plain, self._asked = self.rules.is_plain, frozenset[str]()
        self.rules_failure = ""
        self._waiting: deque[tuple[LoggedRequest, int]] = deque()
        self._short: deque[Row] = deque()
        self._rows = self._size = 0
        self._lock = threading.Lock()
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._put = self._done = self._numbered = 0
        self._settling = threading.Condition(self._lock)
        self._idle = self._closing = False
        self._lost, self._unloggable = LogCounts(), ""
        self._disk = SinkRunner(Sink(name="disk", writer=writer, cadence=LOCAL), self._settled)
        self._others = [SinkRunner(sink) for sink in sinks]
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    @property
    def waiting_rows(self) -> int:
        """Return how many rows wait for the disk."""
        return self._rows

    @property
    def counts(self) -> LogCounts:
        """Return the totals since the start: rows on disk, and what was lost before or at the disk."""
        disk, lost = self._disk.counts, self._lost
        return replace(
            disk, dropped_rows=disk.dropped_rows + lost.dropped_rows, failures=disk.failures + lost.failures,
            dropped_frames=disk.dropped_frames + lost.dropped_frames, sampled_out_rows=lost.sampled_out_rows,
        )  # fmt: skip

    @property
    def failure(self) -> str:
        """Return what went wrong last at the disk, or with a record; "" if nothing did."""
        return self._disk.failure or self._unloggable

    def sinks(self) -> Sequence[SinkReport]:
        """Return how every sink does, the disk first."""
        return [runner.report() for runner in (self._disk, *self._others)]

    def redact_also(self, columns: Iterable[str]) -> None:
        """Redact these columns from the next record on; a loaded model may ask for it."""
        self._asked |= frozenset(columns)
        self.follow(self.rules)

    def follow(self, rules: LogRules) -> None:
        """Log by these rules from the next record on, and redact what loaded models asked for besides."""
        self.rules = rules.adding(self._asked)
        self._plain = self.rules.is_plain

    def put(self, record: LoggedRequest, /) -> bool:
        """Queue one record; False when it was dropped. May be called by any thread; the record is the log's now."""
        rows, rules = len(record.keys), self.rules
        size = _size_of(record, rows)
        if rules.sample < 1:
            if not rules.takes(record.request_id):
                with self._lock:
                    self._lost.sampled_out_rows += rows
                return True
            record.sample = rules.sample  # the share that it came in by: the rules may change while it waits
        with self._lock:
            if not self._fits(rows, size):
                return False
            self._waiting.append((record, size))
        if self._idle:
            self._idle = False
            self._wake.set()
        return True

    def put_row(self, row: Row, /) -> bool:
        """Queue a request in its short form, as `put` does with its record."""
        if not self._plain:
            return self.put(whole(row))
        with self._lock:
            if not self._fits(row[0].rows, row[0].size):
                return False
            self._short.append(row)
        if self._idle:
            self._idle = False
            self._wake.set()
        return True

    def flush(self, timeout_s: float = 30.0) -> Mapping[str, int]:
        """Return {rows, frames} written since the start, once everything put before this call is on disk or dropped.

        Raises `TimeoutError` when the disk does not keep up.
        """
        with self._settling:
            target = self._put
            self._hurry.set()
            self._wake.set()
            if not self._settling.wait_for(lambda: self._done >= target, timeout_s):
                raise TimeoutError(f"{target - self._done} records still wait for the disk")
        return {"rows": self._disk.counts.rows, "frames": self._disk.counts.frames}

    def close(self) -> None:
        """Write what waits, then finish."""
        with self._lock:
            self._closing = True
        self._hurry.set()
        self._wake.set()
        self._thread.join()
        self._disk.close()
        for runner in self._others:
            runner.close()

    def _fits(self, rows: int, size: int) -> bool:
        """Count what comes in, or what is dropped because too much waits; the lock is held."""
        if self._rows + rows > self._limits.rows or self._size + size > self._limits.size or self._closing:
            self._lost.dropped_rows += rows
            self._lost.dropped_frames += 1
            return False
        self._rows += rows
        self._size += size
        self._put += 1
        return True

    def _run(self) -> None:
        while self._awaited():
            self._hurry.wait(_GATHER_S)
            if is_hurried := self._hurry.is_set():
                self._hurry.clear()
            for _ in range(max(1, -(-len(self._waiting) // _DRAIN))):
                self._drain()
            if is_hurried:
                self._disk.hurry()

    def _awaited(self) -> bool:
        """Wait until there is something to pack; False when the log closes and all is packed."""
        while not self._waiting and not self._short and not self._hurry.is_set():
            if self._closing:
                return False
            self._idle = True  # `put` looks at it after it has appended: one of the two sees the other
            if not self._waiting and not self._short:
                self._wake.wait()
            self._wake.clear()
            self._idle = False
        return bool(self._waiting or self._short) or not self._closing

    def _drain(self) -> None:
        """Pack some of what waits, and give the frames to every sink at once."""
        chunks: list[Chunk] = []
        for _ in range(_DRAIN // MAX_REQUESTS):
            taken = [self._waiting.popleft() for _ in range(min(MAX_REQUESTS, len(self._waiting)))]
            if not taken:
                break
            chunks += self._packed(*zip(*taken, strict=True))
            time.sleep(0)  # lets the server have the interpreter between two frames
        short = self._short_ones()
        if self._plain:
            for chunk in row_chunks(short, self._numbered):
                chunks.append(chunk)
                self._numbered += 1
                time.sleep(0)
        elif short:
            chunks += self._packed([whole(row) for row in short], [row[0].size for row in short])
        if chunks:
            for runner in (self._disk, *self._others):
                runner.offer(chunks)

    def _short_ones(self) -> list[Row]:
        """Take what waits in its short form, up to some megabytes."""
        taken: list[Row] = []
        size = 0
        while self._short and size < _DRAIN_SIZE:
            taken.append(self._short.popleft())
            size += taken[-1][0].size
        return taken

    def _packed(self, records: Sequence[LoggedRequest], sizes: Sequence[int]) -> Iterator[Chunk]:
        """Yield the chunks of records; one that cannot be packed is dropped alone."""
        rules = self.rules
        if not rules.is_plain:
            records = [rules.applied(record) for record in records]
        for place, run, frame in packed_runs(records):
            sized = sizes[place : place + len(run)]
            if not isinstance(frame, Unloggable):
                yield chunk_of(run, frame, number=self._numbered, size=sum(sized))
                self._numbered += 1
            elif len(run) > 1:
                for record, size in zip(run, sized, strict=True):
                    yield from self._packed([record], [size])
            else:
                self._refuse(run[0], sized[0], str(frame))

    def _refuse(self, record: LoggedRequest, size: int, why: str) -> None:
        with self._settling:
            self._unloggable = why[:200]
            self._lost.dropped_rows += len(record.keys)
            self._lost.dropped_frames += 1
            self._lost.failures += 1
            self._finish(1, len(record.keys), size)

    def _settled(self, chunks: Sequence[Chunk]) -> None:
        with self._settling:
            self._finish(
                sum(chunk.requests for chunk in chunks), sum(chunk.rows for chunk in chunks),
                sum(chunk.size for chunk in chunks),
            )  # fmt: skip

    def _finish(self, requests: int, rows: int, size: int) -> None:
        self._done += requests
        self._rows -= rows
        self._size -= size
        self._settling.notify_all()


def _size_of(record: LoggedRequest, rows: int) -> int:
    """Return about how many bytes the record takes in memory. Texts are measured: a client may send long ones."""
    numbers = record.numbers
    width = len(numbers.names if type(numbers) is Block else numbers) + len(record.scores) + 1
    size = _REQUEST + sum(map(len, record.keys)) + rows * (_NUMBER * width + _TEXT)
    if record.strings:
        for texts in record.strings.values():
            size += _TEXT * rows + sum(map(len, filter(None, texts)))
    return size
