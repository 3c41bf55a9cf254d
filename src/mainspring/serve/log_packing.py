"""Requests of one shape and one hour in one frame, packed by column, and back.

A payload is a msgpack array (`_Packed`) of up to `MAX_REQUESTS` requests, or, in logs of version 0.1, a msgpack map of
one. Packing by column writes the names once a frame, not once a request. Every sink is given the same bytes, made once.
Start at `packed_runs`.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np

from mainspring.kernel.errors import Damaged
from mainspring.kernel.records import LOG_SCHEMA, Block, LoggedRequest
from mainspring.kernel.times import HOUR
from mainspring.serve.frames import MAX_PAYLOAD, framed
from mainspring.serve.log_rows import Row
from mainspring.serve.ports import Chunk

MAX_REQUESTS = 64
MAX_ROWS = 256
_MAX_SIZE = 1 << 18  # bytes: what is packed, checked and written then stays in a processor's own cache
_PACKED_SCHEMA = 2
_FLOAT = 8


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


_columns_of = attrgetter(
    "release", "versions", "errors", "sample", "redacted", "request_id", "logged_at", "took_us", "keys", "asked_at",
    "numbers", "strings", "scores", "served", "took_each",
)  # fmt: skip
_Columns = tuple[Any, ...]  # what each of `_columns_of` is in every request of a part


def packed_runs(records: Sequence[LoggedRequest]) -> Iterator[tuple[int, Sequence[LoggedRequest], bytes | Unloggable]]:
    """Yield (place, requests, their frame) for the runs of records that share one shape and hour, in order.

    In place of a frame stands `Unloggable` when a request of the run cannot be packed. At most `MAX_REQUESTS` and about
    256 KB share a frame. Whole slices are compared column by column: a third of the cost of asking request by request.
    """
    start, end = 0, 0
    while (start := end) < len(records):
        end = start + min(MAX_REQUESTS, max(1, _MAX_SIZE // _size_of(records[start])))
        part = records[start:end]
        columns = tuple(zip(*map(_columns_of, part), strict=True))
        if _is_uniform(columns):
            yield start, part, _tried(columns)
        else:
            for place, run in _cut(part):
                yield start + place, run, _tried(tuple(zip(*map(_columns_of, run), strict=True)))


def _is_uniform(columns: _Columns) -> bool:
    *plain, _, logged_at, _, _, asked_at, numbers, strings, scores, _, took = columns
    many = len(logged_at)
    return (
        all([column.count(column[0]) == many for column in plain])
        and (names := [*map(_names, numbers)]).count(names[0]) == many
        and (not any(strings) or (texts := [*map(list, strings)]).count(texts[0]) == many)
        and (timed := [*map(list, took)]).count(timed[0]) == many
        and min(logged_at) // HOUR == max(logged_at) // HOUR
        and (
            many == 1
            or many * max(map(len, asked_at)) * (len(names[0]) + len(scores[0]) + 4 * len(strings[0]) + 4) <= _MAX_SIZE
        )
    )


def _cut(part: Sequence[LoggedRequest]) -> Iterator[tuple[int, Sequence[LoggedRequest]]]:
    start, size = 0, 0
    for place, record in enumerate(part):
        added = _size_of(record)
        size += added
        pair = tuple(zip(_columns_of(part[start]), _columns_of(record), strict=True))
        if place > start and (size > _MAX_SIZE or not _is_uniform(pair)):
            yield start, part[start:place]
            start, size = place, added
    yield start, part[start:]


def _size_of(record: LoggedRequest) -> int:
    """Return about how many bytes a request takes in its frame."""
    return len(record.asked_at) * (len(record.numbers) + len(record.scores) + 4 * len(record.strings) + 4)


def _names(numbers: Mapping[str, bytes]) -> list[str]:
    return numbers.names if type(numbers) is Block else [*numbers]


def pack(run: Sequence[LoggedRequest]) -> bytes:
    """Return the frame of requests of one shape; raises `Unloggable`."""
    return _packed_columns(tuple(zip(*map(_columns_of, run), strict=True)))


def _tried(columns: _Columns) -> bytes | Unloggable:
    try:
        return _packed_columns(columns)
    except Unloggable as error:
        return error


def _packed_columns(columns: _Columns) -> bytes:
    (release, *_), (versions, *_), (errors, *_), (sample, *_), (redacted, *_), *rest = columns
    ids, logged_at, took_us, keys, asked_at, numbers, strings, scores, served, took = rest
    packed = _Packed(
        schema=_PACKED_SCHEMA, ids=ids, rows=[*map(len, keys)], logged_at=logged_at, took_us=took_us,
        release=release, keys=[*chain.from_iterable(keys)], asked_at=b"".join(asked_at),
        number_names=_names(numbers[0]), numbers=b"".join(map(_joined, numbers)), string_names=[*strings[0]],
        strings=[[value for texts in strings for value in texts[name]] for name in strings[0]],
        versions=versions, scores=b"".join([found[digest] for found in scores for digest in versions]),
        served=b"".join(served), errors=errors, took_names=[*took[0]],
        took_each=[*chain.from_iterable(each.values() for each in took)], sample=sample, redacted=redacted,
    )  # fmt: skip
    try:
        payload = _encoder.encode(packed)
    except (UnicodeError, OverflowError, TypeError, ValueError) as error:
        raise Unloggable(f"a request cannot be logged: {error}"[:200], fix="send text that is valid Unicode") from error
    if len(payload) >= MAX_PAYLOAD:
        raise Unloggable(f"a request of {len(payload)} bytes", fix="send smaller requests")
    return framed(payload)


def chunk_of(run: Sequence[LoggedRequest], frame: bytes, *, number: int, size: int) -> Chunk:
    """Return the chunk of a run and its frame. size: bytes that the requests take in memory."""
    return Chunk(
        number=number, hour=run[0].logged_at // HOUR * HOUR, requests=len(run),
        rows=sum([len(record.keys) for record in run]), size=size, frame=frame,
    )  # fmt: skip


def row_chunks(rows: Sequence[Row], number: int) -> Iterator[Chunk]:
    """Yield the chunks of requests in their short form, numbered from `number` on; at most `MAX_ROWS` share a frame."""
    for (shape, hour), same in groupby(rows, lambda row: (row[0], row[2] // HOUR)):
        run = list(same)
        size = max(1, min(MAX_ROWS, _MAX_SIZE // shape.size))
        for start in range(0, len(run), size):
            part = run[start : start + size]
            yield Chunk(
                number=number, hour=hour * HOUR, requests=len(part), rows=len(part) * shape.rows,
                size=len(part) * shape.size, frame=_row_frame(part),
            )  # fmt: skip
            number += 1


def _row_frame(part: Sequence[Row]) -> bytes:
    (shape, *_), ids, logged_at, took_us, numbers, scores, each = zip(*part, strict=True)
    many, rows = len(part), shape.rows
    asked_at = np.array(logged_at, "<i8").repeat(rows).tobytes()
    packed = _Packed(
        schema=_PACKED_SCHEMA, ids=ids, rows=[rows] * many, logged_at=logged_at, took_us=took_us,
        release=shape.release, keys=[""] * (rows * many), asked_at=asked_at, number_names=shape.names,
        numbers=b"".join(numbers), string_names=[], strings=[], versions=[shape.version], scores=b"".join(scores),
        served=bytes(rows * many), errors={}, took_names=[shape.version], took_each=list(each), sample=1.0, redacted=[],
    )  # fmt: skip
    return framed(_encoder.encode(packed))


def chunks_of(records: Sequence[LoggedRequest]) -> Iterator[Chunk]:
    """Yield the chunks of records, outside a server's log; raises `Unloggable`."""
    for number, (_, run, frame) in enumerate(packed_runs(records)):
        if isinstance(frame, Unloggable):
            raise frame
        yield chunk_of(run, frame, number=number, size=0)


def _joined(numbers: Mapping[str, bytes]) -> bytes:
    return numbers.data if type(numbers) is Block else b"".join(numbers.values())


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
