"""A small world with two inputs and a score, and the reference of a model trained in it."""

from collections.abc import Callable

import numpy as np
import pytest

from mainspring.kernel.times import DAY
from mainspring.observe.profiles import Reference
from mainspring.observe.references import reference_profile
from mainspring.stats.columns import Array, Columns, Floats


def make_world(days: int, *, seed: int = 0, shift: float = 0.0, rows: int = 200) -> tuple[Columns, Array, Floats]:
    """Some days of two inputs and a score, a few nulls in each."""
    random = np.random.default_rng(seed)
    count = days * rows
    wind = random.normal(10 + shift, 3, count)
    wind[random.uniform(size=count) < 0.02] = np.nan
    carrier = random.choice(np.array(["AA", "B6", "UA", None], dtype=object), count, p=[0.3, 0.3, 0.38, 0.02])
    at = np.repeat(np.arange(days, dtype=np.int64) * DAY, rows) + random.integers(0, DAY, count)
    return {"wind": wind, "carrier": carrier}, at, random.beta(2, 6, count)


@pytest.fixture(scope="session", name="world")
def _world() -> Callable[..., tuple[Columns, Array, Floats]]:
    return make_world


@pytest.fixture(scope="session")
def learnt() -> Callable[[int], Reference]:
    return lambda days: reference_profile(*make_world(days))


@pytest.fixture(scope="session")
def reference(learnt: Callable[[int], Reference]) -> Reference:
    return learnt(60)
