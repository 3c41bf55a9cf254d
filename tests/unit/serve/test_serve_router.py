"""Routing: sticky, proportional, and never more for a candidate than the file says."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.kernel.errors import InvalidValue
from mainspring.serve.ports import Challenger, Mode, Routing, Served
from mainspring.serve.router import allowed_weight, chosen_rows, places

KEYS = st.lists(st.text(max_size=20), min_size=1, max_size=50)
WEIGHTS = st.floats(0, 100)


def routing(weight: float, mode: Mode = "canary", rollout_id: str = "r") -> Routing:
    challenger = Challenger(version=2, digest="b", weight=weight, mode=mode)
    return Routing(
        model="m", commit="c", champion=Served(version=1, digest="a"), challenger=challenger, rollout_id=rollout_id
    )


@given(KEYS, WEIGHTS)
def test_a_key_is_always_routed_alike_alone_or_in_any_batch(keys: list[str], weight: float) -> None:
    together = chosen_rows(routing(weight), weight, keys)
    alone = [bool(chosen_rows(routing(weight), weight, [key])[0]) for key in keys]
    assert together.tolist() == alone


@given(KEYS, WEIGHTS, WEIGHTS)
def test_a_growing_weight_only_adds_rows(keys: list[str], one: float, other: float) -> None:
    low, high = sorted((one, other))
    before, after = chosen_rows(routing(low), low, keys), chosen_rows(routing(high), high, keys)
    assert not (before & ~after).any()


@given(KEYS)
def test_weight_zero_is_nobody_and_a_hundred_is_everybody(keys: list[str]) -> None:
    assert not chosen_rows(routing(0), 0, keys).any()
    assert chosen_rows(routing(100), 100, keys).all()


@pytest.mark.parametrize("weight", [1, 5, 25, 50, 90])
def test_the_share_is_the_weight(weight: int) -> None:
    keys = [f"flight-{number}" for number in range(20_000)]
    share = chosen_rows(routing(weight), weight, keys).mean()
    assert abs(share - weight / 100) < 0.01


def test_another_rollout_picks_other_rows() -> None:
    keys = [f"flight-{number}" for number in range(10_000)]
    one, other = (chosen_rows(routing(50, rollout_id=name), 50, keys) for name in ("r1", "r2"))
    assert 0.45 < (one & other).mean() * 2 < 0.55


def test_places_do_not_change_between_releases_of_this_package() -> None:
    assert places(["a", "b", "c"], "rollout").tolist() == PINNED


@given(WEIGHTS, st.sampled_from(get_args(Mode)), st.booleans())
def test_a_candidate_never_gets_more_than_the_file_says(weight: float, mode: Mode, aborted: bool) -> None:
    allowed = allowed_weight(routing(weight, mode), aborted)
    assert allowed <= weight
    assert not (aborted or mode == "shadow") or allowed == 0


@pytest.mark.parametrize("weight", [-1, 101, float("nan"), float("inf")])
def test_an_impossible_weight_is_refused(weight: float) -> None:
    with pytest.raises(InvalidValue):
        routing(weight)


PINNED = [210, 259, 52]
