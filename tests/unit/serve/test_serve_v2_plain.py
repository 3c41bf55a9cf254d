"""The short way of binary requests says what the long way says, or nothing."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.serve.errors import RequestRefused
from mainspring.serve.frames import framed, frames
from mainspring.serve.protocols import CODECS
from mainspring.serve.protocols.duplicates import counted
from mainspring.serve.protocols.tabular import plain_rows
from mainspring.serve.protocols.v2 import decode
from mainspring.serve.protocols.v2_answers import encode
from mainspring.serve.protocols.v2_binary import plain_matrix
from mainspring.serve.questions import Answer, Codec, Question, Takes, Wire

NAMES, ROW = ("a", "b", "c"), (1.0, 2.0, 3.0)
TAKES = Takes(dict.fromkeys(NAMES, "number"), frozenset(NAMES), "score", "m", 50)


def _asked(values: object, datatype: str = "FP64", **more: object) -> tuple[bytes, int]:
    numbers = np.asarray(values, "<f8" if datatype == "FP64" else "<f4")
    raw = numbers.tobytes()
    size = {"binary_data_size": len(raw)}
    tensor = {"name": "x", "shape": list(numbers.shape), "datatype": datatype, "parameters": size}
    head = json.dumps({"inputs": [tensor], **more}).encode()
    return head + raw, len(head)


def _changed(old: str, new: str) -> tuple[bytes, int]:
    body, length = _asked([ROW])
    assert old.encode() in body[:length]
    return body.replace(old.encode(), new.encode(), 1), length + len(new) - len(old)


def _resized(change: int) -> tuple[bytes, int]:
    body, length = _asked([ROW])
    return (body + bytes(8))[: len(body) + change], length


def _long_way(body: bytes, length: int) -> Question:
    spaced = b" " + body  # no known request begins with a blank and has one mark more than it should: an escaped name
    spaced = spaced.replace(b'"x"', b'"\\""', 1)
    assert plain_matrix(spaced, length + 2, TAKES) is None
    return decode(spaced, TAKES, Wire(header_length=length + 2))


@given(
    rows=st.integers(1, 50), kind=st.sampled_from(["FP64", "FP32"]), seed=st.integers(0, 999), null=st.booleans(),
    form=st.sampled_from([None, True, False]), name=st.sampled_from(["", "r-1", "\u00fc"]),
)  # fmt: skip
def test_both_ways_ask_the_same(rows: int, kind: str, seed: int, form: bool | None, name: str, null: bool) -> None:
    values = np.random.default_rng(seed).normal(size=(rows, 3))
    values[0, 0] = np.nan if null else 0.0
    more: dict[str, Any] = {} if form is None else {"parameters": {"binary_data_output": form}}
    body, length = _asked(values, kind, **more, **({"id": name} if name else {}))
    short, long = plain_matrix(body, length, TAKES), _long_way(body, length)
    assert short is not None
    assert short.matrix is not None
    assert long.matrix is not None
    np.testing.assert_array_equal(short.matrix, long.matrix)
    assert short.matrix.dtype == np.float64
    assert (short.rows, short.keys, short.id, short.binary, short.form, short.outputs) == (
        long.rows, long.keys, long.id, long.binary, long.form, long.outputs,
    )  # fmt: skip


ODD = {
    "an infinite number": _asked([[1.0, 2.0, np.inf]]),
    "more rows than allowed": _asked(np.zeros((51, 3))),
    "an output by name": _asked([ROW], outputs=[{"name": "score"}]),
    "keys": _asked([ROW], parameters={"keys": ["a"]}),
    "an id that cannot be returned": _asked([ROW], id="\n"),
    "too few bytes": _resized(-1),
    "too many bytes": _resized(1),
    "a member twice": _changed('"name": "x"', '"name": "x", "name": "y"'),
    "an empty id twice": _changed("{", '{"id": "", "id": "", '),
    "another shape": _changed("[1, 3]", "[3, 1]"),
    "a shape below 0": _changed("[1, 3]", "[-1, -3]"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_left_to_the_long_way(name: str) -> None:
    assert plain_matrix(*ODD[name], TAKES) is None


@given(st.binary(max_size=3), st.lists(st.sampled_from([b"\xf7", b"M", b"S", b"MS", b"xy", b"z" * 4_099]), max_size=60))
def test_no_frame_holds_the_mark_but_at_its_head(odd: bytes, parts: list[bytes]) -> None:
    payload = odd + b"".join(parts)
    frame = framed(payload)
    assert frame.find(b"\xf7MS", 1) < 0
    assert [bytes(found.payload) for found in frames(frame)] == [payload]


@given(st.lists(st.sampled_from([b'"', b"x", b"x" * 400]), max_size=300))
def test_marks_are_counted_as_they_stand(parts: list[bytes]) -> None:
    body = b"".join(parts)
    assert counted(body, b'"') == body.count(b'"')


@pytest.mark.parametrize("rows", [1, 2, 7, 1_000, 1_001])
def test_ids_and_versions_are_one_a_row_whatever_the_number_of_rows(rows: int) -> None:
    question = Question(rows=rows, tensors={}, keys=[], asked_at=None)
    for versions in ([3] * rows, [3, *([4] * (rows - 1))]):
        answer = Answer(
            request_id="p-1", model="m", output="score", release="", scores=np.arange(float(rows)), versions=versions
        )
        document = json.loads(encode(question, answer).body)
        assert document["parameters"]["prediction_ids"] == [f"p-1.{row}" for row in range(rows)]
        assert document["parameters"]["versions"] == versions
        assert document["outputs"][0]["data"] == list(range(rows))


SHAPES: dict[str, tuple[Codec, Callable[[str], str]]] = {
    "v1": (CODECS["v1"], lambda rows: f'{{"instances": {rows}}}'),
    "mlflow": (CODECS["mlflow"], lambda rows: f'{{"inputs":{rows}}}'),
    "seldon": (CODECS["seldon"], lambda rows: f'{{"data": {{"ndarray": {rows} }}}}'),
}
_cells = st.sampled_from(["1.5", "-0.0", "7", "9007199254740993", "1e300", "-3e-7", "123456789.125"])


@pytest.mark.parametrize("name", SHAPES)
@given(st.lists(st.tuples(_cells, _cells, _cells), min_size=40, max_size=50))
def test_large_bodies_of_other_protocols_are_read_alike_by_both_parsers(name: str, rows: list[tuple[str, ...]]) -> None:
    codec, write = SHAPES[name]
    cells = ",".join(f"[{', '.join(row)}]" for row in rows)
    small, large = write(f"[{cells}]").encode(), write(f"[{' ' * 4_096}{cells}]").encode()
    short, long = codec.decode(large, TAKES, Wire()), codec.decode(small, TAKES, Wire())
    assert len(small) <= 4_096 < len(large)
    assert plain_rows(large, ("instances", "inputs", "data"), TAKES, "ndarray" if name == "seldon" else "") is not None
    assert short.matrix is not None
    assert long.matrix is not None
    assert short.matrix.tolist() == long.matrix.tolist() == [[float(cell) for cell in row] for row in rows]
    assert (short.rows, short.form, short.keys, short.id) == (long.rows, long.form, long.keys, long.id)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(
    "row", ["[1, 2]", "[1, 2, 3, 4]", "[1, 2, [3]]", "[1, 2, true]", '[1, 2, "3"]', "[1, 2, NaN]", "[1, 2, 1e400]", "1"]
)
def test_large_bodies_of_other_protocols_are_refused_as_small_ones_are(name: str, row: str) -> None:
    codec, write = SHAPES[name]
    told = []
    for blanks in ("", " " * 5_000):
        with pytest.raises(RequestRefused) as refused:
            codec.decode(write(f"[[1, 2, 3], {row}{blanks}]").encode(), TAKES, Wire())
        told.append((refused.value.code, refused.value.what if "JSON" not in refused.value.what else ""))
    assert told[0] == told[1]


def test_a_member_twice_in_a_large_body_is_refused() -> None:
    body = b'{"instances": [[1, 2, 3]], "instances": [[1, 2, 3]' + b" " * 5_000 + b"]}"
    with pytest.raises(RequestRefused, match="given twice"):
        CODECS["v1"].decode(body, TAKES, Wire())
