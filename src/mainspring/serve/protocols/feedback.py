"""Labels by prediction id: one or many in, one result each out; a bad one among good ones fails alone. Pure.

Ours: `{"prediction_id", "value", "known_at"?}`, or `{"labels": [...]}` of them. Seldon's: the `response` as it was
answered (its `meta.tags.prediction_ids`, or a `meta.puid` that is our request id) and the `truth`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from mainspring.kernel.errors import InvalidValue, MainspringError
from mainspring.kernel.ids import hour_of, split_prediction_id
from mainspring.kernel.times import DAY, parse_time
from mainspring.serve.errors import BadBody, BadInput, TooLarge, shown
from mainspring.serve.ports import PostedLabel
from mainspring.serve.protocols.tabular import parse_object

MAX_LABELS = 10_000
_LATEST = 253_402_300_799_999_999  # the last microsecond of year 9999
_FIELDS = frozenset(("prediction_id", "value", "known_at"))
_FEEDBACK = frozenset(("request", "response", "reward", "truth"))
_SHOWN_RESULTS = 20
_encoder = msgspec.json.Encoder()


class Judged(msgspec.Struct, omit_defaults=True):
    """What became of one label: `error`, `code` and `fix` say why it was not accepted."""

    prediction_id: str
    accepted: bool
    error: str = ""
    code: str = ""
    fix: str = ""


class Received(msgspec.Struct):
    """The answer to posted labels: how many were accepted and refused, and one result each, in their order."""

    accepted: int
    refused: int
    results: list[Judged]


class Posting(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """One label as it is posted; `known_at`: ISO 8601 with a zone, or UTC microseconds. Documents the form."""

    prediction_id: str
    value: int | float | bool
    known_at: str | int | None = None


class Postings(msgspec.Struct, forbid_unknown_fields=True):
    """Many labels, 1 to 10,000."""

    labels: list[Posting]


@dataclass(frozen=True, slots=True)
class Batch:
    """Labels to keep, and the results of all."""

    good: Sequence[PostedLabel]
    results: list[Judged]


def decode(body: bytes, now: int) -> Batch:
    """Return the labels of our own form; raises `BadBody` or `TooLarge` for the whole, never for one label."""
    document = parse_object(body, "label")
    if "labels" not in document:
        return _judged([document], now)
    labels = document["labels"]
    if len(document) != 1 or not isinstance(labels, list) or not labels:
        raise BadBody("labels is not the only member, or no list of labels", fix='send {"labels": [...]}')
    return _judged(labels, now)


def encode(batch: Batch) -> bytes:
    """Return the per-item results."""
    good = len(batch.good)
    return _encoder.encode(Received(good, len(batch.results) - good, batch.results))


def decode_seldon(body: bytes, now: int) -> Batch:
    """Return the labels of Seldon's Feedback message, a truth a prediction id."""
    message = parse_object(body, "Feedback")
    unknown = sorted(message.keys() - _FEEDBACK)
    if unknown:
        raise BadBody(f"member {shown(unknown[0])} is unknown", fix="send response and truth")
    if "truth" not in message:
        raise BadBody("there is no truth; a reward alone is no label", fix="send truth.data with 0 or 1 a prediction")
    truth = _truth(message["truth"])
    names = _names(message.get("response"), len(truth))
    if len(names) != len(truth):
        raise BadInput(f"{len(truth)} truths for {len(names)} predictions", fix="send one truth a prediction")
    pairs = zip(names, truth, strict=True)
    return _judged([{"prediction_id": name, "value": value} for name, value in pairs], now)


def encode_seldon(batch: Batch) -> bytes:
    """Return a SeldonMessage: its `status`, and the results in `meta.tags`."""
    good = len(batch.good)
    refused = [result for result in batch.results if not result.accepted]
    status = {"code": 200, "info": f"{good} accepted, {len(refused)} refused", "status": "SUCCESS"}
    tags = {"accepted": good, "refused": [[r.prediction_id, r.error] for r in refused[:_SHOWN_RESULTS]]}
    return _encoder.encode({"status": status, "meta": {"tags": tags}})


def _judged(labels: list[Any], now: int) -> Batch:
    if len(labels) > MAX_LABELS:
        raise TooLarge(f"{len(labels)} labels", fix=f"send at most {MAX_LABELS} labels a call")
    good, results = [], []
    for raw in labels:
        name = raw.get("prediction_id") if isinstance(raw, dict) else None
        told = name[:80] if isinstance(name, str) else ""
        try:
            label = _label(raw, now)
        except MainspringError as error:
            results.append(Judged(told, False, error.what[:200], error.code, error.fix))
        else:
            good.append(label)
            results.append(Judged(label.prediction_id, True))
    return Batch(good, results)


def _label(raw: object, now: int) -> PostedLabel:
    if not isinstance(raw, dict) or not raw.keys() <= _FIELDS:
        raise BadInput("a label is not {prediction_id, value, known_at}", fix="send these members alone")
    name = raw.get("prediction_id")
    if not isinstance(name, str):
        raise BadInput("prediction_id is no text", fix="copy it from the answer")
    request, row = split_prediction_id(name)
    if hour_of(request) > now + DAY:
        raise InvalidValue("prediction_id is of an hour to come", fix="copy it from the answer")
    value = raw.get("value")
    if type(value) not in (int, float, bool) or value not in (0, 1):
        raise BadInput(f"value {shown(value)} is neither 0 nor 1", fix="this model's target is binary")
    return PostedLabel(
        prediction_id=f"{request}.{row}",
        value=float(value),
        known_at=_known_at(raw.get("known_at"), now),
        posted_at=now,
    )


def _known_at(raw: object, now: int) -> int:
    if raw is None:
        return now
    if type(raw) is not int and not isinstance(raw, str):
        raise BadInput("known_at is not a time", fix="send ISO 8601 with a zone, or UTC microseconds")
    try:
        known_at = raw if isinstance(raw, int) else parse_time(raw)
    except OverflowError:
        known_at = -1
    if not 0 < known_at <= min(now + DAY, _LATEST):
        raise BadInput(f"known_at {shown(raw)} is not between 1970 and now", fix="check it; leave it out for now")
    return known_at


def _truth(message: object) -> list[Any]:
    data = message.get("data") if isinstance(message, dict) else None
    if not isinstance(data, dict):
        raise BadBody("truth has no data", fix="send truth.data.ndarray or truth.data.tensor")
    values = data.get("ndarray")
    tensor = data.get("tensor")
    if isinstance(tensor, dict) and values is None:
        values = tensor.get("values")
    if not isinstance(values, list) or not values:
        raise BadBody("truth.data holds no values", fix="send truth.data.ndarray or truth.data.tensor")
    return [value[0] if isinstance(value, list) and len(value) == 1 else value for value in values]


def _names(response: object, count: int) -> list[Any]:
    meta = response.get("meta") if isinstance(response, dict) else None
    if not isinstance(meta, dict):
        raise BadBody("response has no meta", fix="send the response as it was answered")
    tags = meta.get("tags")
    names = tags.get("prediction_ids") if isinstance(tags, Mapping) else None
    if isinstance(names, list) and names:
        return names
    puid = meta.get("puid")
    if not isinstance(puid, str):
        raise BadBody("response.meta names no prediction", fix="send the response as it was answered")
    return [puid] if "." in puid else [f"{puid}.{row}" for row in range(min(count, MAX_LABELS + 1))]
