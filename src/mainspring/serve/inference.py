"""One infer request from bytes to bytes: codec, plane, codec, log. Transports call this and move bytes only.

`infer_now` scores where it is called: for models that `Serving.inline` calls fast, and bodies up to `INLINE_BYTES`.
`infer` is for every other request. Both run on the event loop's thread.
"""

import asyncio
import time

import msgspec

from mainspring.serve.errors import DeadlinePassed, ModelFailed
from mainspring.serve.plane import Plane
from mainspring.serve.questions import Codec, Encoded, Wire
from mainspring.serve.scoring import Prepared, Scored

INLINE_BYTES = 65_536
_NO_WIRE = Wire()


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a transport knows of a request besides its body.

    model, version: as the path names them. deadline_s: seconds that the client waits from now, or None. caller: who
    asks, for limits and the access log; "" for nobody known.
    """

    model: str
    version: int | None = None
    wire: Wire = _NO_WIRE
    deadline_s: float | None = None
    caller: str = ""


class MustWait(Exception):
    """The request needs features from a store that may be slow: `infer` answers it; nothing was done yet."""


class Reply(msgspec.Struct, frozen=True):
    """An encoded answer. release: the routing commit. version: that of the first row. request_id: the logged one."""

    encoded: Encoded
    release: str
    version: int
    request_id: str
    rows: int


def infer_now(plane: Plane, codec: Codec, body: bytes, ask: Asked) -> Reply:
    """Answer one request and log it, or raise a `RequestRefused`; a refused request is not logged.

    Raises `MustWait` where the caller must not be held up for so long.
    """
    started = time.perf_counter_ns()
    prepared = _prepared(plane, codec, body, ask)
    if prepared.block is None and plane.rules.store_waits:
        raise MustWait
    try:
        scored = plane.score(prepared)
    except ModelFailed:
        plane.counters.failed_by_version[prepared.serving.champion.number] += 1
        raise
    return _replied(plane, codec, prepared, scored, started)


async def infer(plane: Plane, codec: Codec, body: bytes, ask: Asked) -> Reply:
    """Answer one request as `infer_now` does, in the model's lane where it is slow.

    Raises `DeadlinePassed` when the answer would come too late, and `Overloaded` where too many wait already.
    """
    started = time.perf_counter_ns()
    prepared = _prepared(plane, codec, body, ask)
    try:
        async with asyncio.timeout(ask.deadline_s):
            scored = await plane.turns.scored(prepared)
    except ModelFailed:
        plane.counters.failed_by_version[prepared.serving.champion.number] += 1
        raise
    except TimeoutError as error:
        raise DeadlinePassed("the model did not answer in time", fix="wait longer, or ask less often") from error
    return _replied(plane, codec, prepared, scored, started)


def _prepared(plane: Plane, codec: Codec, body: bytes, ask: Asked) -> Prepared:
    serving = plane.loaded(ask.model, ask.version)
    question = codec.decode(body, serving.takes, ask.wire)
    pairs_later = serving.challenger is not None and _on_loop()
    return plane.prepare(question, serving, ask.version, pairs_later=pairs_later)


def _replied(plane: Plane, codec: Codec, prepared: Prepared, scored: Scored, started: int) -> Reply:
    answer, record = plane.complete(prepared, scored)
    encoded = codec.encode(prepared.question, answer)
    plane.finish(record, started, (prepared, scored.features))
    return Reply(encoded, answer.release, answer.versions[0], answer.request_id, prepared.question.rows)


def _on_loop() -> bool:
    """Tell whether an event loop runs here; without one nothing can be done after the answer."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
