"""Freeze windows: when one holds, when it ends, and which are no windows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.deliver.freezes import frozen, parse_freeze
from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.times import DAY, HOUR, MINUTE, format_time, parse_time

WEEKEND = parse_freeze("fri 16:00", "mon 08:00", "Europe/Berlin", "nobody is there")


def ends(text: str, *freezes: tuple[str, str, str]) -> str | None:
    made = [parse_freeze(first, last, zone, "why") for first, last, zone in freezes]
    found = frozen(made, parse_time(text))
    return None if found is None else format_time(found[0])


@pytest.mark.parametrize(
    ("now", "first", "last", "zone", "end"),
    [
        ("2026-12-23T00:00Z", "2026-12-23", "2027-01-02", "UTC", "2027-01-02T00:00:00Z"),
        ("2026-12-22T23:59Z", "2026-12-23", "2027-01-02", "UTC", None),
        ("2027-01-02T00:00Z", "2026-12-23", "2027-01-02", "UTC", None),
        ("2026-12-22T23:00Z", "2026-12-23", "2027-01-02T08:00", "Europe/Berlin", "2027-01-02T07:00:00Z"),
        ("2026-12-23T00:00Z", "2026-12-22T00:00-05:00", "2026-12-24T00:00+09:00", "UTC", "2026-12-23T15:00:00Z"),
        ("2026-11-27T15:00Z", "fri 16:00", "mon 08:00", "Europe/Berlin", "2026-11-30T07:00:00Z"),
        ("2026-11-27T14:59Z", "fri 16:00", "mon 08:00", "Europe/Berlin", None),
        ("2026-11-30T07:00Z", "fri 16:00", "mon 08:00", "Europe/Berlin", None),
        ("2026-11-29T12:00Z", "Fri 16:00", "mon 08:00", "UTC", "2026-11-30T08:00:00Z"),
        # summer time ends within this weekend: the end stays 08:00 on the wall
        ("2026-10-23T20:00Z", "fri 16:00", "mon 08:00", "Europe/Berlin", "2026-10-26T07:00:00Z"),
        ("2026-03-27T20:00Z", "fri 16:00", "mon 08:00", "Europe/Berlin", "2026-03-30T06:00:00Z"),
    ],
)
def test_a_window_holds_from_its_first_minute_until_its_last(
    now: str, first: str, last: str, zone: str, end: str | None
) -> None:
    assert ends(now, (first, last, zone)) == end


def test_windows_that_touch_are_one_freeze_with_both_reasons() -> None:
    holidays = parse_freeze("2026-12-23", "2026-12-25T18:00", "UTC", "holidays")
    weekend = parse_freeze("fri 16:00", "mon 08:00", "UTC", "weekend")
    found = frozen((weekend, holidays), parse_time("2026-12-23"))
    assert found == (parse_time("2026-12-28T08:00Z"), "holidays, weekend")


def test_windows_that_cover_the_week_are_a_freeze_all_the_same() -> None:
    whole = [parse_freeze("mon 00:00", "thu 12:00", "UTC", "a"), parse_freeze("thu 12:00", "mon 00:00", "UTC", "b")]
    found = frozen(whole, parse_time("2026-12-23"))
    assert found is not None
    assert found[1] == "a, b"


@pytest.mark.parametrize(
    ("first", "last", "zone"),
    [
        ("2026-12-23", "2026-12-23", "UTC"),
        ("2027-01-02", "2026-12-23", "UTC"),
        ("fri 16:00", "fri 16:00", "UTC"),
        ("fri 16:00", "2026-12-23", "UTC"),
        ("friday", "monday", "UTC"),
        ("fri 24:00", "mon 08:00", "UTC"),
        ("", "", "UTC"),
        ("2026-12-23", "2027-01-02", "Mars/Olympus"),
        ("2026-12-23", "2027-01-02", "../../etc/passwd"),
        ("2026-12-23", "2027-01-02", ""),
    ],
)
def test_what_is_no_window_is_refused(first: str, last: str, zone: str) -> None:
    with pytest.raises(InvalidValue):
        parse_freeze(first, last, zone, "why")


@given(at=st.integers(0, 4_000 * DAY // MINUTE).map(lambda minute: minute * MINUTE))
def test_a_freeze_always_ends_later_and_no_longer_than_it_is(at: int) -> None:
    end = WEEKEND.until(at)
    assert end is None or at < end <= at + 2 * DAY + 17 * HOUR  # 64 h, and one more where summer time ends
    assert end is None or WEEKEND.until(end) is None
