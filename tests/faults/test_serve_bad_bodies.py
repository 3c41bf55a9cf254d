"""Ten thousand seeded mutations of good bodies of every protocol: refused or answered, never another error, in time."""

import random
import time
from collections import Counter

import numpy as np
import pytest
from tests.unit.serve.bad_requests import mutated
from tests.unit.serve.protocol_kit import GOOD, NUMBERS, TAKES, dumped
from tests.unit.serve.serving_kit import columns

from mainspring.serve.errors import RequestRefused
from mainspring.serve.protocols import CODECS, MLFLOW, SELDON, V1, V2
from mainspring.serve.protocols.v2_answers import infer_request
from mainspring.serve.questions import Answer, Codec, Takes, Wire

BODIES = 10_000
LONGEST_S = 2.0  # of one body; usual ones take microseconds, and this machine may be busy

_binary, _length = infer_request({**columns(3), "@key": np.array(["a", "b", "c"], dtype=object)})
_large = {"inputs": [{"name": "x", "shape": [300, 2], "datatype": "FP64", "data": [[1.5, 2.5]] * 300}]}
SEEDS: list[tuple[Codec, Takes, Wire, bytes]] = [
    *((codec, TAKES, wire, body) for codec, wire, body in GOOD.values()),
    (V2, TAKES, Wire(header_length=_length), _binary),
    (V2, NUMBERS, Wire(), dumped(_large)),
    (V2, NUMBERS, Wire(), dumped({"id": "a", "inputs": [{**_large["inputs"][0], "shape": [1, 2], "data": [1.5, 2]}]})),
    (V1, NUMBERS, Wire(), dumped({"instances": [[1, 2.5], [None, 3]], "parameters": {"keys": ["a", "b"]}})),
    (SELDON, NUMBERS, Wire(), dumped({"data": {"names": ["a", "b"], "tensor": {"shape": [1, 2], "values": [1, 2]}}})),
    (MLFLOW, NUMBERS, Wire(), dumped({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}})),
]


def _answer(rows: int) -> Answer:
    return Answer(
        request_id="p-2013050106-abcdefghijklmnop", model="m", output="probability", release="",
        scores=np.full(rows, 0.5), versions=[1] * rows,
    )  # fmt: skip


def test_ten_thousand_mutated_bodies_are_refused_or_answered_in_bounded_time() -> None:
    source, ends, slowest = random.Random(20261126), Counter[str](), 0.0
    refusals: list[RequestRefused] = []
    for turn in range(BODIES):
        codec, takes, wire, body = SEEDS[turn % len(SEEDS)]
        started = time.thread_time()  # our own: a busy machine is no slow codec
        try:
            question = codec.decode(mutated(body, source), takes, wire)
            assert codec.encode(question, _answer(question.rows)).body
            ends["answered"] += 1
        except RequestRefused as error:
            refusals.append(error)
            ends[codec.name] += 1
        slowest = max(slowest, time.thread_time() - started)
    assert slowest < LONGEST_S
    assert all(400 <= error.status < 500 and len(error.what) < 500 for error in refusals)
    assert set(ends) == {"answered", *CODECS}
    assert 200 < ends["answered"] < BODIES / 2


@pytest.mark.parametrize("name", CODECS)
def test_any_random_bytes_are_refused(name: str) -> None:
    source = random.Random(7)
    for size in (0, 1, 3, 40, 5_000):
        for kind in ("application/json", "text/csv", ""):
            with pytest.raises(RequestRefused):
                CODECS[name].decode(source.randbytes(size), TAKES, Wire(kind))
