"""Time: UTC microseconds as integers, durations as text like `6h`, and the clock as an argument.

Only `app` makes a clock; everything below receives one, so history can be replayed.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Protocol

from mainspring.kernel.errors import InvalidValue

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
_UNITS = {"us": 1, "ms": 1_000, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_LONGEST = 10**17  # some three thousand years
_DURATION = re.compile(r"(\d{1,18})(us|ms|s|m|h|d|w)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Tells the time; in a replay, the replayed time."""

    def now(self) -> int:
        """Return UTC microseconds since 1970."""


class FixedClock:
    """A clock that stands where it was set: replays and tests move it."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now(self) -> int:
        """Return the time it was set to."""
        return self.at


def parse_duration(text: str) -> int:
    """Return the microseconds of a duration such as `30s`, `6h`, `14d` or `2w`; it must be above zero."""
    found = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    us = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < us < _LONGEST:
        raise InvalidValue(f"{str(text)[:60]!r} is not a duration", fix="write a number and a unit: 30s, 6h, 14d")
    return us


def format_duration(us: int) -> str:
    """Return the shortest exact text of a duration: 21,600,000,000 is `6h`."""
    for unit in ("d", "h", "m", "s", "ms"):
        if us and us % _UNITS[unit] == 0:
            return f"{us // _UNITS[unit]}{unit}"
    return f"{us}us"


def parse_time(text: str) -> int:
    """Return UTC microseconds of an ISO 8601 time with a zone, or of a date (midnight UTC)."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidValue(f"{text[:60]!r} is not a time", fix="write 2013-05-01 or 2013-05-01T06:00:00Z") from None
    if moment.tzinfo is None:
        if len(text.strip()) > len("2013-05-01"):
            raise InvalidValue(f"{text[:60]!r} has no time zone", fix="end it with Z or an offset such as -05:00")
        moment = moment.replace(tzinfo=UTC)
    return to_us(moment)


def to_us(moment: datetime) -> int:
    """Return UTC microseconds of an aware datetime."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_us(us: int) -> datetime:
    """Return the UTC datetime of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=us)


def format_time(us: int) -> str:
    """Return ISO 8601 text in UTC, to the second where nothing is lost."""
    moment = from_us(us)
    precision = "seconds" if us % SECOND == 0 else "microseconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")
