"""A process beside the server for what may not run in it: other people's code, heavy libraries, what may crash.

It is told once what it needs (`hello`), then answers one call at a time over its pipes. A call past its deadline ends
the process; one that ended is started again, later and later while it keeps ending. Plain `Popen`, so the same on
Windows. A frame is 4 bytes of length (little-endian) and that many bytes; an answer begins with a byte: 0 answered,
1 refused, and then JSON says why.
"""

import json
import os
import queue
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mainspring.adapters.process.ending import ended
from mainspring.adapters.process.worker import scrubbed
from mainspring.kernel.errors import InvalidValue, MainspringError

ANSWERED, REFUSED = b"\0", b"\1"
LENGTH = struct.Struct("<I")
MOST_BYTES = 1 << 30
_STEADY_S = 300.0
_LOOK_S = 0.01
_STOP_S = 5.0


class SidecarGone(MainspringError):
    """The process ended, or was ended, before it answered; the next call may start it again.

    asked: it ended with this call in hand, not before it was ready for one.
    """

    code = "sidecar.gone"
    exit_code = 75
    asked = False


class SidecarLate(SidecarGone):
    """The process took longer than a call may, and was ended."""

    code = "sidecar.late"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Longest start and longest call, in seconds; pauses_s: least time between the starts after so many ends."""

    start_s: float = 60.0
    call_s: float = 30.0
    pauses_s: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0, 4.0, 15.0, 60.0)


class Sidecar:
    """One process and the calls to it, from any thread; nothing runs before the first call or `start`.

    pid: of the process now, or 0. starts: how often one was started.
    """

    def __init__(
        self, argv: Sequence[str], hello: Callable[[], bytes], *, log: Path, patience: Patience = Patience(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """argv: program and arguments that run `sidecar_loop.serve`. log: takes what it says on its standard error.

        hello: gives the first payload at every start. clock: monotonic seconds.
        """
        self._argv, self._hello, self._log, self._patience, self._clock = list(argv), hello, log, patience, clock
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[bytes] = queue.Queue()
        self._started = 0.0
        self._ended = 0
        self._closing = False
        self.starts = 0

    @property
    def pid(self) -> int:
        """Return the process's id, or 0 where none runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else 0

    def start(self) -> None:
        """Start the process and wait until it is ready. Raises what `call` raises."""
        with self._turn:
            self._ready()

    def call(self, payload: bytes, seconds: float | None = None) -> bytes:
        """Return the answer to a payload.

        Raises `InvalidValue` for what the process refuses, `SidecarLate` after `seconds` (or the patience), which ends
        the process, and `SidecarGone` where it ended by itself or may not be started again yet.
        """
        with self._turn:
            self._ready()
            try:
                return self._asked(payload, self._patience.call_s if seconds is None else seconds)
            except SidecarGone as error:
                error.asked = True
                raise

    def close(self, patience_s: float = _STOP_S) -> None:
        """End the process, and with it a call that takes longer than `patience_s` seconds from now; 0: at once."""
        if not self._turn.acquire(timeout=patience_s):
            self._closing = True
            while not self._turn.acquire(timeout=_LOOK_S):
                process = self._process
                if process is not None:
                    process.kill()
        try:
            self._end(patience_s)
        finally:
            self._closing = False
            self._turn.release()

    def _ready(self) -> None:
        if self._closing:
            raise SidecarGone("the process is being ended", fix="try again")
        if self.pid:
            return
        self._end(0.0)
        pauses = self._patience.pauses_s
        pause = pauses[min(self._ended, len(pauses) - 1)] - (self._clock() - self._started)
        if self._ended and pause > 0:
            raise SidecarGone("the process ended and is started again later", fix=f"try again in {pause:.0f} s")
        self._log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, env=scrubbed(os.environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                bufsize=0,
            )  # fmt: skip
        self._started = self._clock()
        self.starts += 1
        self._answers = queue.Queue()
        reader = threading.Thread(target=_read, args=(self._process.stdout, self._answers), daemon=True)
        reader.start()
        self._asked(self._hello(), self._patience.start_s)

    def _asked(self, payload: bytes, seconds: float) -> bytes:
        process = self._process
        if process is None or process.stdin is None:
            raise self._gone()
        if len(payload) > MOST_BYTES:
            raise InvalidValue("the call is too large for one process", fix="send fewer rows")
        until = self._clock() + seconds
        watch = threading.Timer(max(seconds, 0.001), process.kill)  # ends a write that nobody reads, too
        watch.daemon = True
        watch.start()
        try:
            process.stdin.write(LENGTH.pack(len(payload)))
            _write(process.stdin, payload)
            answer = self._answers.get()
        except OSError:
            answer = b""
        finally:
            watch.cancel()
        if not answer:
            raise self._late(seconds) if self._clock() >= until else self._gone()
        if self._clock() - self._started > _STEADY_S:
            self._ended = 0
        if answer[:1] == REFUSED:
            told = json.loads(answer[1:])
            raise InvalidValue(str(told["what"]), fix=str(told["fix"]))
        return answer[1:]

    def _gone(self) -> SidecarGone:
        self._ended += 1
        status = self._end(_STOP_S)
        return SidecarGone(
            f"the process ended with status {status} before it answered", fix=f"look at {self._log.name}, or try again"
        )

    def _late(self, seconds: float) -> SidecarLate:
        self._ended += 1
        self._end(_STOP_S)
        return SidecarLate(f"no answer in {seconds:g} s", fix="send fewer rows, or wait longer")

    def _end(self, patience_s: float) -> int | None:
        """End the process and return its status."""
        process, self._process = self._process, None
        return None if process is None else ended(process, patience_s)


def _write(stream: IO[bytes], payload: bytes) -> None:
    """Write all of it: an unbuffered pipe may take a part."""
    left = memoryview(payload)
    while left:
        left = left[stream.write(left) :]


def _read(stream: IO[bytes] | None, answers: "queue.Queue[bytes]") -> None:
    """Move frames into the queue; an empty one says that the process has gone."""
    if stream is not None:
        with suppress(ValueError, OSError):  # closed while reading
            while (frame := read_frame(stream)) is not None:
                answers.put(frame)
    answers.put(b"")


def read_frame(stream: IO[bytes]) -> bytes | None:
    """Return the next frame, or None where the stream ends, even within one."""
    head = _exactly(stream, LENGTH.size)
    if head is None:
        return None
    size = LENGTH.unpack(head)[0]
    return None if size > MOST_BYTES else _exactly(stream, size)


def _exactly(stream: IO[bytes], size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = stream.read(min(size - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)
