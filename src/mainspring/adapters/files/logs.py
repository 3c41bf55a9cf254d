"""Prediction log segments: one file per UTC hour of logged_at, checksummed frames, appended by one process.

A frame is magic, payload length, CRC-32 of the payload (both little-endian 32 bit) and the payload, a msgpack map of
`LoggedRequest`. A torn tail (the process died while writing) is cut off when the writer opens the segment again.
`logs_reader` reads.
"""

import errno
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO

import msgspec

from mainspring.adapters.files.logs_lock import FolderLock
from mainspring.kernel.failpoints import hit
from mainspring.kernel.files import make_private
from mainspring.kernel.records import LoggedRequest
from mainspring.kernel.times import from_us

MAGIC = b"\xf7MSL"
HEAD = struct.Struct("<4sII")
MAX_PAYLOAD = 256 << 20
_encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame at [start, end) of a segment."""

    start: int
    end: int
    payload: memoryview


def segment_name(logged_at: int) -> str:
    """Return the file name of the hour that holds `logged_at` (UTC microseconds): `2013050106.log`."""
    return f"{from_us(logged_at):%Y%m%d%H}.log"


def frame(record: LoggedRequest) -> bytes:
    """Return the record's frame."""
    payload = _encoder.encode(record)
    return HEAD.pack(MAGIC, len(payload), zlib.crc32(payload)) + payload


def frames(data: bytes, start: int = 0) -> Iterator[Frame]:
    """Yield every whole frame from `start` on; bytes that are no frame are passed over to the next magic."""
    view, at = memoryview(data), start
    while (at := data.find(MAGIC, at)) >= 0:
        found = _frame_at(view, at)
        if found is None:
            at += 1
        else:
            yield found
            at = found.end


def _frame_at(view: memoryview, at: int) -> Frame | None:
    if at + HEAD.size > len(view):
        return None
    magic, size, checksum = HEAD.unpack_from(view, at)
    end = at + HEAD.size + size
    if magic != MAGIC or size > MAX_PAYLOAD or end > len(view):
        return None
    payload = view[at + HEAD.size : end]
    return Frame(at, end, payload) if zlib.crc32(payload) == checksum else None


def _write_whole(stream: IO[bytes], data: bytes) -> None:
    """Write all of `data` in one call; a full disk may take a part without an error, which is one here."""
    written = stream.write(data)
    if written != len(data):
        raise OSError(errno.ENOSPC, f"{written} of {len(data)} bytes were written")


class SegmentWriter:
    """Appends frames. One process at a time owns a folder; a second one gets `Conflict`."""

    def __init__(self, root: Path) -> None:
        self._root = make_private(root)
        self._lock = FolderLock(root / "writer.lock")
        self._name = ""
        self._stream: IO[bytes] | None = None
        self.repaired_bytes = 0

    def append(self, records: Sequence[LoggedRequest]) -> int:
        """Append records to their hours' segments; return how many frames were written.

        After an error the next append opens the segment anew, which cuts off what was half-written.
        """
        count = 0
        for name, group in groupby(records, key=lambda record: segment_name(record.logged_at)):
            chunk = [frame(record) for record in group]
            try:
                stream = self._opened(name)
                hit("log.write")
                _write_whole(stream, b"".join(chunk))
            except OSError:
                self._abandon()
                raise
            count += len(chunk)
        return count

    def sync(self) -> None:
        """Return when everything appended is on disk."""
        if self._stream is not None:
            os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Flush, and let another writer have the folder."""
        self._leave()
        self._lock.release()

    def _opened(self, name: str) -> IO[bytes]:
        if self._stream is None or name != self._name:
            self._leave()
            self._stream, self._name = self._repaired(self._root / name), name
        return self._stream

    def _leave(self) -> None:
        if self._stream is not None:
            self.sync()
            self._stream.close()
            self._stream = None

    def _abandon(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _repaired(self, path: Path) -> IO[bytes]:
        """Open a segment for appending after its last whole frame."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        stream = os.fdopen(descriptor, "r+b", buffering=0)
        data = stream.read() or b""
        end = 0
        for found in frames(data):
            end = found.end
        if end < len(data):
            self.repaired_bytes += len(data) - end
            stream.truncate(end)
        stream.seek(end)
        return stream
