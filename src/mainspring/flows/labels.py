"""Take in what came true: labels by prediction id, or by key and time; good ones are kept, bad ones named.

A label ends as (key, asked_at) -> value, known_at, however it came. A label for a question that nobody asked, a value
that is not 0 or 1, or a time before its question is refused by itself; the rest of the batch is kept.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mainspring.kernel.errors import InvalidValue, MainspringError
from mainspring.kernel.ids import split_prediction_id
from mainspring.kernel.records import Label, LoggedRequest
from mainspring.kernel.times import DAY, parse_time

MAX_ROWS = 1_000_000
_BATCH = 10_000
_FUTURE = DAY
_REQUESTS = 64
_MAX_KEY = 1_000
_YEAR_10000 = 253_402_300_800_000_000


class BadLabels(MainspringError):
    """A label file cannot be read as labels at all."""

    code = "labels.invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLabel:
    """One label that was not kept: its place in the batch (from 1), why, and the error's code."""

    row: int
    what: str
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """What became of a batch."""

    kept: int
    refused: tuple[RefusedLabel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPorts:
    """find: the logged request of a prediction id. add: keeps labels durably.

    key: what stands in the log for an ask key: a keyed hash where keys are personal, "" where the log has none.
    """

    find: Callable[[str], LoggedRequest]
    add: Callable[[Sequence[Label]], object]
    key: Callable[[str], str] = str


def add_labels(rows: Iterable[Mapping[str, Any]], ports: LabelPorts, *, now: int) -> Labelled:
    """Keep every good label of `rows`: {prediction_id | key and asked_at, value, known_at (default: now)}."""
    kept, refused, waiting = 0, [], []
    ports = replace(ports, find=lru_cache(maxsize=_REQUESTS)(ports.find))
    for place, raw in enumerate(rows, start=1):
        try:
            waiting.append(_label(raw, ports, now))
        except MainspringError as error:
            refused.append(RefusedLabel(row=place, what=error.what, code=error.code))
        if len(waiting) == _BATCH:
            ports.add(waiting)
            kept, waiting = kept + len(waiting), []
    if waiting:
        ports.add(waiting)
    return Labelled(kept=kept + len(waiting), refused=tuple(refused))


def read_label_file(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a CSV (with a header) or JSON-lines file; raises `BadLabels`."""
    if path.suffix not in (".csv", ".jsonl"):
        raise BadLabels(
            f"{path.name} is neither .csv nor .jsonl", fix="one label a line: CSV with a header, or JSON lines"
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = (line for line in stream if line.strip())
            rows: Iterable[Mapping[str, Any]] = csv.DictReader(stream) if path.suffix == ".csv" else map(_object, lines)
            for place, row in enumerate(rows, start=1):
                if place > MAX_ROWS:
                    raise BadLabels(f"{path.name} has more than {MAX_ROWS} labels", fix="split the file")
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadLabels(f"{path.name} cannot be read: {error}", fix="give UTF-8 CSV or JSON lines") from error


def _object(line: str) -> Mapping[str, Any]:
    """Return the object of a JSON line; any other line is an empty one, which is refused by its place."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _label(raw: Mapping[str, Any], ports: LabelPorts, now: int) -> Label:
    key, asked_at = _question(raw, ports)
    known_at = now if raw.get("known_at") in (None, "") else _time(raw["known_at"])
    if known_at < asked_at:
        raise InvalidValue("known before it was asked", fix="check known_at")
    if known_at > now + _FUTURE:
        raise InvalidValue("known in the future", fix="check known_at")
    return Label(key=key, asked_at=asked_at, value=_value(raw.get("value")), known_at=known_at)


def _question(raw: Mapping[str, Any], ports: LabelPorts) -> tuple[str, int]:
    if raw.get("prediction_id"):
        name = str(raw["prediction_id"])
        request, row = split_prediction_id(name)
        logged = ports.find(request)
        if row >= len(logged.keys):
            raise InvalidValue(f"{name} names no row of its request", fix="rows count from 0")
        key = logged.keys[row] or f"{logged.request_id}.{row}"
        return key, int(np.frombuffer(logged.asked_at, "<i8")[row])
    if raw.get("key") in (None, "") or raw.get("asked_at") in (None, ""):
        raise InvalidValue("a label names no question", fix="give prediction_id, or key and asked_at")
    key = ports.key(_key(raw["key"]))
    if not key:
        raise InvalidValue("the log holds no keys", fix="give prediction_id; keys are personal data here")
    return key, _time(raw["asked_at"])


def _key(raw: object) -> str:
    text = raw if isinstance(raw, str) else str(raw) if type(raw) is int else ""
    if not 0 < len(text) <= _MAX_KEY or any(letter < " " for letter in text):
        raise InvalidValue("a label's key is no text of one line", fix=f"give text of at most {_MAX_KEY} characters")
    return text


def _value(raw: object) -> float:
    try:
        value = float(raw)  # type: ignore[arg-type]  # what is no number is refused below
    except (TypeError, ValueError, OverflowError):
        value = float("nan")
    if value not in (0.0, 1.0):
        raise InvalidValue(f"value {str(raw)[:40]!r} is neither 0 nor 1", fix="this model's target is binary")
    return value


def _time(raw: object) -> int:
    found = raw if isinstance(raw, int) and not isinstance(raw, bool) else parse_time(str(raw))
    if not 0 <= found < _YEAR_10000:
        raise InvalidValue("a time before 1970 or after 9999", fix="give ISO 8601, or UTC microseconds since 1970")
    return found
