"""Requests and answers as the published specifications print them, section by section.

- [OIP] Open Inference Protocol, specification/protocol/inference_rest.md and open_inference_rest.yaml
- [BIN], [CLS], [PAR], [SEQ], [SCH] Triton's protocol extensions: binary tensor data, classification, parameters,
  sequence, schedule policy (docs/protocol/extension_*.md)
- [TF] TensorFlow Serving RESTful API, which KServe's V1 data plane takes over
- [SEL] Seldon Core 1.x: prediction.proto, and the external API's page of examples
- [MLF] MLflow, "Deploy models": the `/invocations` payloads; [PD] pandas.DataFrame.to_dict(orient="split")
"""

import json
import struct
from typing import Any

import numpy as np
import pytest

from mainspring.kernel.contract import Contract, Input
from mainspring.serve.errors import BadInput, RequestRefused
from mainspring.serve.protocols import MLFLOW, SELDON, V1, V2
from mainspring.serve.protocols.v2_answers import error_document, model_metadata
from mainspring.serve.questions import Answer, Codec, Question, Takes, Wire

TWO = Takes({"input0": "number", "input1": "number"}, frozenset(("input0", "input1")), "output0", "mymodel", 1_000)
FOUR = Takes(dict.fromkeys("abcd", "number"), frozenset("abcd"), "output0", "mymodel", 1_000)
TEXT = Takes({"name": "string"}, frozenset(("name",)), "output0", "mymodel", 1_000)


def decoded(codec: Codec, body: object, takes: Takes = TWO, **wire: Any) -> Question:  # noqa: ANN401
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return codec.decode(raw, takes, Wire(**wire))


def answer(*scores: float) -> Answer:
    return Answer(
        request_id="p-2013050106-abcdefghijklmnop", model="mymodel", output="output0", release="",
        scores=np.array(scores), versions=[1] * len(scores),
    )  # fmt: skip


def values_of(question: Question) -> list[list[float]]:
    if question.matrix is not None:
        return question.matrix.tolist()  # type: ignore[no-any-return]
    return [list(row) for row in zip(*(tensor.values.tolist() for tensor in question.tensors.values()), strict=True)]


def test_oip_inference_request_and_response_objects() -> None:
    """[OIP] Inference Request JSON Object: id, inputs, outputs; Inference Response JSON Object: the id returned."""
    question = decoded(V2, {
        "id": "42",
        "inputs": [
            {"name": "input0", "shape": [2], "datatype": "UINT32", "data": [1, 2]},
            {"name": "input1", "shape": [2], "datatype": "BOOL", "data": [True, False]},
        ],
        "outputs": [{"name": "output0"}],
    })  # fmt: skip
    assert values_of(question) == [[1, 1], [2, 0]]
    document = json.loads(V2.encode(question, answer(0.5, 0.25)).body)
    assert document["id"] == "42"
    assert document["model_name"] == "mymodel"
    assert document["model_version"] == "1"
    assert document["outputs"] == [{"name": "output0", "datatype": "FP64", "shape": [2], "data": [0.5, 0.25]}]
    assert isinstance(document["parameters"], dict)


@pytest.mark.parametrize(
    "data", [[1.0, 2.0, 4.0, 5.0], [[1.0, 2.0], [4.0, 5.0]]], ids=["flattened", "multi-dimensional"]
)
def test_oip_tensor_data_row_major_flat_or_nested(data: object) -> None:
    """[OIP] Tensor Data: multi-dimensional or flattened, in row-major order."""
    body = {"inputs": [{"name": "input0", "shape": [2, 2], "datatype": "FP32", "data": data}]}
    assert values_of(decoded(V2, body)) == [[1.0, 2.0], [4.0, 5.0]]


SIZES = {
    "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
    "FP16": 2, "FP32": 4, "FP64": 8,
}  # fmt: skip
FORMATS = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i",
    "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip


@pytest.mark.parametrize("datatype", SIZES)
def test_oip_tensor_data_types_in_json_and_in_binary(datatype: str) -> None:
    """[OIP] Tensor Data Types (name and size in bytes); [BIN] little-endian, row major, without padding."""
    given = [True, False] if datatype == "BOOL" else [1, 0]
    body = {"inputs": [{"name": "input0", "shape": [1, 2], "datatype": datatype, "data": given}]}
    assert values_of(decoded(V2, body)) == [[1.0, 0.0]]
    raw = struct.pack(f"<2{FORMATS[datatype]}", *given)
    assert len(raw) == 2 * SIZES[datatype]
    item = {"name": "input0", "shape": [1, 2], "datatype": datatype, "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"model_name": "mymodel", "inputs": [item]}).encode()
    assert values_of(decoded(V2, head + raw, header_length=len(head))) == [[1.0, 0.0]]


def test_bytes_in_json_and_in_binary() -> None:
    """[BIN] an element of BYTES is a 4-byte unsigned integer giving the length, and then the actual bytes."""
    texts = ["h\u00e9", ""]
    body = {"inputs": [{"name": "name", "shape": [2], "datatype": "BYTES", "data": texts}]}
    assert decoded(V2, body, TEXT).tensors["name"].values.tolist() == texts
    raw = b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)
    item = {"name": "name", "shape": [2, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [item]}).encode()
    assert decoded(V2, head + raw, TEXT, header_length=len(head)).tensors["name"].values.tolist() == texts


def test_bin_inputs_in_either_form_and_the_output_in_binary() -> None:
    """[BIN] Examples: one input binary, one JSON; `binary_data` of an output overrides `binary_data_output`."""
    raw = struct.pack("<2I", 1, 2)
    head = json.dumps({
        "model_name": "mymodel",
        "parameters": {"binary_data_output": False},
        "inputs": [
            {"name": "input0", "shape": [2], "datatype": "UINT32", "parameters": {"binary_data_size": len(raw)}},
            {"name": "input1", "shape": [2], "datatype": "UINT32", "data": [3, 4]},
        ],
        "outputs": [{"name": "output0", "parameters": {"binary_data": True}}],
    }).encode()  # fmt: skip
    question = decoded(V2, head + raw, header_length=len(head))
    assert values_of(question) == [[1, 3], [2, 4]]
    encoded = V2.encode(question, answer(0.5, 0.25))
    assert encoded.content_type == "application/octet-stream"
    assert encoded.header_length is not None
    document = json.loads(encoded.body[: encoded.header_length])
    (output,) = document["outputs"]
    assert output == {
        "name": "output0", "datatype": "FP64", "shape": [2], "parameters": {"binary_data_size": 16},
    }  # fmt: skip
    assert struct.unpack("<2d", encoded.body[encoded.header_length :]) == (0.5, 0.25)


def test_bin_a_client_that_names_no_output_asks_for_all_in_binary() -> None:
    """[BIN] `binary_data_output`: what Triton's client sends with no outputs."""
    body = {"parameters": {"binary_data_output": True}, "inputs": [
        {"name": "input0", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]}
    ]}  # fmt: skip
    assert V2.encode(decoded(V2, body), answer(0.5)).header_length


def test_cls_value_and_index_as_text() -> None:
    """[CLS] a BYTES tensor of `<value>:<index>`; this model has one class a row."""
    question = decoded(V2, {
        "inputs": [{"name": "input0", "shape": [2, 2], "datatype": "FP32", "data": [1.0, 2.0, 3.0, 4.0]}],
        "outputs": [{"name": "output0", "parameters": {"classification": 2}}],
    })  # fmt: skip
    (output,) = json.loads(V2.encode(question, answer(0.5, 0.25)).body)["outputs"]
    assert output == {"name": "output0", "datatype": "BYTES", "shape": [2, 1], "data": ["0.5:0", "0.25:0"]}


def test_par_seq_sch_reserved_parameters_change_nothing() -> None:
    """[SEQ] sequence_id, _start, _end; [SCH] priority, timeout; [PAR] the reserved keys and the prefix triton_."""
    for parameters in (
        {"sequence_id": "a", "sequence_start": True, "sequence_end": True}, {"priority": 1, "timeout": 50},
        {"triton_enable_empty_final_response": False, "headers": "x"},
    ):  # fmt: skip
        body = {"parameters": parameters, "inputs": [
            {"name": "input0", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}
        ]}  # fmt: skip
        assert values_of(decoded(V2, body)) == [[1.0, 2.0]]


def test_oip_metadata_and_error_objects() -> None:
    """[OIP] Model Metadata Response: versions are strings, -1 is a variable size; Error: the member `error`."""
    contract = Contract(
        model="mymodel", inputs=(Input(name="a", kind="number"), Input(name="b", kind="string")), output="output0",
        ask={}, definitions={}, limits={}, sample={},
    )  # fmt: skip
    document = model_metadata(contract, [1, 2])
    assert document["versions"] == ["1", "2"]
    assert [tensor["datatype"] for tensor in document["inputs"]] == ["FP64", "BYTES"]
    assert all(tensor["shape"] == [-1] for tensor in document["inputs"] + document["outputs"])
    assert isinstance(document["platform"], str)
    assert isinstance(error_document(BadInput("no", fix="yes"))["error"], str)


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [{"a": 1, "b": 2, "c": 3, "d": 4}]},
        {"instances": [[1.0, 2.0, 3.0, 4.0]]},
        {"signature_name": "serving_default", "instances": [[1.0, 2.0, 3.0, 4.0]]},
    ],
)
def test_v1_predict(body: object) -> None:
    """[TF] Predict API, "Specifying input tensors in row format": a list of objects by input name, or of lists."""
    question = decoded(V1, body, FOUR)
    assert values_of(question) == [[1.0, 2.0, 3.0, 4.0]]
    assert json.loads(V1.encode(question, answer(0.5)).body)["predictions"] == [0.5]


@pytest.mark.parametrize(
    ("data", "form"),
    [
        ({"names": ["a", "b", "c", "d"], "tensor": {"shape": [1, 4], "values": [1, 2, 3, 4]}}, "tensor"),
        ({"ndarray": [[1.0, 2.0, 3.0, 4.0]]}, "ndarray"),
        ({"names": [], "ndarray": [[1.0, 2.0, 3.0, 4.0]]}, "ndarray"),
    ],
)
def test_seldon_message(data: object, form: str) -> None:
    """[SEL] SeldonMessage.data_oneof: DefaultData{names, tensor | ndarray}; the answer has the request's kind."""
    question = decoded(SELDON, {"meta": {"puid": "p1", "tags": {"x": 1}, "routing": {}}, "data": data}, FOUR)
    assert values_of(question) == [[1.0, 2.0, 3.0, 4.0]]
    document = json.loads(SELDON.encode(question, answer(0.5)).body)
    assert document.keys() <= {"status", "meta", "data"}
    assert document["meta"].keys() <= {"puid", "tags", "routing", "requestPath", "metrics"}
    assert document["meta"]["puid"] == "p1"
    assert document["data"].keys() == {"names", form}


@pytest.mark.parametrize("kind", ["jsonData", "strData"])
def test_seldon_other_kinds_are_answered_with_a_tensor(kind: str) -> None:
    """[SEL] the Python wrapper answers numbers with a tensor where the request was not `data`."""
    body = {"jsonData": {"jsonData": [["late"]]}, "strData": {"strData": "late"}}[kind]
    question = decoded(SELDON, body, TEXT)
    assert question.tensors["name"].values.tolist() == ["late"]
    assert json.loads(SELDON.encode(question, answer(0.5)).body)["data"]["tensor"] == {"shape": [1, 1], "values": [0.5]}


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["a", "b", "c", "d"], "index": [0], "data": [[1.0, 2.0, 3.0, 4.0]]}},
        {"dataframe_records": [{"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}]},
        {"instances": [[1.0, 2.0, 3.0, 4.0]]},
        {"instances": [{"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}]},
        {"inputs": {"a": [1.0], "b": [2.0], "c": [3.0], "d": [4.0]}},
        {"inputs": [[1.0, 2.0, 3.0, 4.0]], "params": {}},
    ],
)
def test_mlflow_json_payloads(body: object) -> None:
    """[MLF] "Accepted input formats": the four JSON fields, one of them a request; [PD] columns, index, data."""
    question = decoded(MLFLOW, body, FOUR, content_type="application/json")
    assert values_of(question) == [[1.0, 2.0, 3.0, 4.0]]
    assert json.loads(MLFLOW.encode(question, answer(0.5)).body)["predictions"] == [0.5]


def test_mlflow_csv() -> None:
    """[MLF] text/csv as `DataFrame.to_csv` writes it; a missing number is an empty field."""
    question = decoded(MLFLOW, b"a,b,c,d\n1,2.5,,4\n", FOUR, content_type="text/csv")
    assert np.array_equal(values_of(question), [[1.0, 2.5, np.nan, 4.0]], equal_nan=True)


def test_one_field_a_request() -> None:
    """[MLF] exactly one of the input fields; [TF] row or column format, not both."""
    for codec, body in (
        (MLFLOW, {"inputs": [[1]], "instances": [[1]]}), (MLFLOW, {}), (V1, {"inputs": [[1]], "instances": [[1]]}),
    ):  # fmt: skip
        with pytest.raises(RequestRefused):
            decoded(codec, body, FOUR)
