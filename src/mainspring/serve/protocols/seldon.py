"""Seldon Core's v1 protocol: a SeldonMessage in and out. Pure.

`data.ndarray`, `data.tensor`, `jsonData` (rows, records or columns) and `strData` (a model of one text) are read.
`data.names` must name inputs where it is given: a column is never guessed. Clients parse answers into a protocol buffer
that knows no members but its own, so our ids go where free ones are allowed: `meta.puid` is the client's, or our
request id; `meta.tags` has the prediction ids and versions.
"""

from typing import Any

import msgspec

from mainspring.serve.errors import BadBody, BadInput, BadParameter, BadTensor, RequestRefused, shown
from mainspring.serve.protocols.tabular import Beside, of_any, of_matrix, of_rows, parse_object, plain_rows
from mainspring.serve.protocols.v2_parameters import checked_id
from mainspring.serve.questions import Answer, Codec, Encoded, Question, Takes, Wire

NDARRAY, TENSOR = "ndarray", "tensor"
_KINDS = ("data", "jsonData", "strData", "binData", "customData")
_MEMBERS = frozenset((*_KINDS, "meta", "status"))
_META = frozenset(("puid", "tags", "routing", "requestPath", "metrics"))
_TAGS = frozenset(("keys", "asked_at"))
_DATA = frozenset(("names", NDARRAY, TENSOR, "tftensor"))
_DATA_MEMBER = ("data",)
_RANK = 2
_NUMBERS: frozenset[type] = frozenset({int, float, type(None)})
_encoder = msgspec.json.Encoder()


def decode(body: bytes, takes: Takes, wire: Wire) -> Question:
    """Return the question of a SeldonMessage, or raise a `RequestRefused`."""
    matrix = plain_rows(body, _DATA_MEMBER, takes, NDARRAY)
    if matrix is not None:
        return of_matrix(matrix, Beside(form=NDARRAY))
    message = parse_object(body, "SeldonMessage")
    unknown = sorted(message.keys() - _MEMBERS)
    if unknown:
        raise BadBody(f"member {shown(unknown[0])} is unknown", fix=f"send one of {', '.join(_KINDS[:3])}")
    given = [kind for kind in _KINDS if kind in message]
    if len(given) != 1:
        raise BadBody(f"{len(given)} kinds of data", fix=f"send exactly one of {', '.join(_KINDS[:3])}")
    kind, value = given[0], message[given[0]]
    if kind == "data":
        return _of_data(value, takes, _beside(message, _data_form(value)))
    beside = _beside(message, TENSOR)
    if kind == "jsonData":
        return of_any(value, takes, beside)
    if kind == "strData":
        if not isinstance(value, str) or not takes.textual or len(takes.inputs) != 1:
            raise BadInput("strData is for a model of one text", fix="send data or jsonData")
        return of_any([value], takes, beside)
    raise BadInput(f"{kind} is not tabular", fix="send data or jsonData")


def encode(question: Question, answer: Answer) -> Encoded:
    """Return a SeldonMessage with one column of scores, as tensor or ndarray as it was asked."""
    scores: list[float] = answer.scores.tolist()
    rows = len(scores)
    data: dict[str, Any] = {"names": [answer.output]}
    if question.form == NDARRAY:
        data[NDARRAY] = [[score] for score in scores]
    else:
        data[TENSOR] = {"shape": [rows, 1], "values": scores}
    tags = {
        "model_name": answer.model, "model_version": str(answer.versions[0]), "versions": answer.versions,
        "prediction_ids": [f"{answer.request_id}.{row}" for row in range(rows)],
    }  # fmt: skip
    return Encoded(_encoder.encode({"meta": {"puid": question.id or answer.request_id, "tags": tags}, "data": data}))


def error_status(error: RequestRefused) -> dict[str, Any]:
    """Return the `status` that Seldon's clients read, to stand beside our own members of an error document."""
    return {"code": error.status, "info": error.what, "reason": error.code, "status": "FAILURE"}


def _beside(message: dict[str, Any], form: str) -> Beside:
    meta = message.get("meta") or {}
    if not isinstance(meta, dict) or not meta.keys() <= _META:
        raise BadBody("meta is not an object of Seldon's members", fix=f"send {', '.join(sorted(_META))}, or no meta")
    puid, tags = meta.get("puid") or "", meta.get("tags") or {}
    if not isinstance(puid, str) or not isinstance(tags, dict):
        raise BadBody("meta.puid is no text, or meta.tags no object", fix="send a string and an object")
    for name in _TAGS & tags.keys():
        if not isinstance(tags[name], str | list):
            raise BadParameter(f"tag {name} is not a list", fix="send one value a row")
    return Beside(id=checked_id(puid) if puid else "", form=form, keys=tags.get("keys"), asked_at=tags.get("asked_at"))


def _data_form(data: object) -> str:
    if not isinstance(data, dict) or not data.keys() <= _DATA:
        raise BadBody("data is not {names, ndarray or tensor}", fix="send data.ndarray or data.tensor")
    given = [form for form in (NDARRAY, TENSOR, "tftensor") if form in data]
    if len(given) != 1 or given[0] == "tftensor":
        raise BadBody(f"data holds {', '.join(given) or 'nothing'}", fix="send either data.ndarray or data.tensor")
    return given[0]


def _of_data(data: dict[str, Any], takes: Takes, beside: Beside) -> Question:
    names = data.get("names") or None
    if names is not None and (not isinstance(names, list) or not all(type(name) is str for name in names)):
        raise BadBody("data.names is not a list of names", fix="name every column, or leave names out")
    if names is not None and len(set(names)) != len(names):
        raise BadInput("data.names names a column twice", fix="name each column once")
    if beside.form == TENSOR:
        return of_rows(_tensor_rows(data[TENSOR]), takes, beside, names)
    rows = data[NDARRAY]
    if isinstance(rows, list) and rows and not isinstance(rows[0], list | dict) and len(takes.inputs) == 1:
        rows = [[value] for value in rows]
    if not isinstance(rows, list):
        raise BadBody("data.ndarray is not a list", fix="send a list of rows")
    return of_rows(rows, takes, beside, names)


def _tensor_rows(tensor: object) -> list[Any]:
    if not isinstance(tensor, dict) or tensor.keys() != {"shape", "values"}:
        raise BadBody("data.tensor is not {shape, values}", fix="send a shape [n, k] and n * k values")
    shape, values = tensor["shape"], tensor["values"]
    if not isinstance(shape, list) or not isinstance(values, list) or not all(type(size) is int for size in shape):
        raise BadTensor("data.tensor is not {shape, values}", fix="send a shape [n, k] and n * k values")
    if not 1 <= len(shape) <= _RANK or min(shape) < 1 or shape[0] * shape[-1] ** (len(shape) - 1) != len(values):
        raise BadTensor(f"data.tensor has {len(values)} values for {shown(shape[:9])}", fix="send a shape [n, k]")
    if not _NUMBERS.issuperset(map(type, values)):
        raise BadTensor("data.tensor holds what is no number", fix="send numbers, or data.ndarray")
    width = shape[1] if len(shape) == _RANK else 1
    return [values[at : at + width] for at in range(0, len(values), width)]


SELDON = Codec("seldon", decode, encode)
