"""Write Open Inference Protocol (V2) documents: infer answers, metadata, errors. Pure; always strict JSON."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from mainspring.kernel.contract import Contract
from mainspring.serve.errors import RequestRefused
from mainspring.serve.ports import EngineName
from mainspring.serve.questions import Answer, Encoded, Question
from mainspring.serve.tensors import to_bytes
from mainspring.stats.columns import Array

EXTENSIONS = ("binary_tensor_data", "classification")  # of the public port; the repository is on the admin port
_PLATFORMS: Mapping[EngineName, str] = {
    "compiled trees": "mainspring_onnxv1", "onnxruntime": "onnx_onnxv1", "python process": "sklearn_skops",
}  # fmt: skip
_encoder = msgspec.json.Encoder()
_USUAL_ROWS = 1_000  # of a request whose parts are kept for the next one of that size


class ResponseOutput(msgspec.Struct):
    """The output: data, or in parameters the size of its binary form."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float | str] | msgspec.UnsetType = msgspec.UNSET
    parameters: dict[str, int] | msgspec.UnsetType = msgspec.UNSET


class ResponseParameters(msgspec.Struct):
    """What labels and lineage need, one a row: a list of ids and one of version numbers, as JSON."""

    prediction_ids: msgspec.Raw
    versions: msgspec.Raw


class Response(msgspec.Struct):
    """A V2 infer answer."""

    model_name: str
    model_version: str
    parameters: ResponseParameters
    outputs: list[ResponseOutput]
    id: str | msgspec.UnsetType = msgspec.UNSET


def encode(question: Question, answer: Answer) -> Encoded:
    """Return the V2 answer, with its output as JSON or binary as the question asked.

    `parameters.prediction_ids` and `parameters.versions` have one value a row. `model_version` is the version of every
    row, or of the first row where two versions shared the request.
    """
    versions, name = answer.versions, answer.request_id
    rows = len(versions)
    output = ResponseOutput(answer.output, "FP64", [rows])
    usual = rows <= _USUAL_ROWS and versions.count(versions[0]) == rows
    each = listed_versions(versions[0], rows) if usual else _encoder.encode(versions)
    told = ResponseParameters(msgspec.Raw(listed_ids(name, rows)), msgspec.Raw(each))
    document = Response(answer.model, str(versions[0]), told, [output])
    if question.id:
        document.id = question.id
    scores: Array = answer.scores
    if question.form:
        scores = np.array([f"{score!r}:0" for score in scores.tolist()], dtype=object)
        output.datatype, output.shape = "BYTES", [rows, 1]
    if not question.binary:
        output.data = scores.tolist()
        return Encoded(_encoder.encode(document))
    raw = to_bytes(scores)
    output.parameters = {"binary_data_size": len(raw)}
    head = _encoder.encode(document)
    return Encoded(head + raw, "application/octet-stream", len(head))


def listed_ids(name: str, rows: int) -> bytes:
    """Return the list of a request's prediction ids; our ids need no escapes."""
    around = _around(rows) if rows <= _USUAL_ROWS else _around.__wrapped__(rows)
    return name.join(around).encode()


@lru_cache(maxsize=64)
def _around(rows: int) -> list[str]:
    """Return the text before, between and behind the names of a list of prediction ids."""
    return ['["', *(f'.{row}","' for row in range(rows - 1)), f'.{rows - 1}"]']


@lru_cache(maxsize=64)
def listed_versions(version: int, rows: int) -> bytes:
    """Return a list of one version for every row."""
    return _encoder.encode([version] * rows)


def model_metadata(contract: Contract, versions: Sequence[int], engine: EngineName = "onnxruntime") -> dict[str, Any]:
    """Return the V2 model metadata document; its platform is `<project>_<format>`: what answers, and from what file."""
    datatypes = {"number": "FP64", "string": "BYTES"}
    return {
        "name": contract.model,
        "versions": [str(version) for version in versions],
        "platform": _PLATFORMS[engine],
        "inputs": [{"name": i.name, "datatype": datatypes[i.kind], "shape": [-1]} for i in contract.inputs],
        "outputs": [{"name": contract.output, "datatype": "FP64", "shape": [-1]}],
    }


def error_document(error: RequestRefused) -> dict[str, str]:
    """Return the V2 error document; `error` is the protocol's, `code` and `fix` are ours."""
    return {"error": error.what, "code": error.code, "fix": error.fix}


def infer_request(tensors: dict[str, "np.ndarray[Any, Any]"], *, binary_output: bool = True) -> tuple[bytes, int]:
    """Return (body, header length) of a binary request: float64, int64 or object columns of one length.

    Missing strings travel as the input parameter `nulls`.
    """
    inputs, parts = [], []
    for name, values in tensors.items():
        raw = to_bytes(values)
        parameters: dict[str, Any] = {"binary_data_size": len(raw)}
        if values.dtype == object and (nulls := [row for row, value in enumerate(values) if value is None]):
            parameters["nulls"] = nulls
        inputs.append({
            "name": name, "shape": [len(values)], "datatype": _DATATYPES[values.dtype.kind], "parameters": parameters,
        })  # fmt: skip
        parts.append(raw)
    head = _encoder.encode({"inputs": inputs, "parameters": {"binary_data_output": binary_output}})
    return b"".join((head, *parts)), len(head)


_DATATYPES = {"f": "FP64", "i": "INT64", "O": "BYTES"}
