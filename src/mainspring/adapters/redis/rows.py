"""How a row stands in Redis: when it showed, then its values in a few bytes, every one exactly as it was.

A member of a sorted set: 16 hexadecimal digits of the time (so that members sort by it in every locale), `:`, the
event time, numbers and times as little-endian 8 bytes each, and texts as one MessagePack list where a view has any.
"""

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from mainspring.data.ports import NEVER
from mainspring.kernel.errors import Damaged
from mainspring.stats.columns import Array, Columns, is_null

KEYS = ("key", "at", "event_time")
_STAMP, _LAST = 17, 2**63 - 1
_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(list[str | None]).decode


def stamp(at: int) -> str:
    """Return a time as text that sorts as times do."""
    return f"{at + 2**63:016x}"


def after(at: int) -> str:
    """Return the stamp that no row up to `at` has."""
    return stamp(min(at + 1, _LAST))


class Shape:
    """The columns of a view. kinds: name -> `number`, `time` or `string`."""

    def __init__(self, kinds: dict[str, str]) -> None:
        self.kinds = kinds
        self._fixed = [name for name, kind in kinds.items() if kind != "string"]
        self._texts = [name for name, kind in kinds.items() if kind == "string"]
        types = {"number": "<f8", "time": "<i8"}
        self._type = np.dtype([("", "<i8"), *(("", types[kinds[name]]) for name in self._fixed)])
        blank = [NEVER, *(np.nan if kinds[name] == "number" else NEVER for name in self._fixed)]
        self._blank = np.array([tuple(blank)], dtype=self._type).tobytes()  # NEVER is numpy's NaT too

    @classmethod
    def of(cls, rows: Columns) -> "Shape":
        """Return the shape of a stream's rows."""
        kinds = {"O": "string", "M": "time"}
        return cls({name: kinds.get(values.dtype.kind, "number") for name, values in rows.items() if name not in KEYS})

    def to_json(self) -> str:
        """Return the text that `shape` reads."""
        return json.dumps(self.kinds)

    def members(self, rows: Columns) -> Iterator[tuple[str, str, bytes]]:
        """Yield (key, stamp, member) of each row."""
        table = np.empty(len(rows["at"]), dtype=self._type)
        for place, name in zip(self._type.names or (), ("event_time", *self._fixed), strict=True):
            values = rows[name]
            table[place] = values.astype("datetime64[us]").astype(np.int64) if values.dtype.kind == "M" else values
        data, size = table.tobytes(), self._type.itemsize
        texts = [_texts(rows[name]) for name in self._texts]
        for row, (key, at) in enumerate(zip(rows["key"].tolist(), rows["at"].tolist(), strict=True)):
            mark = stamp(at)
            tail = _encode([column[row] for column in texts]) if texts else b""
            yield key, mark, b"%b:%b%b" % (mark.encode(), data[row * size : (row + 1) * size], tail)

    def columns(self, members: Sequence[bytes | None]) -> Columns:
        """Return the rows of members, nulls for None."""
        end = _STAMP + self._type.itemsize
        try:
            data = b"".join([self._blank if member is None else member[_STAMP:end] for member in members])
            table = np.frombuffer(data, dtype=self._type)
            names = self._type.names or ()
            read: Columns = {"event_time": table[names[0]].astype(np.int64)}
            numbers = {name: table[place] for name, place in zip(self._fixed, names[1:], strict=True)}
            nothing: list[str | None] = [None] * len(self._texts)
            texts = [nothing if member is None else _decode(member[end:]) for member in members] if self._texts else []
            columns = dict(zip(self._texts, zip(*texts, strict=True), strict=True)) if texts else {}
        except (ValueError, msgspec.MsgspecError) as error:
            fix = "delete the keys of this model in Redis and materialise again"
            raise Damaged("rows in Redis are not as they were written", fix=fix) from error
        for name, kind in self.kinds.items():
            if kind == "string":
                read[name] = _objects(columns.get(name, ()))
            else:
                read[name] = numbers[name].astype("datetime64[us]" if kind == "time" else np.float64)
        return read


@lru_cache(maxsize=256)
def shape(text: bytes) -> Shape:
    """Return the shape that was written as JSON."""
    return Shape(json.loads(text))


def _texts(values: Array) -> list[Any]:
    return [None if gone else value for gone, value in zip(is_null(values).tolist(), values.tolist(), strict=True)]


def _objects(values: Sequence[str | None]) -> Array:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found
