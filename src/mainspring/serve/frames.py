"""Frames of the prediction log: how a payload is told from what lies around it in a file, torn and damaged parts too.

A frame is magic, payload length, CRC-32 of the payload (both little-endian 32 bit) and the payload (`log_packing` says
what is in it). A payload that would hold the mark is masked: its first byte is xor-ed over the rest.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np

_MARK = b"\xf7MS"
MAGIC, MASKED = _MARK + b"L", _MARK + b"M"
HEAD = struct.Struct("<4sII")
MAX_PAYLOAD = 256 << 20
_FIRST, _LAST = (np.uint16(int.from_bytes(pair, "little")) for pair in (_MARK[:2], _MARK[1:]))
_WINDOW = 4 << 20
_LARGE = 8_192


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame at [start, end) of a segment."""

    start: int
    end: int
    payload: memoryview


def frames(data: bytes, start: int = 0) -> Iterator[Frame]:
    """Yield every whole frame from `start` on; bytes that are no frame are passed over to the next mark."""
    view, at = memoryview(data), start
    while (at := data.find(_MARK, at)) >= 0:
        found = _frame_at(view, at)
        if found is None:
            at += 1
        else:
            yield found
            at = found.end


def stream_frames(stream: IO[bytes], start: int = 0) -> Iterator[Frame]:
    """Yield every whole frame of a file from `start` on, with a few MB of it in memory (more for a larger frame)."""
    window = _WINDOW
    while True:
        stream.seek(start)
        data = stream.read(window)
        last = 0
        for found in frames(data):
            yield Frame(start + found.start, start + found.end, found.payload)
            last = found.end
        if len(data) < window:
            return
        cut, needed = _cut_at(data, last)
        start, window = start + cut, max(_WINDOW, needed)


def last_end(stream: IO[bytes], reach: int = _WINDOW) -> int:
    """Return where a file's last whole frame ends, 0 without one; reads back from the end only as far as it must.

    No payload holds the mark, so what is a frame here is one for a reader from the start too. reach: bytes read first.
    """
    size = stream.seek(0, os.SEEK_END)
    while True:
        start = max(0, size - reach)
        end = max((found.end for found in stream_frames(stream, start)), default=0)
        if end or not start:
            return end
        reach *= 8


def _cut_at(data: bytes, last: int) -> tuple[int, int]:
    """Return where a frame begins that the end of `data` cuts, and how many bytes it needs."""
    at = last
    while (at := data.find(_MARK, at)) >= 0 and at + HEAD.size <= len(data):
        _, size, _ = HEAD.unpack_from(data, at)
        if size <= MAX_PAYLOAD and at + HEAD.size + size > len(data):
            return at, HEAD.size + size
        at += 1
    return (at if at >= 0 else max(last, len(data) - len(_MARK))), 0


def _frame_at(view: memoryview, at: int) -> Frame | None:
    if at + HEAD.size > len(view):
        return None
    magic, size, checksum = HEAD.unpack_from(view, at)
    end = at + HEAD.size + size
    if magic not in (MAGIC, MASKED) or size > MAX_PAYLOAD or end > len(view):
        return None
    payload = view[at + HEAD.size : end]
    if zlib.crc32(payload) != checksum:
        return None
    if magic == MAGIC:
        return Frame(at, end, payload)
    plain = _masked(bytes(payload[1:]), payload[0]) if size else b""
    return Frame(at, end, memoryview(plain)) if _MARK in plain else None  # else a bit of the magic was flipped


def framed(payload: bytes) -> bytes:
    """Return a payload's frame. No payload holds the mark itself, so nothing a client sends can pass for a frame."""
    magic = MAGIC
    for mask in range(1, 256):
        if not _holds_mark(payload):
            break
        magic, payload = MASKED, bytes([mask]) + _masked(payload if magic == MAGIC else payload[1:], mask)
    return HEAD.pack(magic, len(payload), zlib.crc32(payload)) + payload


def _holds_mark(payload: bytes) -> bool:
    """Tell whether the mark stands in a payload; of many bytes, numpy finds out ten times as fast, two by two.

    A mark that begins at an even place shows its first two bytes as a pair, one at an odd place its last two.
    """
    if len(payload) < _LARGE:
        return _MARK in payload
    pairs = np.frombuffer(payload, "<u2", len(payload) // 2)
    for pair, before in ((_FIRST, 0), (_LAST, 1)):
        found = (pairs == pair).tobytes()
        at = found.find(1)
        while at >= 0:
            if payload.startswith(_MARK, max(2 * at - before, 0)):
                return True
            at = found.find(1, at + 1)
    return False


def _masked(data: bytes, mask: int) -> bytes:
    return data.translate(bytes(value ^ mask for value in range(256)))
