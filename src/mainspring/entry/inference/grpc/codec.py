"""gRPC infer messages to questions, and answers to messages. The V2 codec judges; this fills its request.

Beside the typed contents, `raw_input_contents` carries a tensor's little-endian values (BYTES: a 4-byte length
before each); then the answer comes as `raw_output_contents`. Parameters are single values here, so `keys` and times
come as the tensors `@key` and `@asked_at`, and `prediction_ids` and `versions` of the answer are texts with commas.
"""

from typing import Any

import numpy as np
from msgspec import UNSET

from mainspring.entry.inference.grpc.messages import message
from mainspring.serve.errors import BadBody, BadTensor, shown
from mainspring.serve.protocols.v2 import question_of
from mainspring.serve.protocols.v2_requests import MAX_INPUTS, Input, Output, Request
from mainspring.serve.questions import Answer, Codec, Encoded, Question, Takes, Wire
from mainspring.serve.tensors import to_bytes
from mainspring.stats.columns import Array

InferRequest: Any = message("inference.ModelInferRequest")
_Response: Any = message("inference.ModelInferResponse")
_FIELDS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
_CONTENTS = tuple(sorted(set(_FIELDS.values())))
_FLOATS = ("FP32", "FP64")
_RAW_ONLY = ("FP16", "BF16")


def codec_of(request: Any) -> Codec:  # noqa: ANN401 - a protobuf message
    """Return the codec of one parsed request; the body that it is given is not read again."""
    raw = bool(request.raw_input_contents)

    def decode(_: bytes, takes: Takes, wire: Wire) -> Question:
        del wire
        return question_of(_filled(request), takes)

    return Codec("v2-grpc", decode, lambda question, answer: _encoded(question, answer, raw))


def _filled(request: Any) -> Request[Any]:  # noqa: ANN401 - a protobuf message
    raw = request.raw_input_contents
    if not 0 < len(request.inputs) <= MAX_INPUTS:
        raise BadBody(f"{len(request.inputs)} inputs", fix=f"send 1 to {MAX_INPUTS} inputs")
    if raw and len(raw) != len(request.inputs):
        raise BadBody(f"{len(raw)} raw contents for {len(request.inputs)} inputs", fix="send one for each input")
    inputs = [
        Input(
            item.name, list(item.shape), item.datatype, _data(item, raw[at] if raw else None), _plain(item.parameters)
        )
        for at, item in enumerate(request.inputs)
    ]
    outputs = [Output(item.name, _plain(item.parameters)) for item in request.outputs] or UNSET
    return Request(inputs, request.id or UNSET, _plain(request.parameters), outputs)


def _data(item: Any, raw: bytes | None) -> Any:  # noqa: ANN401 - a protobuf message in, what `Input.data` holds out
    contents, field = item.contents, _FIELDS.get(item.datatype, "")
    present = {name for name in _CONTENTS if getattr(contents, name)} if item.HasField("contents") else set()
    if raw is not None:
        if present:
            raise BadTensor(f"tensor {shown(item.name)} has raw and typed contents", fix="send one of them")
        return memoryview(raw)
    if item.datatype in _RAW_ONLY:
        raise BadTensor(f"tensor {shown(item.name)}: {item.datatype} has no typed contents", fix="send it raw")
    if present - {field}:
        raise BadTensor(f"tensor {shown(item.name)} has contents of another type", fix="send those of its datatype")
    values = getattr(contents, field, ())
    if item.datatype in _FLOATS:
        return _finite(item.name, np.array(values, dtype=np.float64))
    return _texts(item.name, values) if item.datatype == "BYTES" else list(values)


def _finite(name: str, values: Array) -> Array:
    if np.isinf(values).any():
        raise BadTensor(f"tensor {shown(name)} holds an infinite number", fix="send a finite number, NaN if missing")
    return values


def _texts(name: str, values: Any) -> list[str]:  # noqa: ANN401 - a repeated field
    try:
        return [value.decode("utf-8") for value in values]
    except UnicodeDecodeError:
        raise BadTensor(f"tensor {shown(name)} is not UTF-8 text", fix="send UTF-8") from None


def _plain(parameters: Any) -> Any:  # noqa: ANN401 - a map field in, plain values out
    if not parameters:
        return UNSET
    return {
        name: getattr(value, value.WhichOneof("parameter_choice") or "bool_param") for name, value in parameters.items()
    }


def _encoded(question: Question, answer: Answer, raw: bool) -> Encoded:
    versions, rows = answer.versions, len(answer.versions)
    found = _Response(model_name=answer.model, model_version=str(versions[0]), id=question.id)
    found.parameters["prediction_ids"].string_param = ",".join(f"{answer.request_id}.{row}" for row in range(rows))
    found.parameters["versions"].string_param = ",".join(map(str, versions))
    output = found.outputs.add(name=answer.output, datatype="FP64", shape=[rows])
    values: Array = answer.scores
    if question.form:
        values = np.array([f"{score!r}:0" for score in answer.scores.tolist()], dtype=object)
        output.datatype, output.shape[:] = "BYTES", [rows, 1]
    if raw or question.binary:
        found.raw_output_contents.append(to_bytes(values))
    elif question.form:
        output.contents.bytes_contents.extend(text.encode() for text in values)
    else:
        output.contents.fp64_contents.extend(values.tolist())
    return Encoded(found.SerializeToString(), "application/grpc")
