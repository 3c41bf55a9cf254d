"""One infer request from bytes to bytes: codec, plane, codec, log. Transports call this and move bytes only."""

import time
from dataclasses import dataclass

from mainspring.serve.plane import Plane
from mainspring.serve.protocols.v2 import V2
from mainspring.serve.questions import Codec, Encoded, Wire


@dataclass(frozen=True, slots=True)
class Reply:
    """An encoded answer. release: the routing commit."""

    encoded: Encoded
    release: str


def infer(
    plane: Plane, body: bytes, model: str, *, version: int | None = None, header_length: int | None = None,
    codec: Codec = V2,
) -> Reply:  # fmt: skip
    """Answer one infer request and log it, or raise a `RequestRefused`; a refused request is not logged."""
    started = time.perf_counter_ns()
    serving = plane.loaded(model, version)
    question = codec.decode(body, serving.takes, Wire(header_length=header_length))
    answer, record = plane.answer(question, serving, version)
    encoded = codec.encode(question, answer)
    plane.finish(record, started)
    return Reply(encoded, answer.release)
