"""Admission on a virtual clock: overload is shed while goodput holds, and keys get what they were allowed."""

import heapq
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.security.tokens import Allowance
from mainspring.serve.admission import Allowances, ConcurrencyLimit, ConcurrencyRules
from mainspring.serve.errors import BudgetSpent, Overloaded, RateLimited, TryLater


def simulated(
    limit: ConcurrencyLimit, service_s: float, per_second: float, until_s: float, start_s: float = 0.0
) -> Iterator[tuple[float, float]]:
    """Offer requests to a lane that answers one at a time; yield (arrival, latency in s) of those let in."""
    source = np.random.default_rng(3)
    now, free_at = start_s, start_s
    leaving: list[tuple[float, float]] = []
    while now < until_s:
        now += source.exponential(1 / per_second)
        while leaving and leaving[0][0] <= now:
            end, came = heapq.heappop(leaving)
            limit.leave(end - came, end)
        try:
            limit.enter(now)
        except Overloaded:
            continue
        free_at = max(free_at, now) + service_s * source.uniform(0.9, 1.1)
        heapq.heappush(leaving, (free_at, now))
        yield now, free_at - now
    for end, came in leaving:
        limit.leave(end - came, end)


@pytest.mark.parametrize("service_s", [0.002, 0.02, 0.2])
def test_ten_times_overload_for_a_minute_keeps_latency_and_goodput(service_s: float) -> None:
    """F29 on a virtual clock: accepted p99 at most 3 x unloaded, goodput at least 80 % of what the lane can do.

    The first seconds do not count: the limit comes down from 8 as answers arrive, and those of a slow model are few.
    """
    limit, peak = ConcurrencyLimit(), 1 / service_s
    settled = 10 + max(2, 75 * service_s)
    calm = [took for _, took in simulated(limit, service_s, peak * 0.1, 10.0)]
    found = list(simulated(limit, service_s, peak * 10, 70.0, start_s=10.0))
    unloaded, loaded = np.percentile(calm, 99), np.percentile([took for at, took in found if at > settled], 99)
    assert loaded <= 3 * unloaded
    assert sum(at > settled for at, _ in found) >= 0.8 * peak * (70 - settled)
    assert limit.in_flight == 0
    after = [took for _, took in simulated(limit, service_s, peak * 0.1, 80.0, start_s=70.0 + service_s)]
    assert np.percentile(after, 99) <= 3 * unloaded
    assert len(after) >= 0.5 * peak


def test_a_model_that_turns_slow_is_measured_anew_and_served_on() -> None:
    limit = ConcurrencyLimit(ConcurrencyRules(probe_s=2.0))
    list(simulated(limit, 0.001, 5_000, 5.0))
    found = list(simulated(limit, 0.05, 200, 65.0, start_s=5.0))
    assert limit.unloaded_s == pytest.approx(0.05, rel=0.3)
    assert sum(at > 20 for at, _ in found) >= 0.8 * 20 * 45


def test_a_lane_that_works_in_parallel_is_used_to_its_width() -> None:
    """Eight at once cost no more than one: the limit grows until latency says stop."""
    limit, now = ConcurrencyLimit(ConcurrencyRules(first=2)), 0.0
    for _ in range(2_000):
        let_in = 0
        for _ in range(40):
            try:
                limit.enter(now)
                let_in += 1
            except Overloaded:
                pass
        took = 0.01 * max(1.0, let_in / 8)
        now += took
        for _ in range(let_in):
            limit.leave(took, now)
    assert 8 <= limit.limit <= 24


def test_a_rise_that_nobody_notices_is_not_overload() -> None:
    """A busy machine makes 50 us of six callers 2 ms: all six are served on. 5 ms more is overload."""
    limit, now = ConcurrencyLimit(), 0.0
    for took, kept in ((0.000_05, True), (0.002, True), (0.005, False)):
        for _ in range(500):
            now += took
            for _ in range(min(6, limit.limit)):
                limit.enter(now)
            for _ in range(limit.in_flight):
                limit.leave(took, now)
        assert (limit.limit >= 6) is kept


def test_who_failed_early_teaches_nothing() -> None:
    limit = ConcurrencyLimit(ConcurrencyRules(samples=1, window_s=0))
    limit.enter(0.0)
    limit.leave(0.0, 0.0)
    assert (limit.in_flight, limit.unloaded_s, limit.limit) == (0, 0.0, 8)


@pytest.mark.parametrize("wrong", [{"smallest": 0}, {"first": 1}, {"largest": 3}, {"tolerance": 1.0}, {"samples": 0}])
def test_rules_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        ConcurrencyRules(**wrong)  # type: ignore[arg-type]


@given(
    rate=st.floats(0.5, 1_000), share=st.integers(1, 8),
    gaps=st.lists(st.floats(0, 0.1), min_size=50, max_size=300),
)  # fmt: skip
def test_no_key_gets_more_than_its_rate_and_one_second_more(rate: float, share: int, gaps: list[float]) -> None:
    keys, own, now, granted = Allowances(share=share), Allowance(rate=rate), 0.0, 0
    for gap in gaps:
        now += gap
        try:
            keys.ask("k", own, now)
            granted += 1
        except RateLimited:
            continue
    assert granted <= max(1.0, rate / share) + now * rate / share + 1e-6


def test_waiting_as_told_is_enough() -> None:
    keys, own, now = Allowances(), Allowance(rate=3), 0.0
    for _ in range(50):
        try:
            keys.ask("k", own, now)
        except RateLimited as refused:
            now += refused.retry_after_s + 1e-9
            keys.ask("k", own, now)
    assert now == pytest.approx((50 - 3) / 3, rel=0.05)


def test_rows_are_paid_afterwards_and_a_debt_is_waited_off() -> None:
    keys, own = Allowances(), Allowance(budget=100, period_s=100)
    keys.ask("k", own, 0.0)
    keys.spend("k", own, 150, 0.0)
    with pytest.raises(BudgetSpent) as refused:
        keys.ask("k", own, 10.0)
    assert refused.value.retry_after_s == pytest.approx(41)
    keys.ask("other", own, 10.0)
    keys.ask("k", own, 51.0)


@given(
    st.lists(st.tuples(st.floats(0, 30), st.integers(1, 60), st.booleans()), max_size=30),
)
def test_however_often_a_server_restarts_a_budget_grants_the_same(asks: list[tuple[float, int, bool]]) -> None:
    own = Allowance(budget=100, period_s=100)
    steady, restarted, now, shift = Allowances(), Allowances(), 0.0, 0.0
    for wait_s, rows, restarts in asks:
        now += wait_s
        if restarts:  # with a monotonic clock of its own
            left, shift = restarted.left(now + shift), shift + 1_000.0
            restarted = Allowances()
            restarted.go_on(left, now + shift)
        outcomes = []
        for keys, at in ((steady, now), (restarted, now + shift)):
            try:
                keys.ask("k", own, at)
                keys.spend("k", own, rows, at)
                outcomes.append(0.0)
            except BudgetSpent as refused:
                outcomes.append(refused.retry_after_s)
        assert outcomes[0] == pytest.approx(outcomes[1], abs=1e-6)


def test_budgets_of_a_process_before_are_bounded() -> None:
    keys = Allowances(Allowance(budget=5), most=10)
    keys.go_on({str(number): (1e9, -5.0) for number in range(100)}, 0.0)
    assert len(keys) == 10
    keys.spend("99", None, 6, 0.0)
    with pytest.raises(BudgetSpent):
        keys.ask("99", None, 0.0)


def test_a_default_holds_for_keys_without_their_own_limit() -> None:
    keys = Allowances(Allowance(rate=1))
    assert keys.limits(None)
    assert not Allowances().limits(Allowance())
    keys.ask("", None, 0.0)
    with pytest.raises(TryLater):
        keys.ask("", None, 0.0)
    keys.ask("rich", Allowance(rate=50), 0.0)
    keys.ask("rich", Allowance(rate=50), 0.0)


def test_keys_remembered_are_bounded() -> None:
    keys = Allowances(Allowance(rate=1, budget=5), most=10)
    for number in range(1_000):
        keys.ask(str(number), None, float(number))
    assert len(keys) == 10
