"""Ticks and windows of time, UTC microseconds: a window is a whole number of ticks."""

from mainspring.kernel.errors import InvalidValue


def tick_of(at: int, every: int) -> int:
    """Return the start of the tick that holds `at`.

    >>> tick_of(25, 10)
    20
    """
    return at // every * every


def window_ticks(end: int, window: int, every: int) -> range:
    """Return the starts of the ticks of the window that ends with the last whole tick at or before `end`.

    >>> list(window_ticks(45, 30, 10))
    [10, 20, 30]
    """
    if window % every or window < every:
        raise InvalidValue(f"a window of {window} us is not a multiple of {every} us", fix="use a multiple of the tick")
    last = tick_of(end, every)
    return range(last - window, last, every)
