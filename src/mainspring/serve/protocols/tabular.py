"""From rows, records or columns of untyped JSON to a question: what V1, Seldon and MLflow share. Pure.

Their values carry no datatype, so the model's inputs say what is meant: a number is a JSON number or null, a string is
a JSON string or null, and nothing is turned into the other. Named columns may include `@key` and `@asked_at`, as in V2.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from mainspring.serve.errors import BadBody, BadInput, BadParameter, BadTensor, TooLarge, shown
from mainspring.serve.protocols.depth import refuse_depth
from mainspring.serve.protocols.duplicates import counted, quotation_marks, refuse_duplicate_keys, strings_in
from mainspring.serve.protocols.v2_parameters import ASKED_AT, KEY, MAX_NAME, checked_keys, checked_times
from mainspring.serve.protocols.v2_requests import LARGE, by_simdjson
from mainspring.serve.questions import Question, Takes
from mainspring.serve.tensors import Tensor, from_json
from mainspring.stats.columns import Floats

MAX_COLUMNS = 2_000
_json = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a request says besides its values: see `Question`. keys, asked_at: as parameters, not yet checked."""

    id: str = ""
    form: str = ""
    keys: object = None
    asked_at: object = None


_NOTHING = Beside()


def parse_object(body: bytes, protocol: str) -> dict[str, Any]:
    """Return the JSON object in `body`, without duplicate members, or raise `BadBody`."""
    refuse_depth(body)
    try:
        document = _json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadBody(f"not JSON: {str(error)[:200]}", fix="send one strict JSON document") from None
    if not isinstance(document, dict):
        raise BadBody("the body is not a JSON object", fix=f"send one object of the {protocol} form")
    refuse_duplicate_keys(body, quotation_marks(body), strings_in(document))
    return document


def plain_rows(body: bytes, members: Collection[str], takes: Takes, within: str = "") -> Floats | None:
    """Return the matrix of a large body that holds nothing but rows of numbers; None for the longer way.

    members: what the rows may be called. within: the one member of that which holds them instead, or "".
    """
    if len(body) <= LARGE or not takes.numeric or len(takes.inputs) == 1:
        return None
    found = by_simdjson(body, lambda document: _rows_of(document, members, takes, within))
    names = 2 if within else 1
    if found is None or counted(body, b'"') != 2 * names or counted(body, b"[") != len(found) + 1:
        return None
    return found


def _rows_of(document: Any, members: Collection[str], takes: Takes, within: str) -> Floats | None:  # noqa: ANN401
    (name,) = document.keys()
    value, width = document[name], len(takes.inputs)
    if within and len(value) == 1:
        value = value[within]
    if name not in members or not 0 < len(value) <= takes.max_rows:
        return None
    if any([len(row) != width for row in value]):
        return None
    return np.frombuffer(value.as_buffer(of_type="d"), np.float64).reshape(len(value), width)


def of_matrix(matrix: Floats, beside: Beside = _NOTHING) -> Question:
    """Return the question of rows that are a matrix already."""
    return _question(len(matrix), {}, matrix, beside)


def of_any(values: object, takes: Takes, beside: Beside = _NOTHING) -> Question:
    """Return the question of a list of records, rows or (for a model of one input) values; or of an object.

    An object is one record, or, where it holds lists, columns.
    """
    if isinstance(values, dict):
        if any(type(value) is list for value in values.values()):
            return of_columns(values, takes, beside)
        return of_records([values], takes, beside)
    if not isinstance(values, list) or not values:
        raise BadBody("no rows", fix="send a list of at least one row")
    kinds = set(map(type, values))
    if kinds == {dict}:
        return of_records(values, takes, beside)
    if kinds == {list}:
        return of_rows(values, takes, beside)
    if kinds & {dict, list}:
        raise BadBody("rows of several kinds", fix="send records, or lists, not both")
    if len(takes.inputs) != 1:
        raise BadInput(f"one value a row for {len(takes.inputs)} inputs", fix="send a list or an object a row")
    return of_columns({next(iter(takes.inputs)): values}, takes, beside)


def of_rows(rows: list[Any], takes: Takes, beside: Beside = _NOTHING, names: Sequence[str] | None = None) -> Question:
    """Return the question of rows of equal length, in the order of `names`, or of the contract's inputs."""
    names = list(takes.inputs) if names is None else names
    _check_rows(len(rows), takes)
    width = len(names)
    for place, row in enumerate(rows):
        if type(row) is not list or len(row) != width:
            size = len(row) if type(row) is list else "no list of"
            raise BadTensor(f"row {place} has {size} values, not {width}", fix="send rows of one length, the inputs'")
    if takes.numeric and names == list(takes.inputs):
        values = from_json("rows", "FP64", (len(rows), width), rows)
        return _question(len(rows), {}, values.reshape(len(rows), width), beside)
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    if any(list in set(map(type, values)) for values in columns.values()):
        raise BadTensor("a row holds lists", fix="send plain values in a row")
    return of_columns(columns, takes, beside)


def of_records(records: list[dict[str, Any]], takes: Takes, beside: Beside = _NOTHING) -> Question:
    """Return the question of one object a row; all must have the same members."""
    names = records[0].keys()
    _check_rows(len(records), takes)
    for place, record in enumerate(records):
        if record.keys() != names:
            name = min(record.keys() ^ names)
            raise BadInput(
                f"row {place} differs from row 0 in {shown(name)}", fix="send every input in every row, or null"
            )
    return of_columns({name: [record[name] for record in records] for name in names}, takes, beside)


def of_columns(columns: Mapping[str, Any], takes: Takes, beside: Beside = _NOTHING) -> Question:
    """Return the question of one list of values a column."""
    if not 0 < len(columns) <= MAX_COLUMNS:
        raise BadBody(f"{len(columns)} columns", fix=f"send 1 to {MAX_COLUMNS}")
    first = next(iter(columns.values()))
    rows = len(first) if isinstance(first, list) else 0
    _check_rows(rows, takes)
    keys, asked_at, tensors = beside.keys, beside.asked_at, {}
    for name, values in columns.items():
        if type(values) is not list or len(values) != rows:
            raise BadTensor(f"column {shown(name)} is not a list of {rows} values", fix="send columns of one length")
        if name == KEY:
            keys = _once(values, keys, "keys")
        elif name == ASKED_AT:
            asked_at = _once(values, asked_at, "asked_at")
        else:
            tensors[name] = _tensor(name, values, takes)
    given = Beside(id=beside.id, form=beside.form, keys=keys, asked_at=asked_at)
    return _question(rows, tensors, None, given)


def _question(rows: int, tensors: Mapping[str, Tensor], matrix: Floats | None, beside: Beside) -> Question:
    return Question(
        rows=rows, tensors=tensors, matrix=matrix, id=beside.id, form=beside.form,
        keys=[] if beside.keys is None else checked_keys(beside.keys, rows),
        asked_at=None if beside.asked_at is None else checked_times(beside.asked_at, rows),
    )  # fmt: skip


def _check_rows(rows: int, takes: Takes) -> None:
    if rows < 1:
        raise BadBody("no rows", fix="send a list of at least one row")
    if rows > takes.max_rows:
        raise TooLarge(f"{rows} rows", fix=f"send at most {takes.max_rows} rows a request")


def _tensor(name: str, values: list[Any], takes: Takes) -> Tensor:
    if not 0 < len(name) <= MAX_NAME:
        raise BadTensor(f"column name {shown(name)}", fix=f"use 1 to {MAX_NAME} characters")
    kind = takes.inputs.get(name)
    if kind is None:  # not read by the graph, or of the ask's own row: what it holds says what it is
        kind = "string" if str in set(map(type, values)) else "number"
    datatype = "BYTES" if kind == "string" else "FP64"
    return Tensor(name, datatype, from_json(name, datatype, (len(values), 1), values))


def _once(values: list[Any], given: object, name: str) -> list[Any]:
    if given is not None:
        raise BadParameter(f"{name} came twice", fix="send a column or a parameter")
    return values
