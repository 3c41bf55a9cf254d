"""Lanes: what waited shares a call, a lone request waits for nobody, and one bad or gone caller hurts no other."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest
from tests.unit.serve.serving_kit import BrokenEngine, TinyEngine, contract, digest

from mainspring.serve.batching import together
from mainspring.serve.blocks import Block
from mainspring.serve.errors import ModelRefused, Overloaded
from mainspring.serve.lanes import Lane, LaneLimits, Told
from mainspring.serve.pace import Measured
from mainspring.serve.ports import LoadedModel
from mainspring.serve.versions import Version, checked
from mainspring.stats.columns import Columns, Floats


class GatedEngine(TinyEngine):
    """Counts the rows of each call; a call waits at the gate while it is closed."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__(shift)
        self.calls: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def __call__(self, columns: Columns, /) -> Floats:
        scores = super().__call__(columns)
        self.calls.append(len(scores))
        self.entered.set()
        assert self.gate.wait(20)
        return scores


class WatchedEngine(TinyEngine):
    """Notes how far the thread that calls it gives way."""

    def __init__(self) -> None:
        super().__init__()
        self.priorities: list[int] = []

    def __call__(self, columns: Columns, /) -> Floats:
        if sys.platform == "linux":
            self.priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return super().__call__(columns)


def version(engine: TinyEngine, number: int = 1, *, batches: bool = True) -> Version:
    made = checked(number, digest(number), LoadedModel(contract=contract(engine=engine), engine=engine))
    made.pace.begin(Measured(2_000.0, 4_000.0 if batches else 40_000.0))
    return made


def block(wind: float, rows: int = 1) -> Block:
    return Block(np.full((rows, 1), wind), np.full((rows, 1), "AA", dtype=object))


def expected(made: Version, wind: float) -> float:
    return float(made.score(block(wind))[0])


async def behind(lane: Lane, engine: GatedEngine, made: Version, act: Callable[[], None]) -> None:
    """Run `act` while the lane is busy with one request, then let it go on."""
    engine.gate.clear()
    engine.entered.clear()
    first = lane.start(made, block(0.0))
    assert await asyncio.to_thread(engine.entered.wait, 20)
    act()
    engine.gate.set()
    await first


def test_what_came_while_the_lane_was_busy_shares_one_call() -> None:
    engine = GatedEngine()
    made = version(engine)

    async def story() -> None:
        lane, told = Lane("test"), list[Told]()
        engine.calls.clear()
        await behind(lane, engine, made, lambda: told.extend(lane.start(made, block(w)) for w in (1.0, 2.0, 3.0)))
        answers = [float((await one)[0][0]) for one in told]
        assert engine.calls == [1, 3]
        assert answers == [expected(made, wind) for wind in (1.0, 2.0, 3.0)]
        assert (lane.calls, lane.scored, lane.waiting) == (2, 4, 0)
        assert lane.is_idle
        lane.close()

    asyncio.run(story())


def test_a_model_that_gains_nothing_is_not_batched_and_versions_never_mix() -> None:
    one, two = GatedEngine(), GatedEngine(5.0)
    plain, first, second = version(one, batches=False), version(one, 1), version(two, 2)

    async def story() -> None:
        lane, told = Lane("test"), list[Told]()
        one.calls.clear()
        await behind(lane, one, plain, lambda: told.extend(lane.start(plain, block(w)) for w in (1.0, 2.0)))
        await asyncio.gather(*told)
        assert one.calls == [1, 1, 1]
        told.clear()
        one.calls.clear()
        two.calls.clear()
        asked = (first, first, second, first)
        await behind(lane, one, first, lambda: told.extend(lane.start(made, block(1.0)) for made in asked))
        answers = [float((await told_one)[0][0]) for told_one in told]
        assert answers == [expected(made, 1.0) for made in asked]
        assert (one.calls[:3], two.calls[:1]) == ([1, 2, 1], [1])
        lane.close()

    asyncio.run(story())


def test_who_stopped_waiting_is_skipped_and_the_others_are_answered() -> None:
    engine = GatedEngine()
    made = version(engine)

    async def story() -> None:
        lane, told = Lane("test"), list[Told]()
        engine.calls.clear()

        def act() -> None:
            told.extend(lane.start(made, block(w)) for w in (1.0, 2.0, 3.0))
            told[1].cancel()

        await behind(lane, engine, made, act)
        assert float((await told[0])[0][0]) == expected(made, 1.0)
        assert float((await told[2])[0][0]) == expected(made, 3.0)
        assert engine.calls[:2] == [1, 2]
        lane.close()

    asyncio.run(story())


def test_a_caller_that_leaves_during_its_batch_leaves_nobody_unanswered() -> None:
    engine = GatedEngine()
    made = version(engine)

    async def story() -> None:
        lane, told = Lane("test"), list[Told]()
        await behind(lane, engine, made, lambda: told.extend(lane.start(made, block(w)) for w in (1.0, 2.0)))
        told[0].cancel()
        assert float((await told[1])[0][0]) == expected(made, 2.0)
        lane.close()

    asyncio.run(story())


def test_a_full_lane_says_when_to_come_back() -> None:
    engine = GatedEngine()
    made = version(engine)

    async def story() -> None:
        lane, told = Lane("test", LaneLimits(requests=2, rows=10)), list[Told]()

        def act() -> None:
            told.extend(lane.start(made, block(w)) for w in (1.0, 2.0))
            with pytest.raises(Overloaded) as caught:
                lane.start(made, block(3.0))
            assert caught.value.retry_after_s > 0
            assert caught.value.status == 503

        await behind(lane, engine, made, act)
        assert len(await asyncio.gather(*told)) == 2
        told.clear()

        def rows() -> None:
            told.append(lane.start(made, block(1.0, rows=9)))
            with pytest.raises(Overloaded):
                lane.start(made, block(2.0, rows=2))

        await behind(lane, engine, made, rows)
        assert len((await told[0])[0]) == 9
        lane.close()

    asyncio.run(story())


def test_what_nobody_waits_for_comes_last_and_is_bounded() -> None:
    engine = GatedEngine()
    made = version(engine, batches=False)

    async def story() -> None:
        lane, order = Lane("test", LaneLimits(idle_requests=1)), list[str]()

        def act() -> None:
            idle = lane.when_idle(made, block(1.0))
            assert idle is not None
            idle.add_done_callback(lambda _: order.append("idle"))
            assert lane.when_idle(made, block(1.0)) is None
            lane.start(made, block(2.0)).add_done_callback(lambda _: order.append("urgent"))

        await behind(lane, engine, made, act)
        while not lane.is_idle:
            await asyncio.sleep(0.001)
        assert order == ["urgent", "idle"]
        lane.close()

    asyncio.run(story())


def test_a_closed_lane_cancels_what_waits() -> None:
    engine = GatedEngine()
    made = version(engine)

    async def story() -> None:
        lane, told = Lane("test"), list[Told]()

        def act() -> None:
            told.append(lane.start(made, block(1.0)))
            lane.close()

        await behind(lane, engine, made, act)
        assert told[0].cancelled()

    asyncio.run(story())


def poisoned(scores: Floats) -> Floats:
    if (scores > 0.99).any():
        raise RuntimeError("a poisoned row")
    return scores


def test_one_bad_request_fails_only_itself() -> None:
    made = version(BrokenEngine(poisoned, shift=0.0))
    outcomes = together(made, [block(1.0), block(900.0), block(2.0)])
    assert isinstance(outcomes[1], ModelRefused)
    good = [outcome for outcome in outcomes if not isinstance(outcome, ModelRefused)]
    assert [float(scores[0]) for scores, _ in good] == [expected(made, 1.0), expected(made, 2.0)]


def test_a_score_that_is_not_finite_stays_in_its_own_request() -> None:
    made = version(BrokenEngine(lambda scores: np.where(scores > 0.99, np.nan, scores), shift=0.0))
    outcomes = together(made, [block(1.0, rows=3), block(900.0)])
    assert not any(isinstance(outcome, ModelRefused) for outcome in outcomes)
    finite = [bool(np.isfinite(outcome[0]).all()) for outcome in outcomes if not isinstance(outcome, ModelRefused)]
    assert finite == [True, False]


def test_a_lanes_thread_gives_way_to_the_event_loop_on_linux() -> None:
    async def scored() -> list[int]:
        engine, lane = WatchedEngine(), Lane("test")
        made = version(engine)
        engine.priorities.clear()
        await lane.start(made, block(1.0))
        lane.close()
        return engine.priorities

    own = os.getpriority(os.PRIO_PROCESS, 0) if sys.platform == "linux" else 0
    assert asyncio.run(scored()) == ([min(own + 12, 19)] if sys.platform == "linux" else [])
