"""Cron schedules: five fields, checked, and how often they fire."""

import re
from itertools import pairwise

from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.times import DAY, HOUR, MINUTE

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))
_PART = re.compile(r"(\*|[0-9]{1,2}(?:-[0-9]{1,2})?)(?:/([0-9]{1,2}))?")
_LONGEST = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}


def parse_cron(text: str) -> tuple[frozenset[int], ...]:
    """Return the values at which each of the five fields fires; `InvalidValue` names the field that is wrong."""
    fields = text.split()
    if len(fields) != len(_FIELDS) or not text.isprintable():
        raise InvalidValue(
            f"{text[:60]!r} has {len(fields)} cron fields, not 5",
            fix="write minute, hour, day of month, month, day of week: 0 */6 * * *",
        )
    found = tuple(_field(field, *limits) for field, limits in zip(fields, _FIELDS, strict=True))
    if fields[4] == "*" and min(found[2]) > max(_LONGEST.get(month, 31) for month in found[3]):
        raise InvalidValue(f"{text[:60]!r} names a day that its months do not have", fix="write a day of every month")
    return found


def shortest_gap(text: str) -> int:
    """Return the shortest time between two firings on a day that fires, in microseconds."""
    minutes, hours, *_ = parse_cron(text)
    firings = sorted(hour * 60 + minute for hour in hours for minute in minutes)
    around = [*firings, firings[0] + DAY // MINUTE]
    return min(later - earlier for earlier, later in pairwise(around)) * MINUTE


def every(interval: int) -> str:
    """Return the schedule that fires each `interval` microseconds where cron can say so, else hourly."""
    hours = interval // HOUR
    if interval % HOUR == 0 and hours < 24 and 24 % hours == 0:
        return f"0 */{hours} * * *" if hours > 1 else "0 * * * *"
    return "0 0 * * *" if interval % DAY == 0 else "0 * * * *"


def _field(text: str, name: str, low: int, high: int) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        found = _PART.fullmatch(part)
        if not found:
            raise InvalidValue(f"cron {name} {text[:30]!r} is not understood", fix="write *, 5, 1-5, */6 or a list")
        first, last = _span(found[1], low, high)
        step = int(found[2] or 1)
        if found[2] and found[1].isdigit():
            last = high
        if not (low <= first <= last <= high and 1 <= step <= high):
            raise InvalidValue(f"cron {name} {text[:30]!r} is out of range", fix=f"stay between {low} and {high}")
        values.update(range(first, last + 1, step))
    return frozenset(values)


def _span(text: str, low: int, high: int) -> tuple[int, int]:
    if text == "*":
        return low, high
    first, _, last = text.partition("-")
    return int(first), int(last or first)
