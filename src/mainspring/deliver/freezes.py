"""Freeze windows: when nothing new may enter an environment. Pure: the time comes in as an argument.

A window is either one stretch of time (`2026-12-23` to `2027-01-02`) or comes every week (`fri 16:00` to `mon 08:00`).
Times without an offset are wall-clock times of the window's zone, so a weekly window follows its summer time.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.times import from_us, to_us

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKLY = re.compile(r"(mon|tue|wed|thu|fri|sat|sun) ([01]\d|2[0-3]):([0-5]\d)")
_WEEK = 7 * 24 * 60
_FIX = "write two times such as 2026-12-23 and 2027-01-02T08:00, or two of each week: fri 16:00 and mon 08:00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """One window. start, end: UTC microseconds; where `weekly`, minutes since Monday 00:00 in `zone`."""

    start: int
    end: int
    reason: str
    zone: str = "UTC"
    weekly: bool = False

    def until(self, at: int) -> int | None:
        """Return when the window that holds `at` ends (UTC microseconds), or None outside of it."""
        if not self.weekly:
            return self.end if self.start <= at < self.end else None
        zone = ZoneInfo(self.zone)
        here = from_us(at).astimezone(zone).replace(tzinfo=None)
        minute = (here.weekday() * 24 + here.hour) * 60 + here.minute
        if (minute - self.start) % _WEEK >= (self.end - self.start) % _WEEK:
            return None
        left = timedelta(minutes=(self.end - minute) % _WEEK)
        return to_us((here.replace(second=0, microsecond=0) + left).replace(tzinfo=zone))


def parse_freeze(first: str, last: str, zone: str, reason: str) -> Freeze:
    """Return the window from `first` to `last`, not included; `InvalidValue` says what is wrong."""
    try:
        known = ZoneInfo(zone)
    except (ValueError, OSError, KeyError) as error:
        raise InvalidValue(f"{zone[:60]!r} is not a time zone", fix="write an IANA name: Europe/Berlin") from error
    weekly = [_WEEKLY.fullmatch(text.strip().lower()) for text in (first, last)]
    if all(weekly):
        start, end = (_minute(found) for found in weekly if found)
    else:
        start, end = _instant(first, known), _instant(last, known)
    if start == end or (start > end and not all(weekly)):
        raise InvalidValue(f"a freeze from {first!r} to {last!r} holds no time", fix="let it end after it begins")
    return Freeze(start=start, end=end, reason=" ".join(reason.split()), zone=zone, weekly=all(weekly))


def frozen(freezes: Sequence[Freeze], at: int) -> tuple[int, str] | None:
    """Return (end in UTC microseconds, reason) of the freeze at `at`; windows that touch count as one. None: open."""
    end = at
    reasons: list[str] = []
    while running := [(until, freeze) for freeze in freezes if (until := freeze.until(end)) is not None]:
        end = max(until for until, _ in running)
        reasons.extend(freeze.reason for _, freeze in running)
        if len(reasons) > 2 * len(freezes):  # windows that cover the whole week never end
            break
    return (end, ", ".join(dict.fromkeys(reasons))) if reasons else None


def _minute(found: re.Match[str]) -> int:
    return (_DAYS.index(found[1]) * 24 + int(found[2])) * 60 + int(found[3])


def _instant(text: str, zone: ZoneInfo) -> int:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidValue(f"{text[:60]!r} is not a time of a freeze", fix=_FIX) from None
    return to_us(moment if moment.tzinfo else moment.replace(tzinfo=zone))
