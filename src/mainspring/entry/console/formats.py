"""Numbers, times and names as the report writes them: one way each, a dash for what is not known."""

from mainspring.kernel.times import from_us

NOTHING = "–"  # noqa: RUF001 - an en dash stands for "not known"
MINUS = "−"  # noqa: RUF001 - a real minus sign lines up with the digits


def fixed(value: float | None, digits: int = 4) -> str:
    """Return a number with `digits` decimals: 0.4931."""
    return NOTHING if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def signed(value: float | None, digits: int = 4) -> str:
    """Return a number with its sign: +0.0021, or the same with a minus."""
    return NOTHING if value is None else f"{value:+.{digits}f}".replace("-", MINUS)


def interval(low: float | None, high: float | None, digits: int = 4) -> str:
    """Return `low to high`, or nothing at all if either end is not known."""
    return "" if low is None or high is None else f"{fixed(low, digits)} to {fixed(high, digits)}"


def signed_interval(low: float | None, high: float | None, digits: int = 4) -> str:
    """Return `low to high` with signs, or nothing at all if either end is not known."""
    return "" if low is None or high is None else f"{signed(low, digits)} to {signed(high, digits)}"


def count(value: int | None) -> str:
    """Return a whole number with separators: 223,441."""
    return NOTHING if value is None else f"{value:,}".replace("-", MINUS)


def seconds(value: float | None) -> str:
    """Return a duration in seconds, with a decimal below 100: `41.3 s`, `1,204 s`."""
    if value is None:
        return NOTHING
    return f"{value:,.1f} s" if abs(value) < 100 else f"{value:,.0f} s"


def day(us: int | None) -> str:
    """Return the UTC date: `3 May 2013`."""
    return NOTHING if us is None else f"{from_us(us).day} {from_us(us):%b %Y}"


def stamp(us: int | None) -> str:
    """Return the UTC minute: `2013-05-03 06:00`."""
    return NOTHING if us is None else f"{from_us(us):%Y-%m-%d %H:%M}"


def times(number: int | None, noun: str) -> str:
    """Return a counted noun: `no trainings`, `1 training`, `7 trainings`."""
    if number is None:
        return f"an unknown number of {noun}s"
    return f"{'no' if number == 0 else count(number)} {noun}{'' if number == 1 else 's'}"
