"""One infer request from bytes to bytes: codec, plane, codec, log. Transports call this and move bytes only."""

import time
from dataclasses import dataclass

from mainspring.serve.plane import Plane
from mainspring.serve.protocols import v2, v2_answers


@dataclass(frozen=True, slots=True)
class Reply:
    """An encoded answer. header_length: bytes of JSON before binary tensors, or None. release: the routing commit."""

    body: bytes
    header_length: int | None
    release: str


def infer(
    plane: Plane, body: bytes, model: str, *, version: int | None = None, header_length: int | None = None
) -> Reply:
    """Answer one V2 infer request and log it, or raise a `RequestRefused`; a refused request is not logged."""
    started = time.perf_counter_ns()
    serving = plane.loaded(model, version)
    question = v2.decode(body, header_length=header_length, max_rows=serving.max_rows)
    if question.outputs and set(question.outputs) != {serving.champion.contract.output}:
        raise v2_answers.unknown_output(question.outputs, serving.champion.contract.output)
    answer, record = plane.answer(question, serving, version)
    encoded, head = v2_answers.encode(question, answer)
    plane.finish(record, started)
    return Reply(encoded, head, answer.release)
