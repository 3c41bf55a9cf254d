"""From numbers and times to pixels, with ticks a person would have chosen."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mainspring.entry.console.formats import MINUS
from mainspring.kernel.times import DAY, HOUR, from_us, to_us

_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 2400, 6000)
_SHORT_STEPS = (HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 4 * DAY, 7 * DAY, 14 * DAY)


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight line from values [low, high] to pixels [start, end]; `low` lies below `high`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; values outside are placed outside, in proportion."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def extent(values: Iterable[float | None], *, include: float | None = None, pad: float = 0.06) -> tuple[float, float]:
    """Return a range that shows all known values with some air; one value, or none, gets a range around it."""
    known = [v for v in values if v is not None] + ([] if include is None else [include])
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    apart = high - low > 1e-9 * max(abs(low), abs(high))
    air = (high - low) * pad if apart else (abs(low) * 0.05 or 1.0)
    return low - air, high + air


def time_extent(times: Sequence[int], *, around: int = 7 * DAY) -> tuple[int, int]:
    """Return first and last time in UTC microseconds; a single time gets `around` microseconds of room."""
    if not times:
        return 0, around
    low, high = min(times), max(times)
    return (low, high) if high > low else (low - around // 2, low + around // 2)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round values (1, 2 or 5 times a power of ten apart) inside [low, high]."""
    if not high > low:
        return [low]
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((m * power for m in (1, 2, 5) if m * power >= raw * 0.999), 10 * power)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def tick_text(value: float, every: Sequence[float]) -> str:
    """Return the value with as many decimals as the distance between the ticks `every` needs."""
    step = abs(every[1] - every[0]) if len(every) > 1 else abs(value) or 1.0
    decimals = min(max(0, -math.floor(math.log10(step) + 1e-9)), 8)
    return f"{value:.{decimals}f}".replace("-", MINUS) if round(value, decimals) else "0"


def date_ticks(low: int, high: int, count: int = 8) -> list[tuple[int, str]]:
    """Return about `count` times in [low, high] (UTC microseconds) with labels: hours, days, months or years apart."""
    room = max(count, 1)
    for step in _SHORT_STEPS:
        if (high - low) / step <= room:
            return [(at, _day_text(at, step)) for at in range(-(-low // step) * step, high + 1, step)]
    for months in _MONTH_STEPS:
        found = _months(low, high, months)
        if len(found) <= room or months == _MONTH_STEPS[-1]:
            break
    return [(at, _month_text(at, months)) for at in found]


def _months(low: int, high: int, step: int) -> list[int]:
    """Return the month starts in the range, `step` months apart."""
    first, last = from_us(low), from_us(high)
    start = -(-(first.year * 12 + first.month - 1) // step) * step
    found = []
    for month in range(start, last.year * 12 + last.month, step):
        if 1 <= month // 12 <= 9999:
            at = to_us(first.replace(month // 12, month % 12 + 1, 1, hour=0, minute=0, second=0, microsecond=0))
            found += [at] if low <= at <= high else []
    return found


def _day_text(at: int, step: int) -> str:
    moment = from_us(at)
    return f"{moment:%H:%M}" if step < DAY and moment.hour else f"{moment.day} {moment:%b}"


def _month_text(at: int, step: int) -> str:
    moment = from_us(at)
    return f"{moment.year}" if step >= 12 or moment.month == 1 else f"{moment:%b}"
