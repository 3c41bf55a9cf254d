"""Who is asked when: a slow version never holds the event loop, and a challenger never holds an answer for long."""

import asyncio
import json
import sys
import threading
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from tests.unit.serve.serving_kit import MODEL, ListSink, Parts, TinyEngine, body, digest

from mainspring.kernel.records import LoggedRequest
from mainspring.serve.errors import DeadlinePassed, ModelFailed
from mainspring.serve.inference import Asked, Reply, infer, infer_now
from mainspring.serve.plane import PlaneRules
from mainspring.serve.protocols.v2 import V2
from mainspring.stats.columns import Columns, Floats

ONE = json.dumps(body(1, parameters={"keys": ["k"]})).encode()


class HeldEngine(TinyEngine):
    """Answers its sample and warm-up at once; held after that until it is let go. threads: who asked it."""

    def __init__(self, shift: float = 0.0, fail: bool = False) -> None:
        super().__init__(shift)
        self.held, self.entered = threading.Event(), threading.Event()
        self.held.set()
        self.threads: list[int] = []
        self.fail = fail
        self.broken = False

    def __call__(self, columns: Columns, /) -> Floats:
        if self.broken:
            self.threads.append(threading.get_ident())
            self.entered.set()
            assert self.held.wait(20)
            if self.fail:
                raise RuntimeError("no")
        return super().__call__(columns)


def serving(
    champion: TinyEngine, challenger: TinyEngine | None = None, weight: float = 0, late_us: int = 250_000
) -> Parts:
    """Parts in which held engines count as slow."""
    parts = Parts(rules=PlaneRules(late_us=late_us))
    parts.models.add(1, champion)
    if challenger is not None:
        parts.models.add(2, challenger)
    parts.serve(1, None if challenger is None else 2, weight=weight)
    found = parts.plane.serving
    assert found is not None
    for version in found.versions():
        if isinstance(version.engine, HeldEngine):
            version.pace.inline = False
            version.engine.broken = True
            version.engine.held.clear()
    return parts


def records(parts: Parts) -> list[LoggedRequest]:
    assert isinstance(parts.log, ListSink)
    return parts.log.records


async def ask(parts: Parts, deadline_s: float | None = None) -> Reply:
    return await infer(parts.plane, V2, ONE, Asked(model=MODEL, deadline_s=deadline_s))


def told(parts: Parts, story: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        try:
            await story()
        finally:
            parts.plane.turns.close()

    asyncio.run(whole())


def test_a_slow_champion_leaves_the_event_loop_free() -> None:
    engine = HeldEngine()
    parts = serving(engine)

    async def story() -> None:
        asked = asyncio.create_task(ask(parts))
        assert await asyncio.to_thread(engine.entered.wait, 20)  # the loop runs while the model is busy
        assert not asked.done()
        engine.held.set()
        reply = await asked
        assert reply.version == 1
        assert engine.threads[0] != threading.get_ident()
        assert len(records(parts)) == 1

    told(parts, story)


def test_a_fast_model_is_asked_in_place() -> None:
    parts = Parts()
    parts.serve()

    async def story() -> None:
        slow, fast = await ask(parts), infer_now(parts.plane, V2, ONE, Asked(model=MODEL))
        scores = [json.loads(reply.encoded.body)["outputs"] for reply in (slow, fast)]
        assert scores[0] == scores[1]
        assert parts.plane.turns.champion.calls == 0

    told(parts, story)


def test_the_deadline_ends_the_wait_and_the_lane_goes_on() -> None:
    engine = HeldEngine()
    parts = serving(engine)

    async def story() -> None:
        with pytest.raises(DeadlinePassed) as caught:
            await ask(parts, deadline_s=0.02)
        assert caught.value.status == 504
        engine.held.set()
        assert (await ask(parts, deadline_s=10)).version == 1
        assert len(records(parts)) == 1

    told(parts, story)


def test_a_failing_slow_champion_is_told_as_a_fast_one_is() -> None:
    engine = HeldEngine(fail=True)
    parts = serving(engine)
    engine.held.set()

    async def story() -> None:
        with pytest.raises(ModelFailed):
            await ask(parts)
        assert not records(parts)

    told(parts, story)


def test_a_late_challenger_is_answered_for_by_the_champion() -> None:
    engine = HeldEngine(1.0)
    parts = serving(TinyEngine(), engine, weight=100, late_us=20_000)

    async def story() -> None:
        reply = await asyncio.wait_for(ask(parts), 10)
        assert reply.version == 1
        assert parts.plane.counters.challenger_failures == {"late": 1}
        assert parts.plane.counters.fallback_rows == 1
        assert records(parts)[0].errors == {digest(2): "late"}
        engine.held.set()

    told(parts, story)


def test_a_slow_challenger_in_time_answers() -> None:
    engine = HeldEngine(1.0)
    parts = serving(TinyEngine(), engine, weight=100, late_us=10_000_000)

    async def story() -> None:
        asked = asyncio.create_task(ask(parts))
        assert await asyncio.to_thread(engine.entered.wait, 20)
        engine.held.set()
        assert (await asked).version == 2
        assert records(parts)[0].versions == [digest(1), digest(2)]

    told(parts, story)


def test_a_full_challenger_lane_makes_it_late_not_the_request() -> None:
    engine = HeldEngine(1.0)
    parts = serving(TinyEngine(), engine, weight=100, late_us=1_000)

    async def story() -> None:
        replies = await asyncio.gather(*(ask(parts) for _ in range(400)))
        assert {reply.version for reply in replies} == {1}
        engine.held.set()

    told(parts, story)


class PreemptedEngine(TinyEngine):
    """Loses the core to others for 3 ms in every call, once it is `busy`."""

    busy = False

    def __call__(self, columns: Columns, /) -> Floats:
        if self.busy:
            threading.Event().wait(0.003)
        return super().__call__(columns)


@pytest.mark.skipif(sys.platform == "win32", reason="there a thread's own time is told in steps of 16 ms")
def test_a_shadow_that_others_take_the_core_from_is_not_taken_for_slow() -> None:
    engine = PreemptedEngine(1.0)
    parts = serving(TinyEngine(), engine)
    found = parts.plane.serving
    assert found is not None
    assert found.challenger is not None
    engine.busy = True

    async def story() -> None:
        for _ in range(40):
            await ask(parts)
            await parts.plane.turns.settled()
        assert parts.plane.override.reason == ""
        assert found.challenger is not None
        assert found.challenger.pace.inline
        assert np.median([record.took_each[digest(2)] for record in records(parts)]) < 1_000  # us; a call waits 3,000

    told(parts, story)


@pytest.mark.parametrize("slow", [True, False])
def test_a_shadow_is_asked_after_the_answer_and_logged_with_it(slow: bool) -> None:
    engine = HeldEngine(1.0)
    parts = serving(TinyEngine(), engine)
    if not slow:
        engine.broken = False
        challenger = parts.plane.serving.challenger if parts.plane.serving else None
        assert challenger is not None
        challenger.pace.inline = True

    async def story() -> None:
        reply = await ask(parts)
        assert reply.version == 1
        assert not records(parts)  # the pair is not whole yet
        assert parts.plane.counters.requests == 1
        engine.held.set()
        await parts.plane.turns.settled()
        record = records(parts)[0]
        assert record.versions == [digest(1), digest(2)]
        assert np.frombuffer(record.scores[digest(2)]) != np.frombuffer(record.scores[digest(1)])
        assert parts.plane.counters.challenger_requests == 1

    told(parts, story)


def test_what_has_no_time_for_its_pair_is_logged_without_and_counted() -> None:
    engine = HeldEngine(1.0)
    parts = serving(TinyEngine(), engine)

    async def story() -> None:
        for _ in range(300):
            await ask(parts)
        assert parts.plane.counters.unpaired_requests == len(records(parts)) > 0
        with pytest.raises(TimeoutError):
            await parts.plane.turns.settled(0.02)

    told(parts, story)
    assert len(records(parts)) == 300  # closing the lanes lost nothing
    engine.held.set()


def test_a_pair_of_an_older_release_aborts_nobody() -> None:
    engine = HeldEngine(1.0, fail=True)
    parts = serving(TinyEngine(), engine)

    async def story() -> None:
        for _ in range(10):
            await ask(parts)
        parts.releases.set(1, 2)
        parts.reconciler.look()
        engine.held.set()
        await parts.plane.turns.settled()
        assert parts.plane.counters.challenger_failures == {"error": 10}
        assert not parts.plane.override.aborted

    told(parts, story)
