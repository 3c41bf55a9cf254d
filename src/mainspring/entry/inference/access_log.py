"""The access log: one JSON object a line for each prediction, written by a thread of its own.

A line names protocol, model, version, prediction id (`<id>.0` is the first row), rows, caller, status, code and
microseconds. It holds nothing that a client sent but a well-formed trace id. The queue is bounded; what does not fit is
counted and the count is written with the next line that does.
"""

import queue
import threading
from datetime import UTC, datetime
from typing import BinaryIO

import msgspec

from mainspring.serve.witness import Exchange

_MOST = 10_000
_BATCH = 500
_NS = 1_000_000_000


class Line(msgspec.Struct, omit_defaults=True):
    """One line."""

    at: str
    protocol: str
    model: str
    status: int
    took_us: int
    version: int = 0
    prediction_id: str = ""
    rows: int = 0
    caller: str = ""
    code: str = ""
    trace_id: str = ""
    lost_before: int = 0


class AccessLog:
    """A witness that writes lines to a binary stream, which it flushes and never closes."""

    def __init__(self, stream: BinaryIO, most: int = _MOST) -> None:
        self._stream, self._waiting = stream, queue.Queue[Exchange | None](most)
        self.lost = self._told = 0
        self._encode = msgspec.json.Encoder().encode
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def saw(self, exchange: Exchange, /) -> None:
        """Queue one exchange, or count it as lost."""
        try:
            self._waiting.put_nowait(exchange)
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Write what waits, then end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < _BATCH and batch[-1] is not None:
                try:
                    batch.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            self._write([item for item in batch if item is not None])
            if batch[-1] is None:
                return

    def _write(self, batch: list[Exchange]) -> None:
        lines = [self._encode(self._line(item)) + b"\n" for item in batch]
        try:
            self._stream.write(b"".join(lines))
            self._stream.flush()
        except (OSError, ValueError):
            self.lost += len(lines)

    def _line(self, seen: Exchange) -> Line:
        lost, self._told = self.lost - self._told, self.lost
        at = datetime.fromtimestamp(seen.ended_at / _NS, UTC).isoformat(timespec="milliseconds")
        return Line(
            at.replace("+00:00", "Z"), seen.protocol, seen.model, seen.status, seen.took_us, seen.version,
            seen.request_id, seen.rows, seen.caller, seen.code, trace_id_of(seen.trace), lost,
        )  # fmt: skip


def trace_id_of(traceparent: str) -> str:
    """Return the trace id of a W3C `traceparent` (Trace Context, section 3.2), or "" for anything that is none."""
    parts = traceparent.split("-")
    if len(parts) < 4 or len(parts[1]) != 32 or not set(parts[1]) <= set("0123456789abcdef"):
        return ""
    return parts[1] if parts[1].strip("0") else ""
