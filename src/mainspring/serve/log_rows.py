"""Requests as the log takes them from the hot path: a tuple, and what all of a kind share made once.

A `LoggedRequest` of one row costs more to make than the row costs to score; these are packed by column without ever
becoming one. `whole` gives the record that a tuple stands for.
"""

import struct
from dataclasses import dataclass, field

from mainspring.kernel.records import Block, LoggedRequest

_DOUBLE, _TUPLE = 8, 600  # bytes that a number, and everything beside the numbers, take in memory, about
_time = struct.Struct("<q").pack


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowShape:
    """What the requests of one release with as many rows have in common; told apart by identity.

    release: the git commit. names: of the numbers, in order. version: digest of the model that scores them.
    number: its version. rows: of each request. size: bytes that a request takes in memory, about.
    """

    release: str
    names: list[str]
    version: str
    number: int = 0
    rows: int = 1
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", _TUPLE + _DOUBLE * self.rows * (len(self.names) + 1))


Row = tuple[RowShape, str, int, int, bytes, bytes, int]
"""(shape, request id, logged_at, took_us, numbers column by column, scores, microseconds of the version)

Numbers and scores are little-endian float64.
"""


def whole(row: Row) -> LoggedRequest:
    """Return the record that a tuple stands for."""
    shape, name, logged_at, took_us, numbers, scores, each = row
    rows = shape.rows
    return LoggedRequest(
        request_id=name, logged_at=logged_at, took_us=took_us, release=shape.release, keys=[""] * rows,
        asked_at=_time(logged_at) * rows, numbers=Block(shape.names, numbers, _DOUBLE * rows), strings={},
        versions=[shape.version], scores={shape.version: scores}, served=bytes(rows), took_each={shape.version: each},
    )  # fmt: skip
