"""Prediction log segments: one file per UTC hour of logged_at and writer, whole frames, appended by one process.

A torn tail (the process died while writing) is cut off when the writer opens the segment again. `serve.frames` says
what a frame is; `logs_reader` reads.
"""

import errno
import logging
import os
import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import IO

from mainspring.adapters.files.logs_lock import FolderLock
from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.failpoints import hit
from mainspring.kernel.files import make_private
from mainspring.kernel.records import LoggedRequest
from mainspring.kernel.times import HOUR, from_us
from mainspring.serve.frames import last_end
from mainspring.serve.log_packing import chunks_of
from mainspring.serve.ports import Chunk

_log = logging.getLogger("mainspring.inference")
_WRITER = re.compile(r"[a-z0-9]{0,16}")
_LARGE = 32_768  # bytes of a frame that are not worth a copy to save a call to the system


def segment_name(logged_at: int, writer: str = "") -> str:
    """Return the file of the hour that holds `logged_at` (UTC microseconds): `2013050106.log`, `2013050106-1.log`."""
    return f"{from_us(logged_at):%Y%m%d%H}{'-' if writer else ''}{writer}.log"


def _write_whole(stream: IO[bytes], data: bytes) -> None:
    """Write all of `data` in one call; a full disk may take a part without an error, which is one here."""
    written = stream.write(data)
    if written != len(data):
        raise OSError(errno.ENOSPC, f"{written} of {len(data)} bytes were written")


class SegmentWriter:
    """Appends frames. A second process with the same `writer` name in a folder gets `Conflict`.

    writer: "" for a server's only process; workers and batch jobs that log beside it each have a name of their own.
    durable: False in a replay, which can be run again: then a power cut may cost what was logged.
    keep: bytes of this writer's segments that stay, for a server whose log goes elsewhere too (a pod's disk is small);
    the oldest go first, and a segment that alone takes half of it starts over. 0: all stay.
    """

    def __init__(self, root: Path, writer: str = "", *, durable: bool = True, keep: int = 0) -> None:
        if not _WRITER.fullmatch(writer):
            raise InvalidValue(f"{writer[:40]!r} cannot name a log writer", fix="use up to 16 letters a-z and digits")
        self._root, self._writer = make_private(root), writer
        self._lock = FolderLock(root / (f"writer-{writer}.lock" if writer else "writer.lock"))
        self._name, self._hour, self._end, self._durable = "", 0, 0, durable
        self._stream: IO[bytes] | None = None
        self._keep = keep
        self.repaired_bytes = 0

    def write(self, chunks: Sequence[Chunk], /) -> None:
        """Append chunks to their hours' segments, small frames of an hour in one call to the system.

        After an error the next write opens the segment anew, which cuts off what was half-written.
        """
        hours = self._hours(chunks)
        for hour, group in groupby(zip(hours, chunks, strict=True), key=lambda pair: pair[0]):
            frames = [chunk.frame for _, chunk in group]
            try:
                stream = self._opened(hour)
                hit("log.write")
                for data in frames if len(frames[0]) > _LARGE else [b"".join(frames)]:
                    _write_whole(stream, data)
                self._end += sum(map(len, frames))
                if self._keep and self._end > self._keep // 2:
                    self._end = stream.seek(stream.truncate(0))
            except OSError:
                self._abandon()
                raise

    def append(self, records: Sequence[LoggedRequest]) -> int:
        """Append records as they are, outside a server's log; return how many."""
        self.write(list(chunks_of(records)))
        return len(records)

    def sync(self) -> None:
        """Return when everything written is on disk."""
        if self._stream is not None and self._durable:
            try:
                os.fsync(self._stream.fileno())
            except OSError:
                self._abandon()
                raise

    def close(self) -> None:
        """Flush, and let another writer have the folder."""
        try:
            self._leave()
        finally:
            self._lock.release()

    def _hours(self, chunks: Sequence[Chunk]) -> list[int]:
        """Return the hour whose segment takes each chunk: one that ends just after the full hour does not go back.

        A reader takes an hour with a later segment for finished, so nothing may be added to it.
        """
        hours, latest = [], self._hour
        for chunk in chunks:
            latest = latest if chunk.hour == latest - HOUR else chunk.hour
            hours.append(latest)
        return hours

    def _opened(self, hour: int) -> IO[bytes]:
        name = segment_name(hour, self._writer)
        if self._stream is None or name != self._name:
            self._leave()
            end = self._end if name == self._name else None
            self._stream, self._name, self._hour = self._repaired(self._root / name, end), name, hour
            if self._keep:
                self._forget(name)
        return self._stream

    def _forget(self, current: str) -> None:
        """Remove this writer's oldest segments until what stays besides the current one fits in half of `keep`."""
        ending = re.compile(rf"[0-9]{{10}}{'-' if self._writer else ''}{self._writer}\.log")
        stays = 0
        for path in sorted(self._root.iterdir(), reverse=True):
            if path.name != current and ending.fullmatch(path.name):
                stays += path.stat().st_size
                if stays > self._keep // 2:
                    path.unlink()

    def _leave(self) -> None:
        if self._stream is not None:
            self.sync()
            self._abandon()

    def _abandon(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _repaired(self, path: Path, end: int | None) -> IO[bytes]:
        """Open a segment for appending after its last whole frame; `end` is where that is, if it is known."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        stream = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            size = stream.seek(0, os.SEEK_END)
            if end is None or end > size:
                end = last_end(stream)
            if end < size:
                self.repaired_bytes += size - end
                _log.warning("the torn end of log segment %s was cut off: %d bytes", path.name, size - end)
                stream.truncate(end)
            self._end = stream.seek(end)
        except BaseException:
            stream.close()
            raise
        return stream
