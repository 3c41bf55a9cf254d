"""What a server logs and what becomes known later: one record a request, one label a question.

`serve` writes these and `observe` reads them. Columns are plain bytes and lists, so this stays standard library:
numbers are little-endian float64 (NaN is null), strings are lists (None is null).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

LOG_SCHEMA = 1


class Block(Mapping[str, bytes]):
    """Columns of equal size that lie one after another in one piece of memory: cheap to make, to log and to read.

    names: their order in `data`; requests of one shape should share one list, for then shapes are told apart at once.
    """

    __slots__ = ("data", "names", "size")

    def __init__(self, names: list[str], data: bytes, size: int) -> None:
        self.names, self.data, self.size = names, data, size

    def __getitem__(self, name: str) -> bytes:
        try:
            start = self.names.index(name) * self.size
        except ValueError:
            raise KeyError(name) from None
        return self.data[start : start + self.size]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@dataclass(slots=True, kw_only=True)
class LoggedRequest:
    """One answered request of n rows.

    request_id: `p-<hour>-<random>`; row i's prediction id is that plus `.i`.
    logged_at: server time, UTC microseconds. took_us: monotonic microseconds from bytes in to bytes out.
    release: the git commit that routed it, or "".
    keys: the ask key a row ("" where the client gave none); n long.
    asked_at: business time a row, n little-endian int64 microseconds.
    numbers, strings: the feature values used, a column a name (`numbers` may be a `Block`).
    versions: digests of the models that scored these rows; scores: n float64 for each of them.
    served: n bytes; byte i is the index into `versions` whose score row i's client was given.
    errors: digest -> short reason, for versions that failed and were answered for by another.
    took_each: digest -> microseconds that the version took to score these rows.
    sample: share of all requests that is logged, chosen by request id: one logged request stands for 1 / sample.
    redacted: columns whose values were taken out before anything was written (they are null here).
    """

    request_id: str
    logged_at: int
    took_us: int
    release: str
    keys: list[str]
    asked_at: bytes
    numbers: Mapping[str, bytes]
    strings: dict[str, list[str | None]]
    versions: list[str]
    scores: dict[str, bytes]
    served: bytes
    errors: dict[str, str] = field(default_factory=dict)
    took_each: dict[str, int] = field(default_factory=dict)
    sample: float = 1.0
    redacted: list[str] = field(default_factory=list)
    schema: int = LOG_SCHEMA


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What came true for one question: (key, asked_at) had `value`, known from `known_at` (UTC microseconds).

    A later `known_at` wins; at equal `known_at` the later arrival wins; nothing is deleted.
    """

    key: str
    asked_at: int
    value: float
    known_at: int
