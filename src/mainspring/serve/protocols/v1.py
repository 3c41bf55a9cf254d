"""KServe's V1 protocol (TensorFlow's predict API): `{"instances": [...]}` in, `{"predictions": [...]}` out. Pure.

An instance is an object by input name, a list in the contract's order, or a bare value where a model has one input.
`inputs` may stand for `instances`, as KServe takes it. Our ids come beside `predictions`, where clients do not look.
"""

from typing import Any

import msgspec

from mainspring.serve.errors import BadBody, BadParameter, shown
from mainspring.serve.protocols.tabular import Beside, of_any, of_matrix, parse_object, plain_rows
from mainspring.serve.protocols.v2_parameters import of_request
from mainspring.serve.questions import Answer, Codec, Encoded, Explanation, Question, Takes, Wire

_ROWS = ("instances", "inputs")
_MEMBERS = frozenset(("instances", "inputs", "parameters", "signature_name"))
_encoder = msgspec.json.Encoder()


class Ids(msgspec.Struct):
    """What labels and lineage need, one a row."""

    prediction_ids: list[str]
    versions: list[int]


class Predictions(msgspec.Struct):
    """Scores, one a row; clients read `predictions` alone."""

    predictions: list[float]
    model_name: str
    model_version: str
    parameters: Ids


def decode(body: bytes, takes: Takes, wire: Wire) -> Question:
    """Return the question in `body`, or raise a `RequestRefused`; `wire` says nothing that V1 needs."""
    matrix = plain_rows(body, _ROWS, takes)
    if matrix is not None:
        return of_matrix(matrix)
    document = parse_object(body, "V1")
    unknown = sorted(document.keys() - _MEMBERS)
    if unknown:
        raise BadBody(f"member {shown(unknown[0])} is unknown", fix="send instances, perhaps with parameters")
    if ("instances" in document) == ("inputs" in document):
        raise BadBody("neither instances nor inputs, or both", fix='send {"instances": [...]}')
    rows = document.get("instances", document.get("inputs"))
    if not isinstance(rows, list):
        raise BadBody("instances is not a list", fix='send {"instances": [...]}')
    return of_any(rows, takes, beside(document.get("parameters")))


def beside(parameters: object) -> Beside:
    """Return the keys and times that parameters name; refuse parameters that nobody knows."""
    if parameters is None:
        return Beside()
    if not isinstance(parameters, dict):
        raise BadParameter("parameters is not an object", fix="send an object, or leave it out")
    known = of_request(parameters)
    return Beside(keys=known.get("keys"), asked_at=known.get("asked_at"))


def encode(question: Question, answer: Answer) -> Encoded:
    """Return `{"predictions": [...]}` with our ids beside; the question's form does not matter."""
    return Encoded(_encoder.encode(Predictions(answer.scores.tolist(), *_named(answer))))


def encode_explanation(model: str, version: int, found: Explanation) -> Encoded:
    """Return one object a row: the score, the base value, and what each input added to it, in `unit`."""
    rows: list[dict[str, Any]] = [
        {"score": base + sum(row), "base": base, "attributions": dict(zip(found.inputs, row, strict=True))}
        for base, row in zip(found.base.tolist(), found.values.tolist(), strict=True)
    ]
    return Encoded(_encoder.encode({
        "explanations": rows, "method": found.method, "unit": found.unit, "model_name": model,
        "model_version": str(version),
    }))  # fmt: skip


def _named(answer: Answer) -> tuple[str, str, Ids]:
    ids = [f"{answer.request_id}.{row}" for row in range(len(answer.versions))]
    return answer.model, str(answer.versions[0]), Ids(ids, answer.versions)


V1 = Codec("v1", decode, encode)
