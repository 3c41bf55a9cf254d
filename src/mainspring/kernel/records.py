"""What a server logs and what becomes known later: one record a request, one label a question.

`serve` writes these and `observe` reads them. Columns are plain bytes and lists, so this stays standard library:
numbers are little-endian float64 (NaN is null), strings are lists (None is null).
"""

from dataclasses import dataclass, field

LOG_SCHEMA = 1


@dataclass(slots=True, kw_only=True)
class LoggedRequest:
    """One answered request of n rows.

    request_id: `p-<hour>-<random>`; row i's prediction id is that plus `.i`.
    logged_at: server time, UTC microseconds. took_us: monotonic microseconds from bytes in to bytes out.
    release: the git commit that routed it, or "".
    keys: the ask key a row ("" where the client gave none); n long.
    asked_at: business time a row, n little-endian int64 microseconds.
    numbers, strings: the feature values used, a column a name.
    versions: digests of the models that scored these rows; scores: n float64 for each of them.
    served: n bytes; byte i is the index into `versions` whose score row i's client was given.
    errors: digest -> short reason, for versions that failed and were answered for by another.
    took_each: digest -> microseconds that the version took to score these rows.
    """

    request_id: str
    logged_at: int
    took_us: int
    release: str
    keys: list[str]
    asked_at: bytes
    numbers: dict[str, bytes]
    strings: dict[str, list[str | None]]
    versions: list[str]
    scores: dict[str, bytes]
    served: bytes
    errors: dict[str, str] = field(default_factory=dict)
    took_each: dict[str, int] = field(default_factory=dict)
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
