"""Calendar parts of UTC times, in UTC or in an IANA zone, for whole arrays.

A zone's offset changes at few instants, so it is looked up once a quarter of an hour that occurs in the data; a quarter
within which it changes is looked up value by value. Method: the rules are those of the standard library's `zoneinfo`.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.datetime64]
_QUARTER = 15 * 60 * 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def is_zone(name: str) -> bool:
    """Tell whether `name` is an IANA zone that this machine knows."""
    try:
        _zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def local(times: Times, zone: str) -> Times:
    """Return the wall-clock times of `zone` (datetime64[us], NaT stays) at the UTC instants `times`."""
    moments = times.astype("datetime64[us]")
    known = ~np.isnat(moments)
    shown = moments.copy()
    instants = moments[known].astype(np.int64)
    shown[known] = (instants + _offsets(instants, zone)).astype("datetime64[us]")
    return shown


def hour(times: Times) -> NDArray[np.float64]:
    """Return the hour, 0 to 23."""
    return _numbers(times, times.astype("datetime64[h]").astype(np.int64) % 24)


def weekday(times: Times) -> NDArray[np.float64]:
    """Return the day of the week, Monday 0 to Sunday 6."""
    days = times.astype("datetime64[D]").astype(np.int64)
    return _numbers(times, (days + 3) % 7)


def month(times: Times) -> NDArray[np.float64]:
    """Return the month, 1 to 12."""
    return _numbers(times, times.astype("datetime64[M]").astype(np.int64) % 12 + 1)


def year(times: Times) -> NDArray[np.float64]:
    """Return the year."""
    return _numbers(times, times.astype("datetime64[Y]").astype(np.int64) + 1970)


def day_of_year(times: Times) -> NDArray[np.float64]:
    """Return the day of the year, 1 to 366."""
    days = times.astype("datetime64[D]")
    return _numbers(times, (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) + 1)


def _numbers(times: Times, values: NDArray[np.generic]) -> NDArray[np.float64]:
    found = values.astype(np.int64).astype(np.float64)
    found[np.isnat(times)] = np.nan
    return found


def _offsets(instants: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    quarters, where = np.unique(instants // _QUARTER, return_inverse=True)
    starts = np.array([_offset(int(quarter) * _QUARTER, zone) for quarter in quarters], dtype=np.int64)
    ends = np.array([_offset(int(quarter + 1) * _QUARTER, zone) for quarter in quarters], dtype=np.int64)
    found: NDArray[np.int64] = starts[where]
    for row in np.flatnonzero((starts != ends)[where]):
        found[row] = _offset(int(instants[row]), zone)
    return found


@lru_cache(maxsize=65_536)
def _offset(instant: int, zone: str) -> int:
    moment = (_EPOCH + timedelta(microseconds=instant)).astimezone(_zone(zone))
    return (moment.utcoffset() or timedelta()) // _MICROSECOND


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
