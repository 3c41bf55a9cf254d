"""Adopt a model that exists: what its owner may declare about it, and what an adapter makes of its graph. Pure.

Words: a *declared* input is a column as clients will send it; a graph's matrix of k columns takes k of them, in
order. The *sample* are the rows that are scored once now and again at every load.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from mainspring.develop.errors import ImportRefused
from mainspring.kernel.contract import Input
from mainspring.security.artifacts import strict_json
from mainspring.stats.columns import Array, Columns, Floats

SAMPLE_ROWS = 20
MAX_SAMPLE_BYTES = 16 << 20
MAX_INPUTS = 10_000
_MAX_NAME = 200
_DRAWS = 3
_SCHEMA_FIX = 'write {"inputs": [{"name": "age", "kind": "number"}, {"name": "city", "kind": "string"}]}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What an owner says of a model.

    inputs: columns in the graph's order, or None to read them from the graph. output: the graph's output that holds
    the probabilities, "" where only one can. positive: label or number of the class whose probability is the score.
    """

    inputs: tuple[Input, ...] | None = None
    output: str = ""
    positive: str = ""


class Original(Protocol):
    """A graph as it was given."""

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The columns that it takes, in order."""

    @property
    def output(self) -> str:
        """The name that the score has in the adapted graph."""

    def score(self, columns: Columns) -> Floats:
        """Return P(positive) a row as the graph itself answers it."""

    def adapted(self, columns: Columns) -> bytes:
        """Return the graph with one named input a column and one output, the score; `columns` to try it on."""


class Graphs(Protocol):
    """Opens graphs of any shape. Raises `ImportRefused` for what cannot answer one probability a row."""

    def __call__(self, model: bytes, declared: Declared, /) -> Original:
        """Return the opened graph; `model` was audited."""


def read_schema(data: bytes) -> tuple[Input, ...]:
    """Read `{"inputs": [{"name", "kind"}]}` (or the list alone); kind is `number` where it is left out."""
    raw = strict_json("the schema", data)
    items = raw.get("inputs") if isinstance(raw, Mapping) else raw
    if not isinstance(items, list) or not 0 < len(items) <= MAX_INPUTS:
        raise ImportRefused("the schema lists no inputs", fix=_SCHEMA_FIX)
    return checked_inputs([_declared(item) for item in items])


def checked_inputs(inputs: Sequence[Input]) -> tuple[Input, ...]:
    """Return the inputs if their names are plain and unique."""
    names = [item.name for item in inputs]
    for name in names:
        if not 0 < len(name) <= _MAX_NAME or not name.isprintable() or name.startswith("@"):
            raise ImportRefused(f"input {name[:60]!r} has no usable name", fix="name the inputs with --inputs")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ImportRefused(f"two inputs are called {twice[0]!r}", fix="name the inputs with --inputs")
    return tuple(inputs)


def read_sample(name: str, data: bytes, inputs: Sequence[Input]) -> Columns:
    """Return the first 20 rows of a CSV with a header or of JSON (rows, or columns); empty and null are missing."""
    if len(data) > MAX_SAMPLE_BYTES:
        raise ImportRefused(f"the sample has {len(data)} bytes", fix=f"give at most {MAX_SAMPLE_BYTES}")
    rows = _json_rows(data) if name.endswith(".json") else _csv_rows(data)
    kept = [row for row, _ in zip(rows, range(SAMPLE_ROWS), strict=False)]
    if not kept:
        raise ImportRefused("the sample has no rows", fix="give at least one row")
    return {item.name: _column(kept, item) for item in inputs}


def made_sample(inputs: Sequence[Input]) -> Columns:
    """Return rows for a model that came without any: zeros, ones and three seeded draws; texts are empty."""
    random = np.random.default_rng(0)
    columns: Columns = {}
    for item in inputs:
        if item.kind == "string":
            columns[item.name] = np.array([""] * (2 + _DRAWS), dtype=object)
        else:
            drawn = random.integers(-3, 4, _DRAWS).astype(np.float64)
            columns[item.name] = np.concatenate([[0.0, 1.0], drawn])
    return columns


def zeros(inputs: Sequence[Input]) -> Columns:
    """Return one row of zeros and empty texts: a model that answers NaN on it is refused."""
    return {item.name: np.array([""], dtype=object) if item.kind == "string" else np.zeros(1) for item in inputs}


def recorded(columns: Columns, scores: Floats) -> dict[str, Any]:
    """Return a contract's sample: plain lists, null for NaN."""
    return {"columns": {name: _plain(values) for name, values in columns.items()}, "scores": _plain(scores)}


def check_scores(scores: Floats, what: str) -> None:
    """Refuse answers that are no probabilities."""
    if not np.isfinite(scores).all():
        raise ImportRefused(f"the model answers {what} with NaN or infinity", fix="mend the model; a score is finite")
    if ((scores < 0) | (scores > 1)).any():
        worst = float(scores[np.argmax(np.abs(scores - 0.5))])
        fix = "export probabilities (predict_proba), or name the output that holds them with --output"
        raise ImportRefused(f"the model answers {what} with {worst:g}, which is no probability", fix=fix)


def _declared(item: object) -> Input:
    if isinstance(item, str):
        return Input(name=item, kind="number")
    if not isinstance(item, Mapping) or not isinstance(item.get("name"), str) or set(item) - {"name", "kind"}:
        raise ImportRefused(f"the schema's {str(item)[:60]} is no input", fix=_SCHEMA_FIX)
    kind = item.get("kind", "number")
    if kind not in ("number", "string"):
        raise ImportRefused(f"input {item['name'][:60]!r} is of kind {str(kind)[:20]!r}", fix=_SCHEMA_FIX)
    found: Literal["number", "string"] = "number" if kind == "number" else "string"
    return Input(name=item["name"], kind=found)


def _json_rows(data: bytes) -> Iterable[Mapping[str, object]]:
    raw = strict_json("the sample", data)
    if isinstance(raw, Mapping) and all(isinstance(values, list) for values in raw.values()):
        lengths = {len(values) for values in raw.values()}
        if len(lengths) != 1:
            raise ImportRefused("the sample's columns are not of one length", fix="give every column every row")
        return [{name: values[row] for name, values in raw.items()} for row in range(lengths.pop())]
    if isinstance(raw, list) and all(isinstance(row, Mapping) for row in raw):
        return raw
    raise ImportRefused("the sample is no list of rows", fix='write [{"age": 31, "city": "Oslo"}]')


def _csv_rows(data: bytes) -> Iterable[Mapping[str, object]]:
    try:
        return csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    except UnicodeDecodeError as error:
        raise ImportRefused("the sample is no UTF-8 text", fix="give CSV with a header, or .json") from error


def _column(rows: Sequence[Mapping[str, object]], item: Input) -> Array:
    if any(item.name not in row for row in rows):
        raise ImportRefused(f"the sample lacks {item.name!r}", fix="give a value (perhaps empty) for every input")
    values = [row[item.name] for row in rows]
    if item.kind == "string":
        column = np.empty(len(values), dtype=object)
        column[:] = [None if value is None else str(value) for value in values]
        return column
    return np.array([_number(value, item.name) for value in values], np.float64)


def _number(value: object, name: str) -> float:
    if value is None or value == "":
        return float("nan")
    try:
        return float(value)  # type: ignore[arg-type]  # whatever it is, a TypeError says so
    except (TypeError, ValueError):
        raise ImportRefused(f"the sample's {name!r} is {str(value)[:40]!r}", fix="it takes a number") from None


def _plain(values: Array) -> list[Any]:
    return [None if value != value else value for value in values.tolist()]
