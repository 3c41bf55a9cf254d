"""A lane scores what is too slow for the event loop: one thread, a bounded queue, batches of what waited meanwhile.

A lone request is scored at once; only requests that came while the lane was busy share a call, so that nobody waits
for company. A batch never mixes versions. Everything but the scoring itself happens on the event loop, so there is no
lock. Who stopped waiting (a deadline, a client that left) is skipped, and nobody else notices.
"""

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue

import msgspec

from mainspring.serve.batching import Outcome, together
from mainspring.serve.blocks import Block
from mainspring.serve.errors import ModelRefused, Overloaded
from mainspring.serve.versions import Version
from mainspring.stats.columns import Floats

Told = asyncio.Future[tuple[Floats, int]]
_US = 1_000_000
_NICE, _NICEST = 12, 19  # a share of 6 % where the event loop wants the whole core
_WEIGHT = 0.2  # of the newest call in the running mean


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLimits:
    """How much may wait: requests and rows that somebody waits for, and requests to be scored when idle.

    batch_requests, batch_rows: the largest batch (a larger request is scored alone).
    """

    requests: int = 256
    rows: int = 200_000
    idle_requests: int = 256
    batch_requests: int = 64
    batch_rows: int = 4_096


class _Work(msgspec.Struct):
    version: Version
    block: Block
    told: Told


_Job = tuple[asyncio.AbstractEventLoop, list[_Work]]


class Lane:
    """Scores blocks beside the event loop on which all its methods are called. batches: calls by their requests."""

    def __init__(self, name: str, limits: LaneLimits | None = None) -> None:
        self._name, self._limits = name, limits or LaneLimits()
        self._urgent: deque[_Work] = deque()
        self._idle: deque[_Work] = deque()
        self._rows = 0
        self._busy = self._closed = False
        self._each_us = 0.0
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self.calls = self.scored = 0

    @property
    def waiting(self) -> int:
        """Return how many requests wait for an answer from this lane."""
        return len(self._urgent)

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing is under way and nothing waits, not even what may wait long."""
        return not (self._busy or self._urgent or self._idle)

    def start(self, version: Version, block: Block) -> Told:
        """Return a future of (scores, microseconds); it fails with `ModelRefused`. Raises `Overloaded`."""
        rows, limits = len(block.numbers), self._limits
        if len(self._urgent) >= limits.requests or (self._urgent and self._rows + rows > limits.rows):
            raise Overloaded(
                f"{len(self._urgent)} requests wait for this model", fix="ask less often",
                retry_after_s=max(len(self._urgent) * self._each_us / _US, 0.1),
            )  # fmt: skip
        self._rows += rows
        return self._queued(self._urgent, version, block)

    def when_idle(self, version: Version, block: Block) -> Told | None:
        """Return a future of what is scored when nobody waits for an answer, or None where too much waits already."""
        if self._closed or len(self._idle) >= self._limits.idle_requests:
            return None
        return self._queued(self._idle, version, block)

    def close(self) -> None:
        """End the thread after its present call, and cancel what waits."""
        self._closed = True
        self._jobs.put(None)
        for work in (*self._urgent, *self._idle):
            work.told.cancel()
        self._urgent.clear()
        self._idle.clear()

    def _queued(self, queue: deque[_Work], version: Version, block: Block) -> Told:
        work = _Work(version, block, asyncio.get_running_loop().create_future())
        work.told.add_done_callback(_looked_at)
        queue.append(work)
        self._next()
        return work.told

    def _next(self) -> None:
        """Give the thread its next batch if it is free."""
        if self._busy or self._closed:
            return
        batch = self._taken(self._urgent) or self._taken(self._idle)
        if batch:
            self._busy = True
            if self._thread is None:
                self._thread = threading.Thread(target=_work, args=(self._jobs, self), name=self._name, daemon=True)
                self._thread.start()
            self._jobs.put((asyncio.get_running_loop(), batch))

    def _taken(self, queue: deque[_Work]) -> list[_Work]:
        """Take the head of a queue with what may share its call."""
        batch: list[_Work] = []
        rows = 0
        while queue:
            work = queue[0]
            count = len(work.block.numbers)
            if not work.told.done():
                if batch and not self._joins(batch, work, rows + count):
                    break
                batch.append(work)
                rows += count
            queue.popleft()
            if queue is self._urgent:
                self._rows -= count
        return batch

    def _joins(self, batch: Sequence[_Work], work: _Work, rows: int) -> bool:
        limits, version = self._limits, batch[0].version
        together = work.version is version and version.pace.batches
        return together and len(batch) < limits.batch_requests and rows <= limits.batch_rows

    def told(self, batch: Sequence[_Work], outcomes: Sequence[Outcome]) -> None:
        """Answer a batch, after the thread has its next one."""
        self._busy = False
        self.calls += 1
        self.scored += len(batch)
        for outcome in outcomes[:1]:
            if not isinstance(outcome, ModelRefused):
                self._each_us += _WEIGHT * (outcome[1] - self._each_us)
        self._next()
        for work, outcome in zip(batch, outcomes, strict=True):
            if work.told.done():
                continue
            if isinstance(outcome, ModelRefused):
                work.told.set_exception(outcome)
            else:
                work.told.set_result(outcome)


def _give_way() -> None:
    """Let the event loop's thread go first where both want one core: Linux has a priority a thread."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        own = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(own + _NICE, _NICEST))


def _looked_at(told: Told) -> None:
    """Take note of a failure that nobody waits for any more; asyncio would report it as forgotten."""
    if not told.cancelled():
        told.exception()


def _work(jobs: SimpleQueue[_Job | None], lane: Lane) -> None:
    _give_way()
    while (job := jobs.get()) is not None:
        loop, batch = job
        outcomes = together(batch[0].version, [work.block for work in batch])
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(lane.told, batch, outcomes)
