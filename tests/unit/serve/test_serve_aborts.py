"""The router's own abort: quick where a challenger is broken or slow, and not fooled by bad luck."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.serve.aborts import AbortRule, Override


def test_five_failures_in_a_hundred_abort_until_the_next_commit() -> None:
    override = Override(AbortRule())
    override.follow("one")
    for _ in range(4):
        override.saw("error")
    assert not override.aborted
    override.saw("error")
    assert override.reason == "5 of the last 5 requests failed: error"
    override.follow("one")
    assert override.aborted
    override.follow("two")
    assert not override.aborted


@given(st.integers(0, 2), st.integers(130, 300))
def test_rare_failures_do_not_abort(failures: int, good: int) -> None:
    override = Override(AbortRule())
    for _ in range(3):
        for turn in range(failures + good):
            override.saw("error" if turn < failures else "")
    assert not override.aborted


def test_a_challenger_whose_process_ended_is_not_asked_again() -> None:
    override = Override(AbortRule())
    override.saw("gone")
    assert override.aborted


def asked_until_aborted(rate: float, seed: int, most: int) -> int:
    source, override = random.Random(seed), Override(AbortRule())
    for asked in range(1, most + 1):
        override.saw("error" if source.random() < rate else "")
        if override.aborted:
            return asked
    return most + 1


def test_error_rates_are_found_within_their_number_of_requests() -> None:
    for rate, most, misses in ((1.0, 20, 0), (0.2, 100, 0), (0.02, 1_000, 2)):
        late = sum(asked_until_aborted(rate, seed, most) > most for seed in range(200))
        assert late <= misses, (rate, late)


def test_one_failure_in_a_thousand_is_left_alone() -> None:
    assert sum(asked_until_aborted(0.001, seed, 5_000) <= 5_000 for seed in range(50)) <= 1


def pairs_until_aborted(times: float, seed: int, most: int, middle_us: float = 2_000.0) -> int:
    """Return after how many pairs a challenger `times` as slow is aborted; log-normal, the p99 is 3.2 medians."""
    source, override = random.Random(seed), Override(AbortRule())
    for asked in range(1, most + 1):
        champion, challenger = (middle_us * source.lognormvariate(0, 0.5) for _ in range(2))
        override.saw("", round(times * challenger), round(champion))
        if override.aborted:
            return asked
    return most + 1


def test_five_times_as_slow_is_found_within_two_hundred_requests() -> None:
    assert max(pairs_until_aborted(5.0, seed, 200) for seed in range(100)) <= 200


def test_a_slow_tail_is_found_within_two_hundred_requests() -> None:
    late = 0
    for seed in range(100):
        source, override = random.Random(seed), Override(AbortRule())
        for _ in range(200):  # the median is the champion's; one request in ten takes five times its p99
            slow = 16.0 if source.random() < 0.1 else 1.0
            override.saw(
                "", round(2_000 * slow * source.lognormvariate(0, 0.5)), round(2_000 * source.lognormvariate(0, 0.5))
            )
        late += not override.aborted
    assert late <= 2


@pytest.mark.slow
def test_equal_speed_is_never_taken_for_slowness() -> None:
    for seed in range(20):
        assert pairs_until_aborted(1.0, seed, 2_000) > 2_000
    assert pairs_until_aborted(1.5, 1, 2_000) > 2_000


def test_what_nobody_would_feel_is_no_slowness() -> None:
    assert pairs_until_aborted(20.0, 1, 1_000, middle_us=10.0) > 1_000
