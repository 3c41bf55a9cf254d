"""Read prediction log segments: onwards from a position, or one request by prediction id.

Reading beside the writer is safe: an unfinished frame at the end of the newest segment is left for the next read.
Damage is passed over to the next whole frame and reported, never silently.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mainspring.adapters.files.logs import frames, segment_name
from mainspring.kernel.errors import Damaged, NotFound
from mainspring.kernel.ids import hour_of, split_prediction_id
from mainspring.kernel.records import LOG_SCHEMA, LoggedRequest

Position = tuple[str, int]  # (segment name, byte offset)
START: Position = ("", 0)
_decoder = msgspec.msgpack.Decoder(LoggedRequest)


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


class SegmentReader:
    """Reads the segments under a folder; may be used while a writer appends."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def segments(self) -> list[str]:
        """Return the segment names, oldest hour first."""
        return sorted(path.name for path in self._root.glob("[0-9]*.log"))

    def read(self, after: Position = START, limit: int = 0) -> LogRead:
        """Return what was appended after a position; `limit` (0 for none) stops after that many records.

        A position in the newest segment stays there, so later appends are found; older segments are finished.
        """
        records: list[LoggedRequest] = []
        damage: list[Damage] = []
        position = after
        names = [name for name in self.segments() if name >= after[0]]
        for name in names:
            start = after[1] if name == after[0] else 0
            end = self._read(name, start, records, damage, (limit, name == names[-1]))
            position = (name, end)
            if limit and len(records) >= limit:
                break
        return LogRead(records=records, position=position, damage=damage)

    def remove(self, name: str) -> None:
        """Remove a segment that lives on elsewhere; one that is gone already is fine."""
        (self._root / name).unlink(missing_ok=True)

    def find(self, prediction_id: str) -> LoggedRequest:
        """Return the request that a prediction id belongs to; `NotFound` when it is not in its hour's segment."""
        request, _ = split_prediction_id(prediction_id)
        path = self._root / segment_name(hour_of(prediction_id))
        wanted = request.encode("ascii")
        if path.exists():
            for found in frames(path.read_bytes()):
                payload = bytes(found.payload)
                if wanted in payload and (record := _record(path.name, payload)).request_id == request:
                    return record
        raise NotFound(
            f"prediction {prediction_id} is not in the log", fix="it may have been dropped, compacted or erased"
        )

    def _read(
        self, name: str, start: int, records: list[LoggedRequest], damage: list[Damage], stop: tuple[int, bool]
    ) -> int:
        limit, newest = stop
        with (self._root / name).open("rb") as stream:
            stream.seek(start)
            data = stream.read()
        at = 0
        for found in frames(data):
            if limit and len(records) >= limit:
                return start + at
            if found.start > at:
                damage.append(Damage(segment=name, offset=start + at, size=found.start - at))
            records.append(_record(name, bytes(found.payload)))
            at = found.end
        if at < len(data) and not newest:
            damage.append(Damage(segment=name, offset=start + at, size=len(data) - at))
            at = len(data)
        return start + at


def _record(segment: str, payload: bytes) -> LoggedRequest:
    try:
        record = _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(
            f"segment {segment} holds a frame that is no request: {error}", fix="upgrade mainspring"
        ) from error
    if record.schema != LOG_SCHEMA:
        raise Damaged(f"segment {segment} has log schema {record.schema}, not {LOG_SCHEMA}", fix="upgrade mainspring")
    return record
