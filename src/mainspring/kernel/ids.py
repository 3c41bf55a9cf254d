"""Identifiers: a prediction id names its hour, so its log segment is found without an index.

`p-<yyyymmddhh>-<16 base32>` names a request; row i of it is that plus `.i` (docs/decisions/0007-prediction-ids.md).
"""

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime

from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.times import HOUR, from_us, to_us

_REQUEST = re.compile(r"p-(\d{10})-([a-z2-7]{16})")
_ROW = re.compile(r"(p-\d{10}-[a-z2-7]{16})\.(\d{1,7})")
_DEVICE = re.compile(r"con|prn|aux|nul|(?:com|lpt)[0-9]")  # Windows has no folders of these names
_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_MAX_NAME = 63
_BYTES, _TAIL, _DRAWN = 10, 16, 64
_LETTERS = bytes(b"abcdefghijklmnopqrstuvwxyz234567"[byte % 32] for byte in range(256))  # 8 bytes for each letter


def request_id(logged_at: int, random: bytes) -> str:
    """Return a request's id from the log time (UTC microseconds) and 10 random bytes."""
    tail = base64.b32encode(random[:_BYTES]).decode("ascii").lower()
    return f"p-{from_us(logged_at):%Y%m%d%H}-{tail}"


class RequestIds:
    """Makes request ids for one process; cheap, for random bytes are drawn and spelt for many ids at once.

    random: gives n random bytes. Not for several threads at once.
    """

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._from = self._until = 0
        self._head = ""
        self._tails: list[str] = []

    def next(self, now: int) -> str:
        """Return a new id; `now` is the log time in UTC microseconds."""
        if not self._from <= now < self._until:
            self._from = now - now % HOUR
            self._until = self._from + HOUR
            self._head = f"p-{from_us(now):%Y%m%d%H}-"
        if not self._tails:
            text = self._random(_TAIL * _DRAWN).translate(_LETTERS).decode("ascii")
            self._tails = [text[at : at + _TAIL] for at in range(0, len(text), _TAIL)]
        return self._head + self._tails.pop()


def split_prediction_id(text: str) -> tuple[str, int]:
    """Return (request id, row) of a prediction id; a bare request id means row 0."""
    if _REQUEST.fullmatch(text):
        return text, 0
    found = _ROW.fullmatch(text)
    if not found:
        raise InvalidValue(f"{text[:60]!r} is not a prediction id", fix="it reads p-2013050106-abcdefghijklmnop.0")
    return found[1], int(found[2])


def hour_of(prediction_id: str) -> int:
    """Return the UTC microseconds of the hour in which a prediction was logged."""
    request, _ = split_prediction_id(prediction_id)
    try:
        return to_us(datetime.strptime(request[2:12], "%Y%m%d%H").replace(tzinfo=UTC))
    except ValueError:
        raise InvalidValue(f"{prediction_id!r} names no hour", fix="copy the id from the answer") from None


def checked_name(text: str, kind: str) -> str:
    """Return `text` if it may name a project, source, view or environment; also a folder of any system."""
    if not isinstance(text, str) or len(text) > _MAX_NAME or not _NAME.fullmatch(text) or _DEVICE.fullmatch(text):
        raise InvalidValue(
            f"{str(text)[:80]!r} cannot name a {kind}",
            fix="use lower-case letters, digits, - and _; start with a letter; at most 63 characters; not con or nul",
        )
    return text
