"""Whose turn it is: what of a request is scored on the event loop, what in a lane, and what after the answer.

The champion answers on the loop if it is fast, else in its lane. A challenger whose score an answer needs is asked at
the same time and has `late_us`; then the champion answers for it. A challenger whose score is only for the comparison
(a shadow, or a request that the weight does not give it) is scored after the answer, when nobody waits; the request is
logged with the pair. If too much waits for that, the request is logged without, and counted.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from mainspring.kernel.records import LoggedRequest
from mainspring.serve.batching import Outcome, alone
from mainspring.serve.blocks import Block
from mainspring.serve.errors import ModelRefused, Overloaded
from mainspring.serve.lanes import Lane, LaneLimits, Told
from mainspring.serve.scoring import Features, Heard, Prepared, Scored, ask, champions, heard
from mainspring.serve.versions import Version

_US = 1_000_000
_SETTLE_S = 0.005
# the client that an answer wakes may take the core from what is scored after it: no fault of the challenger's. Windows
# tells a thread's own time in steps of 16 ms
_OWN_NS = time.perf_counter_ns if sys.platform == "win32" else time.thread_time_ns
_GATHERERS, _MOST_GATHERING = 8, 256
Pair = Callable[[Prepared, LoggedRequest, Heard | None], None]


class Turns:
    """The lanes of one plane. Every method is called on the event loop.

    gathered: returns a request's features, in any thread. pair: is given each request that was answered before its
    challenger was asked, with what that said, or None where there was no time. late_us: what a challenger may take.
    store_waits: features by key come over a network, so the loop never waits for them.
    """

    def __init__(
        self, gathered: Callable[[Prepared], Features], pair: Pair, late_us: int, limits: LaneLimits | None = None,
        *, store_waits: bool = False,
    ) -> None:  # fmt: skip
        self._store_waits, self._gathering = store_waits, set[Future[Features]]()
        self._threads = ThreadPoolExecutor(_GATHERERS, thread_name_prefix="features")
        self._gathered, self._pair, self._late_us = gathered, pair, late_us
        self.champion, self.challenger = Lane("champion-lane", limits), Lane("challenger-lane", limits)
        self._unpaired: dict[str, tuple[Prepared, LoggedRequest]] = {}

    @property
    def waiting(self) -> int:
        """Return how many requests wait in the lanes for their answers."""
        return self.champion.waiting + self.challenger.waiting

    @property
    def calls(self) -> int:
        """Return how many calls of slow versions were made."""
        return self.champion.calls + self.challenger.calls

    @property
    def requests(self) -> int:
        """Return how many requests were answered by these calls."""
        return self.champion.scored + self.challenger.scored

    async def scored(self, prepared: Prepared) -> Scored:
        """Return what the versions say, each scored where its speed allows; raise a `RequestRefused`."""
        if prepared.block is None and (self._store_waits or not prepared.serving.inline):
            features = await self._beside(prepared)
        else:
            features = self._gathered(prepared)
        if not prepared.asks_first:
            return await self._champion(prepared.serving.champion, features)
        if _fits(prepared.challenger, features.challenger):
            scored = await self._champion(prepared.serving.champion, features)
            scored.heard = ask(prepared.challenger, features.challenger, self._late_us)
            return scored
        started, asked = time.monotonic(), self._asked(prepared, features)
        try:
            scored = await self._champion(prepared.serving.champion, features)
            scored.heard = await self._heard(asked, started)
        finally:
            asked.cancel()
        return scored

    def pair_later(self, prepared: Prepared, features: Features, record: LoggedRequest) -> None:
        """Ask the challenger about an answered request when nobody waits."""
        challenger, block = prepared.challenger, features.challenger
        if challenger is None or block is None:
            self._pair(prepared, record, Heard())
        elif challenger.pace.fits(len(block.numbers)):
            self._unpaired[record.request_id] = (prepared, record)
            asyncio.get_running_loop().call_soon(self._pair_now, record.request_id, challenger, block)
        else:
            told = self.challenger.when_idle(challenger, block)
            if told is None:
                self._pair(prepared, record, None)
                return
            self._unpaired[record.request_id] = (prepared, record)
            told.add_done_callback(lambda done: self._paired(record.request_id, done))

    async def settled(self, timeout_s: float = 30.0) -> None:
        """Return when every answered request was given to the log; raise `TimeoutError`."""
        async with asyncio.timeout(timeout_s):
            while self._unpaired:
                await asyncio.sleep(_SETTLE_S)

    def close(self) -> None:
        """Hand on what waits for its pair without it, and end the lanes."""
        waiting, self._unpaired = self._unpaired, {}
        for prepared, record in waiting.values():
            self._pair(prepared, record, None)
        self.champion.close()
        self.challenger.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _beside(self, prepared: Prepared) -> Features:
        """Gather features in a thread; one that nobody waits for any more counts until its thread is done with it."""
        if len(self._gathering) >= _MOST_GATHERING:
            raise Overloaded("too many requests wait for their features", fix="ask less often", retry_after_s=1.0)
        work = self._threads.submit(self._gathered, prepared)
        self._gathering.add(work)
        work.add_done_callback(self._gathering.discard)
        return await asyncio.wrap_future(work)

    def _asked(self, prepared: Prepared, features: Features) -> Told:
        """Ask a slow challenger; where its lane is full, it will be late."""
        if prepared.challenger is not None and features.challenger is not None:
            with suppress(Overloaded):
                return self.challenger.start(prepared.challenger, features.challenger)
        return asyncio.get_running_loop().create_future()

    async def _champion(self, version: Version, features: Features) -> Scored:
        if version.pace.fits(len(features.champion.numbers)):
            return champions(features, alone(version, features.champion))
        try:
            outcome: Outcome = await self.champion.start(version, features.champion)
        except ModelRefused as error:
            outcome = error
        return champions(features, outcome)

    async def _heard(self, asked: Told, started: float) -> Heard:
        """Wait for the challenger as long as it may take."""
        left = started + self._late_us / _US - time.monotonic()
        await asyncio.wait([asked], timeout=max(left, 0.0))
        if not asked.done():
            return Heard(took=self._late_us, failure="late")
        return heard(_outcome(asked), self._late_us)

    def _pair_now(self, request_id: str, challenger: Version, block: Block) -> None:
        found = self._unpaired.pop(request_id, None)
        if found is not None:
            self._pair(*found, ask(challenger, block, self._late_us, _OWN_NS))

    def _paired(self, request_id: str, done: Told) -> None:
        found = self._unpaired.pop(request_id, None)
        if found is not None:
            self._pair(*found, None if done.cancelled() else heard(_outcome(done), self._late_us))


def _fits(version: Version | None, block: Block | None) -> bool:
    """Tell whether a challenger can be asked on the loop: it is fast, or there is nothing to ask it."""
    return version is None or block is None or version.pace.fits(len(block.numbers))


def _outcome(told: Told) -> Outcome:
    error = told.exception()
    if error is None:
        return told.result()
    return error if isinstance(error, ModelRefused) else ModelRefused(str(error), fix="see the server's log")
