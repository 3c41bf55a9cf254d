"""Read prediction log segments: onwards from a position, or one request by prediction id.

Reading beside writers is safe: an unfinished frame at the end of a writer's newest segment is left for the next read.
Damage is passed over to the next whole frame and reported, never silently.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mainspring.adapters.files.logs import segment_name
from mainspring.kernel.errors import NotFound
from mainspring.kernel.ids import hour_of, split_prediction_id
from mainspring.kernel.records import LoggedRequest
from mainspring.kernel.times import HOUR
from mainspring.serve.frames import stream_frames
from mainspring.serve.log_packing import unpack

Position = tuple[str, int]  # (segment name, byte offset), or (`_Marks.text`, 0) in a log of several writers
START: Position = ("", 0)
_SEVERAL = "~"  # sorts after every segment name, so that a log may come to have a second writer
_HOUR = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Bytes of a segment that are no frame."""

    segment: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRead:
    """Records in order, the position to go on from, and what was passed over."""

    records: Sequence[LoggedRequest]
    position: Position
    damage: Sequence[Damage]


@dataclass(slots=True)
class _Found:
    """What a read gathers. limit: 0 for none."""

    limit: int
    records: list[LoggedRequest] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)

    def is_full_with(self, more: int) -> bool:
        return bool(self.limit and self.records and len(self.records) + more > self.limit)


class SegmentReader:
    """Reads the segments under a folder; may be used while writers append."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def segments(self) -> list[str]:
        """Return the segment names, oldest hour first."""
        names = (path.name for path in self._root.glob("[0-9]*.log"))
        return sorted(names, key=lambda name: (name[:_HOUR], name))

    def closed(self, taken_in: Position) -> list[str]:
        """Return the segments, oldest first, of the hours before the first that is still written or not taken in."""
        names, marks = self.segments(), _Marks.read(taken_in)
        finished = _finished(names)
        is_open = (name[:_HOUR] for name in names if name not in finished or not self._is_past(name, marks))
        first_open = next(is_open, "a")
        return [name for name in names if name[:_HOUR] < first_open]

    def records(self, name: str) -> list[LoggedRequest]:
        """Return every whole record of a segment."""
        where = f"segment {name}"
        with (self._root / name).open("rb") as stream:
            return [record for found in stream_frames(stream) for record in unpack(found.payload, where)]

    def read(self, after: Position = START, limit: int = 0) -> LogRead:
        """Return what was appended after a position, hour by hour.

        limit: stop before there are more than that many records (0: never); one frame is read whole all the same. A
        position in a writer's newest segment stays there, so later appends are found; older segments are finished.
        """
        marks, found, names = _Marks.read(after), _Found(limit), self.segments()
        finished = _finished(names)
        for name in names:
            start = marks.start(name)
            if start is not None and not self._read(name, start, found, marks, name in finished):
                break
        marks.forget({_writer(name) for name in names})
        return LogRead(records=found.records, position=marks.position(), damage=found.damage)

    def remove(self, name: str) -> None:
        """Remove a segment that lives on elsewhere; one that is gone already is fine."""
        (self._root / name).unlink(missing_ok=True)

    def find(self, prediction_id: str) -> LoggedRequest:
        """Return the request that a prediction id belongs to; `NotFound` when it is not in its hour's segments."""
        request, _ = split_prediction_id(prediction_id)
        hour, wanted = hour_of(prediction_id), request.encode("ascii")
        for name in self._of_hours(hour, hour + HOUR):
            with (self._root / name).open("rb") as stream:
                payloads = (bytes(found.payload) for found in stream_frames(stream))
                near = (record for data in payloads if wanted in data for record in unpack(data, f"segment {name}"))
                if (record := next((one for one in near if one.request_id == request), None)) is not None:
                    return record
        raise NotFound(
            f"prediction {prediction_id} is not in the log",
            fix="it may have been dropped, sampled out, compacted or erased",
        )

    def _is_past(self, name: str, marks: "_Marks") -> bool:
        start = marks.start(name)
        return start is None or start >= (self._root / name).stat().st_size

    def _of_hours(self, *hours: int) -> Iterator[str]:
        """Yield the segments of some hours: a request that took long may stand in the next one's."""
        for hour in hours:
            yield from sorted(path.name for path in self._root.glob(f"{segment_name(hour)[:_HOUR]}*.log"))

    def _read(self, name: str, start: int, into: _Found, marks: "_Marks", finished: bool) -> bool:
        """Read on in a segment and move its mark; False when the limit was reached."""
        at = start
        with (self._root / name).open("rb") as stream:
            for found in stream_frames(stream, start):
                records = unpack(found.payload, f"segment {name}")
                if into.is_full_with(len(records)):
                    marks.move(name, at, at - start)
                    return False
                if found.start > at:
                    into.damage.append(Damage(segment=name, offset=at, size=found.start - at))
                into.records.extend(records)
                at = found.end
            size = stream.seek(0, os.SEEK_END)
        if at < size and finished:
            into.damage.append(Damage(segment=name, offset=at, size=size - at))
            at = size
        marks.move(name, at, at - start)
        return True


class _Marks:
    """How far each writer's segments were read. total: bytes read in all, so that positions rise."""

    def __init__(self, marks: Mapping[str, Position], total: int, *, several: bool) -> None:
        self._marks, self._total, self._several = dict(marks), total, several

    @classmethod
    def read(cls, position: Position) -> "_Marks":
        name, offset = position
        if not name.startswith(_SEVERAL):
            return cls({_writer(name): position} if name else {}, offset, several=False)
        total, *marks = name[1:].split(" ")
        pairs = [mark.rpartition("@")[::2] for mark in marks]
        return cls({_writer(name): (name, int(at)) for name, at in pairs}, int(total), several=True)

    def position(self) -> Position:
        """Return the position as text and number; greater than every one before it."""
        if not self._several and set(self._marks) <= {""}:
            return self._marks.get("", START)
        marks = " ".join(f"{name}@{offset}" for name, offset in sorted(self._marks.values()))
        return f"{_SEVERAL}{self._total:020d} {marks}", 0

    def start(self, name: str) -> int | None:
        """Return where to read on in a segment; None if it was read already."""
        segment, offset = self._marks.get(_writer(name), START)
        return None if name < segment else offset if name == segment else 0

    def move(self, name: str, offset: int, read: int) -> None:
        """Note that a segment was read up to an offset."""
        self._marks[_writer(name)] = (name, offset)
        self._total += read

    def forget(self, alive: set[str]) -> None:
        """Drop the marks of writers that have no segment left, if others have."""
        if len(self._marks) > 1:
            self._marks = {writer: mark for writer, mark in self._marks.items() if writer in alive} or self._marks


def _writer(name: str) -> str:
    return name[_HOUR:].removesuffix(".log").removeprefix("-")


def _finished(names: Sequence[str]) -> set[str]:
    """Return the segments that nothing is added to any more: their writer has a later one, or two later hours exist."""
    newest = {_writer(name): name for name in names}
    hours = sorted({name[:_HOUR] for name in names})
    settled = hours[-3:-2]
    return {name for name in names if newest[_writer(name)] != name or (settled and name[:_HOUR] <= settled[0])}
