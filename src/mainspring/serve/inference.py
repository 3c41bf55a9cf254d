"""One infer request from bytes to bytes: codec, plane, codec, log. Transports call this and move bytes only.

`infer_now` scores where it is called: for models that `Serving.inline` calls fast, and bodies up to `INLINE_BYTES`.
`infer` is for every other request.
"""

import time

import msgspec

from mainspring.serve.plane import Plane
from mainspring.serve.questions import Codec, Encoded, Wire

INLINE_BYTES = 65_536


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a transport knows of a request besides its body.

    model, version: as the path names them. deadline_s: seconds that the client waits from now, or None. caller: who
    asks, for limits and the access log; "" for nobody known.
    """

    model: str
    version: int | None = None
    wire: Wire = Wire()
    deadline_s: float | None = None
    caller: str = ""


class Reply(msgspec.Struct, frozen=True):
    """An encoded answer. release: the routing commit. version: that of the first row. request_id: the logged one."""

    encoded: Encoded
    release: str
    version: int
    request_id: str
    rows: int


def infer_now(plane: Plane, codec: Codec, body: bytes, ask: Asked) -> Reply:
    """Answer one request and log it, or raise a `RequestRefused`; a refused request is not logged."""
    started = time.perf_counter_ns()
    serving = plane.loaded(ask.model, ask.version)
    question = codec.decode(body, serving.takes, ask.wire)
    prepared = plane.prepare(question, serving, ask.version)
    answer, record = plane.complete(prepared, plane.score(prepared))
    encoded = codec.encode(question, answer)
    plane.finish(record, started)
    return Reply(encoded, answer.release, answer.versions[0], answer.request_id, question.rows)


async def infer(plane: Plane, codec: Codec, body: bytes, ask: Asked) -> Reply:
    """Answer one request as `infer_now` does, in the model's lane where it is slow."""
    return infer_now(plane, codec, body, ask)
