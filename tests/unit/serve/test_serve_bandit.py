"""The Thompson bandit: its weight follows the evidence, within the file's bounds, alike in every process."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.serve.serving_kit import MODEL, MemoryReleases, Parts, digest

from mainspring.adapters.files.rewards import RewardFile
from mainspring.kernel.errors import InvalidValue
from mainspring.serve.bandit import Outcomes, Rewards, bandit_weight
from mainspring.serve.ports import Challenger, Routing, Served, rollout_id_of
from mainspring.serve.reconciler import Reconciler

COUNTS = st.integers(0, 10_000)


def rewards(one: tuple[int, int], two: tuple[int, int]) -> Rewards:
    return Rewards(champion=Outcomes(right=one[0], wrong=one[1]), challenger=Outcomes(right=two[0], wrong=two[1]))


@given(COUNTS, COUNTS, COUNTS, COUNTS, st.integers(0, 100), st.integers(0, 100))
def test_the_weight_lies_between_the_floor_and_the_most_and_is_repeatable(
    a: int, b: int, c: int, d: int, one: int, two: int
) -> None:
    floor, most = sorted((one, two))
    known = rewards((a, b), (c, d))
    weight = bandit_weight(known, "r", floor=floor, most=most)
    assert floor <= weight <= most
    assert bandit_weight(known, "r", floor=floor, most=most) == weight


def test_the_better_version_gets_the_traffic_and_the_worse_its_floor() -> None:
    assert bandit_weight(rewards((500, 500), (600, 400)), "r", floor=5, most=80) == 80
    assert bandit_weight(rewards((600, 400), (500, 500)), "r", floor=5, most=80) == 5
    assert 35 < bandit_weight(rewards((50, 50), (50, 50)), "r", floor=5, most=100) < 65
    assert 35 < bandit_weight(rewards((0, 0), (0, 0)), "r", floor=0, most=100) < 65


def test_the_share_is_the_probability_of_being_better() -> None:
    """Compare Beta(8, 4) and Beta(5, 7) with their exact integral."""
    weight = bandit_weight(rewards((4, 6), (7, 3)), "r", floor=0, most=100)
    grid = (np.arange(20_000) + 0.5) / 20_000
    density = grid**7 * (1 - grid) ** 3
    other = grid**4 * (1 - grid) ** 6
    exact = 100 * float((density * np.cumsum(other)).sum() / (density.sum() * other.sum()))
    assert abs(weight - exact) < 1.5


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(InvalidValue):
        Outcomes(right=-1)


@pytest.mark.parametrize("floor", [-1, 31, float("nan")])
def test_a_floor_above_the_weight_is_refused(floor: float) -> None:
    with pytest.raises(InvalidValue):
        Challenger(version=2, digest="b", weight=30, mode="bandit", floor=floor)


def bandit(releases: MemoryReleases, floor: float = 10, most: float = 60) -> None:
    releases.set(1, 2, weight=most)
    found = releases.routing
    assert found is not None
    challenger = Challenger(version=2, digest=digest(2), weight=most, mode="bandit", floor=floor)
    releases.routing = Routing(
        model=MODEL, commit=found.commit, champion=Served(version=1, digest=digest(1)), challenger=challenger,
        rollout_id=rollout_id_of(digest(1), digest(2)),
    )  # fmt: skip


def test_the_server_learns_from_the_file_that_a_watch_writes(tmp_path: Path) -> None:
    parts, file = Parts(), RewardFile(tmp_path)
    bandit(parts.releases)
    reconciler = Reconciler(parts.plane, parts.releases, parts.models, rewards=RewardFile(tmp_path))
    reconciler.look()
    assert parts.plane.weight == 10  # nothing is known: the floor
    file.write({digest(1): Outcomes(right=500, wrong=500), digest(2): Outcomes(right=700, wrong=300)})
    reconciler.look()
    assert parts.plane.weight == 60
    file.write({digest(1): Outcomes(right=5_000, wrong=500), digest(2): Outcomes(right=700, wrong=300)})
    reconciler.look()
    assert parts.plane.weight == 10
    parts.plane.override.saw("gone")
    assert parts.plane.weight == 0
    parts.serve(1, 2, weight=25)
    assert parts.plane.weight == 25


def test_a_weight_that_was_chosen_for_another_rollout_does_not_count() -> None:
    parts = Parts()
    bandit(parts.releases)
    parts.reconciler.look()
    parts.plane.choose(50)
    assert parts.plane.weight == 50
    parts.serve(2, 1, weight=20)
    bandit(parts.releases)
    parts.reconciler.look()
    assert parts.plane.weight == 10


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b'{"a": 1}', b'{"a": [1]}', b'{"a": [-1, 2]}', b'{"a": ["x", 1]}', b" " * 70_000]
)
def test_a_damaged_file_counts_as_nothing_known(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "rewards.json").write_bytes(data)
    assert RewardFile(tmp_path).current("a", "b") is None


def test_outcomes_come_back_as_they_were_written(tmp_path: Path) -> None:
    file = RewardFile(tmp_path)
    assert file.current("a", "b") is None
    file.write({"a": Outcomes(right=1, wrong=2), "b": Outcomes(right=3, wrong=4)})
    assert file.current("a", "b") == rewards((1, 2), (3, 4))
    assert file.current("b", "a") == rewards((3, 4), (1, 2))
    assert file.current("a", "c") is None
    assert json.loads((tmp_path / "rewards.json").read_bytes()) == {"a": [1, 2], "b": [3, 4]}
