"""The V2 codec and plane: what is understood is answered, everything else is refused with a stable code."""

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.serve.bad_requests import BAD_DOCUMENTS, mutated
from tests.unit.serve.serving_kit import MODEL, NOW, Parts, body, columns, infer

from mainspring.serve.errors import BadTensor, RequestRefused
from mainspring.serve.protocols import v2
from mainspring.serve.protocols.v2_answers import infer_request
from mainspring.serve.questions import Takes, Wire
from mainspring.serve.tensors import NUMBERS, from_bytes, to_bytes

TAKES = Takes({"x": "number"}, frozenset({"x"}), "probability", MODEL, 1_000)


def answered(document: Any, parts: Parts | None = None) -> dict[str, Any]:  # noqa: ANN401 - JSON
    made = parts or Parts()
    made.serve()
    reply = infer(made.plane, json.dumps(document).encode(), MODEL)
    found: dict[str, Any] = json.loads(reply.encoded.body)
    return found


def refused(data: bytes, header_length: int | None = None) -> str:
    parts = Parts()
    parts.serve()
    with pytest.raises(RequestRefused) as caught:
        infer(parts.plane, data, MODEL, header_length=header_length)
    assert 400 <= caught.value.status < 500
    assert not parts.plane.log.records  # type: ignore[attr-defined]
    return caught.value.code


def test_a_good_request_is_answered_a_row_at_a_time() -> None:
    answer = answered(body(3, id="mine"))
    output = answer["outputs"][0]
    assert (output["name"], output["datatype"], output["shape"]) == ("probability", "FP64", [3])
    assert answer["id"] == "mine"
    assert answer["model_version"] == "1"
    assert answer["parameters"]["versions"] == [1, 1, 1]
    assert [text.rpartition(".")[2] for text in answer["parameters"]["prediction_ids"]] == ["0", "1", "2"]


def test_nested_and_flat_data_give_the_same_answer() -> None:
    nested = body(2)
    for tensor in nested["inputs"]:
        tensor["shape"], tensor["data"] = [2, 1], [[value] for value in tensor["data"]]
    assert answered(nested)["outputs"] == answered(body(2))["outputs"]


def test_null_is_a_missing_value_in_either_kind_of_input() -> None:
    parts = Parts()
    document = body(2)
    document["inputs"][0]["data"] = [None, 1]
    document["inputs"][1]["data"] = [None, "AA"]
    answered(document, parts)
    record = parts.log.records[0]  # type: ignore[attr-defined]
    assert np.isnan(np.frombuffer(record.numbers["weather.wind"])[0])
    assert record.strings["schedule.carrier"] == [None, "AA"]


@pytest.mark.parametrize("datatype", [d for d in NUMBERS if d != "BOOL"])
def test_every_number_type_means_the_same_number(datatype: str) -> None:
    document = body(2)
    document["inputs"][0].update(datatype=datatype, data=[1, 3])
    plain = body(2)
    plain["inputs"][0]["data"] = [1.0, 3.0]
    assert answered(document)["outputs"] == answered(plain)["outputs"]


@pytest.mark.parametrize(("name", "data"), BAD_DOCUMENTS.items(), ids=list(BAD_DOCUMENTS))
def test_a_bad_document_is_refused_with_a_code(name: str, data: bytes) -> None:
    assert refused(data).startswith("request.")


def test_two_thousand_seeded_mutations_are_answered_or_refused_but_never_fail() -> None:
    parts, source = Parts(), random.Random(20261123)
    parts.serve()
    good = json.dumps(body(3, id="a", parameters={"keys": ["a", "b", "c"]})).encode()
    binary, size = infer_request({**columns(3), "@key": np.array(["a", "b", "c"], dtype=object)})
    answered_count, statuses = 0, set[int]()
    for turn in range(2_000):
        data, length = (good, None) if turn % 2 else (binary, size)
        try:
            reply = infer(parts.plane, mutated(data, source), MODEL, header_length=length)
            answered_count += bool(reply.encoded.body)
        except RequestRefused as error:
            statuses.add(error.status)
    assert statuses
    assert all(400 <= status < 500 for status in statuses)
    assert 0 < answered_count < 1_000
    assert infer(parts.plane, good, MODEL).encoded.body


def test_the_binary_extension_carries_the_same_request() -> None:
    parts = Parts()
    parts.serve()
    data, size = infer_request(
        {**columns(4), "@key": np.array(list("abcd"), dtype=object), "@asked_at": np.full(4, NOW)}
    )
    reply = infer(parts.plane, data, MODEL, header_length=size)
    assert reply.encoded.header_length is not None
    scores = np.frombuffer(reply.encoded.body, dtype="<f8", offset=reply.encoded.header_length)
    document = body(4)
    document["inputs"][1]["data"] = ["AA", None, "AA", None]
    plain = answered(document)["outputs"][0]["data"]
    assert scores.tolist() == plain
    record = parts.log.records[0]  # type: ignore[attr-defined]
    assert record.keys == list("abcd")
    assert record.strings["schedule.carrier"] == ["AA", None, "AA", None]


@pytest.mark.parametrize("length", [0, -1, 5, 10**9])
def test_a_wrong_header_length_is_refused(length: int) -> None:
    data, _ = infer_request(columns(2))
    assert refused(data, length) == "request.body"


def test_bytes_after_the_last_tensor_are_refused() -> None:
    data, size = infer_request(columns(2))
    assert refused(data + b"x", size) == "request.body"
    assert refused(data[:-1], size) == "request.tensor"


def test_infinite_binary_numbers_are_refused_and_nan_is_missing() -> None:
    data, size = infer_request({**columns(2), "weather.wind": np.array([np.inf, 1.0])})
    assert refused(data, size) == "request.tensor"
    data, size = infer_request({**columns(2), "weather.wind": np.array([np.nan, 1.0])})
    parts = Parts()
    parts.serve()
    assert infer(parts.plane, data, MODEL, header_length=size).encoded.body


@given(st.lists(st.one_of(st.text(max_size=20), st.integers(200, 600).map("x".__mul__)), min_size=1, max_size=30))
def test_texts_survive_the_binary_form(texts: list[str]) -> None:
    column = np.array([*texts, ""], dtype=object)[:-1]
    raw = to_bytes(column)
    assert from_bytes("x", "BYTES", len(texts), memoryview(raw)).tolist() == texts


@given(st.binary(max_size=60), st.integers(1, 5))
def test_texts_are_read_exactly_or_refused(raw: bytes, rows: int) -> None:
    try:
        found = from_bytes("x", "BYTES", rows, memoryview(raw))
    except BadTensor:
        return
    assert to_bytes(found) == raw


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_numbers_survive_both_forms(numbers: list[float]) -> None:
    raw = to_bytes(np.array(numbers))
    assert from_bytes("x", "FP64", len(numbers), memoryview(raw)).tolist() == numbers
    document = {"inputs": [{"name": "x", "shape": [len(numbers)], "datatype": "FP64", "data": numbers}]}
    matrix = v2.decode(json.dumps(document).encode(), TAKES, Wire()).matrix
    assert matrix is not None
    assert matrix.ravel().tolist() == numbers


@settings(max_examples=200)
@given(st.binary(max_size=300), st.one_of(st.none(), st.integers(-5, 400)))
def test_any_bytes_are_refused_and_nothing_else(data: bytes, length: int | None) -> None:
    with pytest.raises(RequestRefused):
        v2.decode(data, TAKES, Wire(header_length=length))


def test_keys_and_times_come_as_parameters_or_tensors_but_not_both() -> None:
    keys = {"name": "@key", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}
    document = body(2, parameters={"asked_at": "2013-05-01T06:00:00Z"})
    document["inputs"].append(keys)
    question = v2.decode(json.dumps(document).encode(), TAKES, Wire())
    assert question.keys == ["a", "b"]
    assert question.asked_at is not None
    assert question.asked_at.tolist() == [NOW, NOW]
    document["parameters"]["keys"] = ["a", "b"]
    assert refused(json.dumps(document).encode()) == "request.parameter"


def test_too_many_rows_are_refused_before_the_model() -> None:
    assert refused(json.dumps(body(1_001)).encode()) == "request.too_large"
