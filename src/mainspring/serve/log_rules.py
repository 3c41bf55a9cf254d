"""What of the answered requests is logged: a share of them, and never the values of some columns.

Both are applied before anything is encoded, so no sink can see more. Sampling is by request id: whoever looks at an id
later, a label's reader or a second sink, comes to the same verdict without asking.
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b

from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.records import LoggedRequest

KEY = "@key"
_NULL = struct.pack("<d", float("nan"))
_SPAN = 1 << 32
_MIN_SECRET = 16
_HASHED = 16  # bytes; enough that two keys do not meet


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRules:
    """sample: share of requests that is logged, above 0 and up to 1; every logged record carries it.

    redact: columns that are logged as null and named in the record; `@key` stands for the ask keys, which become
    keyed hashes where there is a `key_secret`, and "" where there is none.
    """

    sample: float = 1.0
    redact: frozenset[str] = frozenset()
    key_secret: bytes = b""

    def __post_init__(self) -> None:
        if not 0 < self.sample <= 1:  # also refuses NaN
            raise InvalidValue(f"a log sample of {self.sample}", fix="write a share above 0 and up to 1")
        if self.key_secret and len(self.key_secret) < _MIN_SECRET:
            raise InvalidValue("the log's key secret is short", fix=f"use at least {_MIN_SECRET} random bytes")

    @property
    def is_plain(self) -> bool:
        """Tell whether records are logged as they are."""
        return self.sample >= 1 and not self.redact

    def takes(self, request_id: str) -> bool:
        """Tell whether the request of this id is logged."""
        return self.sample >= 1 or zlib.crc32(request_id.encode()) < self.sample * _SPAN

    def adding(self, columns: Iterable[str]) -> "LogRules":
        """Return rules that redact these columns too."""
        return replace(self, redact=self.redact | frozenset(columns))

    def key(self, plain: str) -> str:
        """Return what stands in the log for an ask key."""
        if not plain or KEY not in self.redact:
            return plain
        if not self.key_secret:
            return ""
        return f"h-{blake2b(plain.encode(), key=self.key_secret[:64], digest_size=_HASHED).hexdigest()}"

    def applied(self, record: LoggedRequest) -> LoggedRequest:
        """Return the record as it may be written, but for its share; the one that was given is not changed."""
        hidden = [
            name for name in sorted(self.redact) if name == KEY or name in record.numbers or name in record.strings
        ]
        rows = len(record.keys)
        return replace(
            record, redacted=hidden, keys=[self.key(key) for key in record.keys],
            numbers={n: _NULL * rows if n in self.redact else block for n, block in record.numbers.items()},
            strings={n: [None] * rows if n in self.redact else texts for n, texts in record.strings.items()},
        )  # fmt: skip
