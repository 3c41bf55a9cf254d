"""One-row requests as the log takes them from the hot path: a tuple, and what all of a kind share made once.

A `LoggedRequest` of one row costs more to make than the row costs to score; these are packed by column without ever
becoming one. `whole` gives the record that a row stands for.
"""

import struct
from dataclasses import dataclass, field

from mainspring.kernel.records import Block, LoggedRequest

_DOUBLE, _TUPLE = 8, 600  # bytes that a number, and everything beside the numbers, take in memory, about
_score = struct.Struct("<d").pack
_time = struct.Struct("<q").pack


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowShape:
    """What the rows of one release have in common; told apart by identity.

    release: the git commit. names: of the numbers, in order. version: digest of the model that scores them.
    size: bytes that one row takes in memory, about.
    """

    release: str
    names: list[str]
    version: str
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", _TUPLE + _DOUBLE * len(self.names))


Row = tuple[RowShape, str, int, int, bytes, float, int]
"""(shape, request id, logged_at, took_us, numbers as little-endian float64, score, microseconds of the version)"""


def whole(row: Row) -> LoggedRequest:
    """Return the record that a row stands for."""
    shape, name, logged_at, took_us, numbers, score, each = row
    return LoggedRequest(
        request_id=name, logged_at=logged_at, took_us=took_us, release=shape.release, keys=[""],
        asked_at=_time(logged_at), numbers=Block(shape.names, numbers, _DOUBLE), strings={}, versions=[shape.version],
        scores={shape.version: _score(score)}, served=b"\0", took_each={shape.version: each},
    )  # fmt: skip
