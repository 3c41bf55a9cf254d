"""One matrix of all inputs, or one column each, small or large, JSON or binary: the same question every way."""

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.serve.bad_requests import mutated

from mainspring.serve.errors import RequestRefused
from mainspring.serve.protocols import v2_requests
from mainspring.serve.protocols.v2 import V2, decode
from mainspring.serve.questions import Answer, Question, Takes, Wire

NAMES = ("a", "b", "c")
TAKES = Takes(dict.fromkeys(NAMES, "number"), frozenset((*NAMES, "spare")), "probability", "m", 1_000)
TEXTS = Takes(dict.fromkeys(NAMES, "string"), frozenset(NAMES), "probability", "m", 1_000)
MIXED = Takes({"a": "number", "b": "string"}, frozenset(("a", "b")), "probability", "m", 1_000)
ONE = Takes({"a": "number"}, frozenset("a"), "probability", "m", 1_000)


def ask(document: object, takes: Takes = TAKES) -> Question:
    return decode(json.dumps(document).encode(), takes, Wire())


def tensor(data: object, shape: list[int], name: str = "input-0", datatype: str = "FP64", **more: object) -> Any:  # noqa: ANN401
    return {"name": name, "shape": shape, "datatype": datatype, "data": data, **more}


def matrix_of(question: Question) -> list[list[float]]:
    assert question.matrix is not None
    assert question.matrix.dtype == np.float64
    assert question.matrix.flags["C_CONTIGUOUS"]
    assert not question.tensors
    return question.matrix.tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("rows", [1, 2, 400])
@pytest.mark.parametrize("datatype", ["FP64", "FP32", "INT64", "UINT8"])
@pytest.mark.parametrize("form", ["flat", "nested", "columns", "columns of one"])
def test_every_form_of_a_matrix_is_the_same_question(rows: int, datatype: str, form: str) -> None:
    source = random.Random(rows)
    values = [[float(source.randrange(200)) for _ in NAMES] for _ in range(rows)]
    whole = datatype in ("INT64", "UINT8")
    sent = [[int(value) if whole else value for value in row] for row in values]
    if form == "flat":
        inputs = [tensor([value for row in sent for value in row], [rows, 3], datatype=datatype)]
    elif form == "nested":
        inputs = [tensor(sent, [rows, 3], datatype=datatype)]
    else:
        shape = [rows] if form == "columns" else [rows, 1]
        inputs = [tensor([row[at] for row in sent], shape, name, datatype) for at, name in enumerate(NAMES)][::-1]
    question = ask({"inputs": inputs})
    if question.matrix is None:
        assert np.array([question.tensors[name].values for name in NAMES]).T.tolist() == values
    else:
        assert matrix_of(question) == values
    assert question.rows == rows


@pytest.mark.parametrize("rows", [1, 400])
def test_null_in_a_matrix_is_a_missing_number(rows: int) -> None:
    question = ask({"inputs": [tensor([[None, 1, 2.5]] * rows, [rows, 3])]})
    assert np.isnan(np.array(matrix_of(question))[:, 0]).all()
    assert matrix_of(question)[0][1:] == [1.0, 2.5]


@pytest.mark.parametrize("name", ["input-0", "predict", "a", "f" * 256])
def test_a_matrix_may_have_any_name(name: str) -> None:
    assert matrix_of(ask({"inputs": [tensor([1.0, 2.0, 3.0], [1, 3], name)]})) == [[1.0, 2.0, 3.0]]


def test_a_model_of_one_input_takes_a_lone_tensor_of_any_name() -> None:
    for shape in ([2], [2, 1]):
        question = ask({"inputs": [tensor([1.0, 2.0], shape)]}, ONE)
        assert question.tensors["a"].values.tolist() == [1.0, 2.0] if question.matrix is None else question.rows == 2


def test_a_matrix_of_texts_becomes_a_column_each() -> None:
    question = ask({"inputs": [tensor([["x", None, "z"], ["u", "v", "w"]], [2, 3], datatype="BYTES")]}, TEXTS)
    assert {name: column.values.tolist() for name, column in question.tensors.items()} == {
        "a": ["x", "u"], "b": [None, "v"], "c": ["z", "w"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("inputs", "takes"),
    [
        ([tensor([1.0, 2.0], [1, 2])], TAKES),
        ([tensor([1.0] * 4, [1, 4])], TAKES),
        ([tensor([1.0] * 3, [3, 1, 1])], TAKES),
        ([tensor([1.0] * 3, [1, 3]), tensor([1.0], [1], "spare")], TAKES),
        ([tensor([1.0] * 3, [1, 3]), tensor([1.0] * 3, [1, 3], "other")], TAKES),
        ([tensor([1.0] * 3, [2, 3])], TAKES),
        ([tensor([[1.0, 2.0, 3.0], [1.0, 2.0]], [2, 3])], TAKES),
        ([tensor([[[1.0], [2.0], [3.0]]], [1, 3])], TAKES),
        ([tensor([1.0, True, 2.0], [1, 3])], TAKES),
        ([tensor([1.0, "2", 2.0], [1, 3])], TAKES),
        ([tensor([1, 2.5, 3], [1, 3], datatype="INT32")], TAKES),
        ([tensor([1.0] * 3, [1, 3], parameters={"nulls": [0]})], TAKES),
        ([tensor([1.0, 2.0], [1, 2])], MIXED),
        ([tensor(["x", "y"], [1, 2], datatype="BYTES")], MIXED),
        ([tensor([1.0] * 3, [1, 3])], TEXTS),
        ([tensor([1.0] * 3003, [1001, 3])], TAKES),
        ([tensor([1.0] * 3, [1, 3], datatype="BF16")], TAKES),
        ([tensor([1.0] * 3, [])], TAKES),
        ([tensor([[1.0] * 3], [])], TAKES),
        ([tensor([], [0, 3])], TAKES),
        ([tensor([1.0], [1], "a"), tensor([1.0], [1], "a"), tensor([1.0], [1], "b")], TAKES),
    ],
)
@pytest.mark.parametrize("padding", [0, 5_000], ids=["small", "large"])
def test_a_matrix_that_does_not_hold_is_refused(inputs: list[Any], takes: Takes, padding: int) -> None:
    with pytest.raises(RequestRefused):
        decode(json.dumps({"inputs": inputs}).encode() + b" " * padding, takes, Wire())


def test_integers_keep_their_digits_and_too_large_ones_are_refused() -> None:
    assert matrix_of(ask({"inputs": [tensor([2**53, -(2**53), 0], [1, 3], datatype="INT64")]}))[0][0] == 2**53
    with pytest.raises(RequestRefused):
        ask({"inputs": [tensor([2**53 + 1, 0, 0], [1, 3], datatype="INT64")]})


@pytest.mark.parametrize("datatype", ["<f8", "<f4", "<f2", "<i4", "<u8"])
def test_a_binary_matrix(datatype: str) -> None:
    values = np.arange(6).reshape(2, 3).astype(datatype)
    wire = {"<f8": "FP64", "<f4": "FP32", "<f2": "FP16", "<i4": "INT32", "<u8": "UINT64"}[datatype]
    item = {"name": "x", "shape": [2, 3], "datatype": wire, "parameters": {"binary_data_size": values.nbytes}}
    head = json.dumps({"inputs": [item]}).encode()
    question = decode(head + values.tobytes(), TAKES, Wire(header_length=len(head)))
    assert matrix_of(question) == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def test_bfloat16_is_the_upper_half_of_a_float32() -> None:
    raw = (np.array([1.0, -2.5, 0.0], dtype="<f4").view("<u4") >> 16).astype("<u2").tobytes()
    item = {"name": "x", "shape": [1, 3], "datatype": "BF16", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [item]}).encode()
    assert matrix_of(decode(head + raw, TAKES, Wire(header_length=len(head)))) == [[1.0, -2.5, 0.0]]


def test_a_member_twice_in_a_binary_head_is_found_though_data_are_left_out() -> None:
    head = (
        b'{"inputs":[{"name":"x","shape":[9,9],"shape":[1,3],"datatype":"FP64","parameters":{"binary_data_size":24}}]}'
    )
    with pytest.raises(RequestRefused, match="twice"):
        decode(head + b"\0" * 24, TAKES, Wire(header_length=len(head)))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3), min_size=1))
def test_every_number_comes_through_exactly(rows: list[list[float]]) -> None:
    count = len(rows)
    for padding in (0, 5_000):
        body = json.dumps({"inputs": [tensor(rows, [count, 3])]}).encode() + b" " * padding
        assert matrix_of(decode(body, TAKES, Wire())) == rows


def _verdict(body: bytes) -> object:
    try:
        question = decode(body, TAKES, Wire())
    except RequestRefused as error:
        return error.code
    return repr((question.matrix, question.tensors, question.id, question.rows))


def test_both_parsers_give_the_same_verdict_on_mutated_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    source = random.Random(20261126)
    good = json.dumps({"id": "x", "inputs": [tensor([[1.5, 2, 3]] * 4, [4, 3])]}).encode()
    bodies = [mutated(good, source) + b" " * 5_000 for _ in range(1_500)]
    fast = [_verdict(body) for body in bodies]
    assert any("array" in str(verdict) for verdict in fast)
    monkeypatch.setattr(v2_requests, "simdjson", None)
    slow = [_verdict(body) for body in bodies]
    assert fast == slow


def test_an_answer_as_a_class_is_text() -> None:
    question = ask({
        "inputs": [tensor([1.0, 2.0, 3.0], [1, 3])],
        "outputs": [{"name": "probability", "parameters": {"classification": 1, "binary_data": False}}],
    })  # fmt: skip
    answer = Answer(
        request_id="p-2013050106-abcdefghijklmnop", model="m", output="probability", release="",
        scores=np.array([0.25]), versions=[3],
    )  # fmt: skip
    output = json.loads(V2.encode(question, answer).body)["outputs"][0]
    assert output == {"name": "probability", "datatype": "BYTES", "shape": [1, 1], "data": ["0.25:0"]}


def test_parameters_that_standard_clients_send_change_nothing() -> None:
    question = ask({
        "id": "7", "model_name": "m", "model_version": "1",
        "parameters": {
            "sequence_id": 5, "sequence_start": True, "sequence_end": False, "priority": 2, "timeout": 1000,
            "triton_enable_empty_final_response": True, "content_type": "np", "binary_data_output": True,
        },
        "inputs": [tensor([1.0, 2.0, 3.0], [1, 3], parameters={"content_type": "np"})],
        "outputs": [{"name": "probability", "parameters": {"binary_data": False, "content_type": "np"}}],
    })  # fmt: skip
    assert matrix_of(question) == [[1.0, 2.0, 3.0]]
    assert (question.id, question.binary, question.outputs) == ("7", False, ("probability",))


def test_optional_members_may_be_null() -> None:
    question = ask({
        "id": None, "parameters": None, "outputs": None,
        "inputs": [tensor([1.0, 2.0, 3.0], [1, 3], parameters=None)],
    })  # fmt: skip
    assert matrix_of(question) == [[1.0, 2.0, 3.0]]


def test_a_body_for_another_model_is_refused() -> None:
    with pytest.raises(RequestRefused, match="another model"):
        ask({"model_name": "other", "inputs": [tensor([1.0, 2.0, 3.0], [1, 3])]})
