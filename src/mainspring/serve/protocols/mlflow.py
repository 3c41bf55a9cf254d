"""MLflow's scoring server (`/invocations`): data frames, tensors and CSV in, `{"predictions": [...]}` out. Pure.

Exactly one of `dataframe_split`, `dataframe_records`, `instances` and `inputs`, perhaps with `params`; or text/csv with
a header line. `predictions` is what MLflow's own client reads; our ids stand beside it.
"""

import csv
import io
import re
from typing import Any

from mainspring.serve.errors import BadBody, BadInput, BadTensor, shown
from mainspring.serve.protocols import v1
from mainspring.serve.protocols.tabular import (
    MAX_COLUMNS,
    Beside,
    of_any,
    of_columns,
    of_matrix,
    of_records,
    of_rows,
    parse_object,
    plain_rows,
)
from mainspring.serve.questions import Codec, Question, Takes, Wire
from mainspring.serve.tensors import MAX_TEXT

_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_SPLIT = frozenset(("columns", "data", "index"))
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")
_MISSING = frozenset(("", "nan", "NaN", "NA", "null"))
_ROWS = ("inputs", "instances")
_CSV = "text/csv"
_LONG = 40


def decode(body: bytes, takes: Takes, wire: Wire) -> Question:
    """Return the question in `body`, JSON or (by its content type) CSV, or raise a `RequestRefused`."""
    if wire.content_type == _CSV:
        return _of_csv(body, takes)
    matrix = plain_rows(body, _ROWS, takes)
    if matrix is not None:
        return of_matrix(matrix)
    document = parse_object(body, "MLflow")
    given = [name for name in _FORMS if name in document]
    unknown = sorted(document.keys() - {*_FORMS, "params"})
    if len(given) != 1 or unknown:
        found = shown(unknown[0]) if unknown else f"{len(given)} of them"
        raise BadBody(f"not one input field but {found}", fix=f"send exactly one of {', '.join(_FORMS)}")
    beside = v1.beside(document.get("params"))
    values = document[given[0]]
    if given[0] == "dataframe_split":
        return _of_split(values, takes, beside)
    if given[0] == "dataframe_records":
        if not isinstance(values, list) or not values or not all(isinstance(row, dict) for row in values):
            raise BadBody("dataframe_records is not a list of objects", fix="send one object a row")
        return of_records(values, takes, beside)
    if given[0] == "instances" and not isinstance(values, list):
        raise BadBody("instances is not a list", fix="send a list of rows")
    return of_any(values, takes, beside)


def _of_split(frame: object, takes: Takes, beside: Beside) -> Question:
    if not isinstance(frame, dict) or not frame.keys() <= _SPLIT or not isinstance(frame.get("data"), list):
        raise BadBody("dataframe_split is not {columns, data}", fix="send DataFrame.to_dict(orient='split')")
    columns = frame.get("columns")
    if columns is None or columns == list(range(len(takes.inputs))):  # an unnamed frame numbers its columns
        return of_rows(frame["data"], takes, beside)
    if not isinstance(columns, list) or not all(type(name) is str for name in columns):
        raise BadBody("columns is not a list of names", fix="name every column")
    return of_rows(frame["data"], takes, beside, _unique(columns))


def _unique(names: list[str]) -> list[str]:
    if not 0 < len(names) <= MAX_COLUMNS:
        raise BadBody(f"{len(names)} columns", fix=f"send 1 to {MAX_COLUMNS}")
    if len(set(names)) != len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise BadInput(f"column {shown(twice)} is given twice", fix="send each column once")
    return names


def _of_csv(body: bytes, takes: Takes) -> Question:
    try:
        text = body.decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadBody(f"not CSV: {str(error)[:200]}", fix="send UTF-8 as DataFrame.to_csv(index=False) does") from None
    if not rows or "\0" in text:
        raise BadBody("not CSV: no header line, or a NUL", fix="send UTF-8 as DataFrame.to_csv(index=False) does")
    names = rows[0]
    start = 1 if names[:1] == [""] else 0  # the index that to_csv writes by default
    _unique(names[start:])
    for place, row in enumerate(rows[1:], start=1):
        if len(row) != len(names):
            raise BadTensor(f"line {place} has {len(row)} values, not {len(names)}", fix="send lines of one length")
    columns: dict[str, Any] = {
        name: [_cell(row[at], name, takes) for row in rows[1:]] for at, name in enumerate(names) if at >= start
    }
    return of_columns(columns, takes)


def _cell(text: str, name: str, takes: Takes) -> float | int | str | None:
    """Return a cell by its column's kind; an empty one is missing, and a text is never anything but text."""
    kind = takes.inputs.get(name)
    if kind == "string" or (kind is None and not _NUMBER.fullmatch(text)):
        if len(text) > MAX_TEXT:
            raise BadTensor(f"column {shown(name)} holds a text above {MAX_TEXT} characters", fix="send less")
        return text or None
    if text in _MISSING:
        return None
    if not _NUMBER.fullmatch(text):
        raise BadTensor(f"column {shown(name)} holds {shown(text)}", fix="send a number, or nothing if it is missing")
    if text.isdigit() and len(text) < _LONG:
        return int(text)  # a time in microseconds, or a key: kept whole
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise BadTensor(f"column {shown(name)} holds {shown(text)}", fix="send a finite number")
    return value


MLFLOW = Codec("mlflow", decode, v1.encode, ("application/json", _CSV))
