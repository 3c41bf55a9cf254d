"""Frames of the prediction log: consecutive requests of one shape and one hour, packed by column and checksummed.

A frame is magic, payload length, CRC-32 of the payload (both little-endian 32 bit) and the payload: a msgpack array
(`_Packed`) of up to `MAX_REQUESTS` requests, or, in logs of version 0.1, a msgpack map of one. Packing by column writes
the names once a frame, not once a request. Every sink is given the same bytes, made once. Start at `pack`.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter

import msgspec

from mainspring.kernel.errors import Damaged
from mainspring.kernel.records import LOG_SCHEMA, Block, LoggedRequest
from mainspring.kernel.times import HOUR
from mainspring.serve.ports import Chunk

MAGIC = b"\xf7MSL"
HEAD = struct.Struct("<4sII")
MAX_PAYLOAD = 256 << 20
MAX_REQUESTS = 64
_MAX_SIZE = 1 << 20
_PACKED_SCHEMA = 2
_FLOAT = 8


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame at [start, end) of a segment."""

    start: int
    end: int
    payload: memoryview


class Unloggable(Damaged):
    """A request that no frame can hold, such as text with half a surrogate pair."""

    code = "log.unloggable"


class _Packed(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Requests by column. rows: of each request; numbers and scores: request by request, then name by name."""

    schema: int
    ids: Sequence[str]
    rows: Sequence[int]
    logged_at: Sequence[int]
    took_us: Sequence[int]
    release: str
    keys: list[str]
    asked_at: bytes
    number_names: list[str]
    numbers: bytes
    string_names: list[str]
    strings: list[list[str | None]]
    versions: list[str]
    scores: bytes
    served: bytes
    errors: dict[str, str]
    took_names: list[str]
    took_each: list[int]
    sample: float
    redacted: list[str]


_encoder = msgspec.msgpack.Encoder()
_packed = msgspec.msgpack.Decoder(_Packed)
_single = msgspec.msgpack.Decoder(LoggedRequest)


_shape_of = attrgetter(
    "release", "versions", "errors", "sample", "redacted", "numbers", "strings", "took_each", "logged_at", "asked_at"
)
_columns_of = attrgetter(
    "request_id", "logged_at", "took_us", "keys", "asked_at", "numbers", "strings", "scores", "served", "took_each"
)


def runs(records: Sequence[LoggedRequest]) -> Iterator[Sequence[LoggedRequest]]:
    """Cut records into the runs that share a frame: one shape, one hour, at most `MAX_REQUESTS`.

    Whole slices are compared column by column first, which costs a third of asking request by request.
    """
    for start in range(0, len(records), MAX_REQUESTS):
        part = records[start : start + MAX_REQUESTS]
        if _is_uniform(part):
            yield part
        else:
            yield from _cut(part)


def _is_uniform(part: Sequence[LoggedRequest]) -> bool:
    *plain, numbers, strings, took, logged_at, asked_at = zip(*map(_shape_of, part), strict=True)
    many, first = len(part), part[0]
    return (
        all(column.count(column[0]) == many for column in plain)
        and (names := [_names(block) for block in numbers]).count(names[0]) == many
        and (texts := [*map(list, strings)]).count(texts[0]) == many
        and (timed := [*map(list, took)]).count(timed[0]) == many
        and min(logged_at) // HOUR == max(logged_at) // HOUR
        and (many == 1 or many * max(map(len, asked_at)) * _width(first) <= _MAX_SIZE)
    )


def _cut(part: Sequence[LoggedRequest]) -> Iterator[Sequence[LoggedRequest]]:
    start, size = 0, 0
    for place, record in enumerate(part):
        added = len(record.asked_at) * _width(record)
        size += added
        if place > start and (size > _MAX_SIZE or not _is_uniform((part[start], record))):
            yield part[start:place]
            start, size = place, added
    yield part[start:]


def _width(record: LoggedRequest) -> int:
    """Return about how many times the size of `asked_at` a request takes."""
    return len(record.numbers) + len(record.scores) + 4 * len(record.strings) + 4


def _names(numbers: Mapping[str, bytes]) -> list[str]:
    return numbers.names if type(numbers) is Block else [*numbers]


def pack(run: Sequence[LoggedRequest]) -> bytes:
    """Return the frame of one run; raises `Unloggable`."""
    first, columns = run[0], zip(*map(_columns_of, run), strict=True)
    ids, logged_at, took_us, keys, asked_at, numbers, strings, scores, served, took = columns
    versions = first.versions
    packed = _Packed(
        schema=_PACKED_SCHEMA, ids=ids, rows=[*map(len, keys)], logged_at=logged_at, took_us=took_us,
        release=first.release, keys=[*chain.from_iterable(keys)], asked_at=b"".join(asked_at),
        number_names=_names(first.numbers), numbers=b"".join(map(_joined, numbers)),
        string_names=[*first.strings],
        strings=[[value for texts in strings for value in texts[name]] for name in first.strings],
        versions=versions, scores=b"".join([found[digest] for found in scores for digest in versions]),
        served=b"".join(served), errors=first.errors, took_names=[*first.took_each],
        took_each=[*chain.from_iterable(each.values() for each in took)],
        sample=first.sample, redacted=first.redacted,
    )  # fmt: skip
    try:
        payload = _encoder.encode(packed)
    except (UnicodeError, OverflowError, TypeError, ValueError) as error:
        raise Unloggable(f"a request cannot be logged: {error}"[:200], fix="send text that is valid Unicode") from error
    if len(payload) > MAX_PAYLOAD:
        raise Unloggable(f"a request of {len(payload)} bytes", fix="send smaller requests")
    return HEAD.pack(MAGIC, len(payload), zlib.crc32(payload)) + payload


def chunks_of(records: Sequence[LoggedRequest], first: int = 0) -> Iterator[Chunk]:
    """Yield the chunks of records, numbered from `first`; raises `Unloggable` at the record that cannot be kept."""
    for number, run in enumerate(runs(records), start=first):
        yield Chunk(
            number=number, hour=run[0].logged_at // HOUR * HOUR, requests=len(run),
            rows=sum(len(record.keys) for record in run), size=0, frame=pack(run),
        )  # fmt: skip


def _joined(numbers: Mapping[str, bytes]) -> bytes:
    return numbers.data if type(numbers) is Block else b"".join(numbers.values())


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


def unpack(payload: memoryview | bytes, where: str) -> list[LoggedRequest]:
    """Return the requests of a frame's payload; raise `Damaged`, naming `where`, if it holds something else."""
    try:
        if payload[0] >> 4 == 0x9 or payload[0] == 0xDC:
            packed = _packed.decode(payload)
            schema, wanted, records = packed.schema, _PACKED_SCHEMA, _unpacked(packed)
        else:
            single = _single.decode(payload)
            schema, wanted, records = single.schema, LOG_SCHEMA, [single]
    except (msgspec.MsgspecError, UnicodeDecodeError, IndexError) as error:
        raise Damaged(f"{where} holds a frame that is no request: {error}", fix="upgrade mainspring") from error
    if schema != wanted:
        raise Damaged(f"{where} has log schema {schema}, not {wanted}", fix="upgrade mainspring")
    return records


def _unpacked(packed: _Packed) -> list[LoggedRequest]:
    records: list[LoggedRequest] = []
    row = 0
    width, models, timed = len(packed.number_names), len(packed.versions), len(packed.took_names)
    for place, (name, rows) in enumerate(zip(packed.ids, packed.rows, strict=True)):
        block = rows * _FLOAT
        numbers, scores, took = row * _FLOAT * width, row * _FLOAT * models, place * timed
        records.append(
            LoggedRequest(
                request_id=name, logged_at=packed.logged_at[place], took_us=packed.took_us[place],
                release=packed.release, keys=packed.keys[row : row + rows],
                asked_at=packed.asked_at[row * _FLOAT : (row + rows) * _FLOAT],
                numbers=Block(packed.number_names, packed.numbers[numbers : numbers + block * width], block),
                strings={
                    column: values[row : row + rows]
                    for column, values in zip(packed.string_names, packed.strings, strict=True)
                },
                versions=list(packed.versions), scores=_parted(packed.versions, packed.scores, scores, block),
                served=packed.served[row : row + rows], errors=dict(packed.errors),
                took_each=dict(zip(packed.took_names, packed.took_each[took : took + timed], strict=True)),
                sample=packed.sample, redacted=list(packed.redacted),
            )
        )  # fmt: skip
        row += rows
    return records


def _parted(names: list[str], data: bytes, start: int, size: int) -> dict[str, bytes]:
    return {name: data[start + place * size : start + (place + 1) * size] for place, name in enumerate(names)}
