"""A Thompson bandit over two versions, within the release file's bounds. Pure and seeded.

Each version's reward rate has a Beta posterior over (right, wrong) outcomes, from a flat prior (Thompson 1933; Chapelle
and Li 2011). Thompson sampling gives a request to a version as often as a draw of its rate beats the other's; because a
row must stay with its version, that probability becomes the weight, and rows are chosen by their place as ever. The
release file's floor keeps either evidence coming, and its weight is the most that the challenger may ever get.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from mainspring.kernel.errors import InvalidValue

_DRAWS = 10_000
_ALL = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What came true of one version's answers: how many were right, how many wrong."""

    right: int = 0
    wrong: int = 0

    def __post_init__(self) -> None:
        if self.right < 0 or self.wrong < 0:
            raise InvalidValue(f"{self.right} right and {self.wrong} wrong outcomes cannot be", fix="count from 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewards:
    """The outcomes of both versions of one rollout."""

    champion: Outcomes
    challenger: Outcomes


def bandit_weight(rewards: Rewards, rollout_id: str, *, floor: float, most: float) -> float:
    """Return the challenger's percent: the probability that its rate is the better one, between `floor` and `most`.

    The same outcomes give the same weight on every machine: the draws are seeded by the rollout and the outcomes.
    """
    one, two = rewards.champion, rewards.challenger
    text = f"{rollout_id} {one.right} {one.wrong} {two.right} {two.wrong}"
    seed = int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), "big")
    source = np.random.default_rng(seed)
    champion = source.beta(1 + one.right, 1 + one.wrong, _DRAWS)
    challenger = source.beta(1 + two.right, 1 + two.wrong, _DRAWS)
    better = _ALL * float(np.mean(challenger > champion))
    return min(max(better, floor), most)
