"""Read Open Inference Protocol (V2) infer requests: JSON tensors and the binary tensor extension. Pure.

Features come as one named tensor each, or all in one matrix [n, k] in the contract's order, whatever its name. Two
additions of ours say who is asked about and when: tensors `@key` (BYTES) and `@asked_at` (INT64, UTC microseconds), or
request parameters `keys` (a list) and `asked_at` (a list of integers, or one ISO 8601 time). An input parameter `nulls`
lists the rows that are missing, for datatypes without a null. What is not understood is refused.

gRPC fills `Request` itself (a tensor's `data` a list, an array or raw bytes) and calls `question_of`.
"""

from typing import Any

import numpy as np
from msgspec import UNSET

from mainspring.serve.errors import BadBody, BadInput, BadTensor, TooLarge, shown
from mainspring.serve.protocols.v2_answers import encode
from mainspring.serve.protocols.v2_binary import plain_matrix
from mainspring.serve.protocols.v2_parameters import (
    ASKED_AT,
    KEY,
    MAX_NAME,
    answer_form,
    asked_at_of,
    checked_id,
    keys_of,
    of_input,
    of_request,
    whole_numbers,
)
from mainspring.serve.protocols.v2_requests import Input, Request, packed, parse
from mainspring.serve.questions import Codec, Question, Takes, Wire
from mainspring.serve.tensors import BRAIN, DATATYPES, Tensor, as_number, extent_of, from_bytes, from_json, with_nulls
from mainspring.stats.columns import Array, Floats

__all__ = ["ASKED_AT", "KEY", "V2", "decode", "question_of"]

_RANK = 2
_COLUMN: tuple[list[int], ...] = ([], [1])
_NO_TENSORS: dict[str, Tensor] = {}
_TYPES = frozenset((*DATATYPES, BRAIN))
_OURS = frozenset((KEY, ASKED_AT))


def decode(body: bytes, takes: Takes, wire: Wire) -> Question:
    """Return the question in `body`, or raise a `RequestRefused` with a stable code; never anything else."""
    length = wire.header_length
    if length is None:
        request, typed = parse(body, takes.numeric)
        matrix = _plain_matrix(request, takes, typed) if takes.numeric else None
        if matrix is None:
            return question_of(request, takes)
        name = request.id
        return Question(
            rows=len(matrix), tensors=_NO_TENSORS, keys=[], asked_at=None, matrix=matrix,
            id=checked_id(name) if name else "",
        )  # fmt: skip
    if 0 < length < len(body) and (question := plain_matrix(body, length, takes)) is not None:
        return question
    if not 0 < length <= len(body):
        raise BadBody(f"the JSON part is said to have {length} bytes of {len(body)}", fix="send its true length")
    request, _ = parse(body[:length], takes.numeric, binary=True)
    _attach(request, memoryview(body)[length:])
    return question_of(request, takes)


def question_of(request: Request[Any], takes: Takes) -> Question:
    """Return the question of a parsed request; `data` of a tensor may also be a memoryview of its raw values."""
    tensors: dict[str, Tensor] = {}
    matrix: Floats | None = None
    rows = 0
    for item in request.inputs:
        extent = _checked_extent(item, takes.max_rows, rows)
        rows, columns = extent
        values = _values(item, extent)
        name = item.name
        if columns == 1:
            name = _settled(name, len(request.inputs), takes)
            if name in tensors:
                raise BadTensor(f"two tensors are called {shown(name)}", fix="send each input once")
            tensors[name] = _column(item, name, values)
            continue
        _check_matrix(item, columns, takes, matrix is not None)
        if takes.numeric:
            matrix = as_number(Tensor(name, item.datatype, values)).reshape(extent)
        else:
            parted = values.reshape(extent)
            tensors.update((n, Tensor(n, "BYTES", parted[:, at])) for at, n in enumerate(takes.inputs))
    parameters = of_request(request.parameters)
    key, asked_at = tensors.pop(KEY, None), tensors.pop(ASKED_AT, None)
    if tensors and matrix is not None:
        raise BadInput("a matrix and other inputs", fix="send all inputs in the matrix, or one tensor each")
    outputs = request.outputs or ()
    for output in outputs:
        if output.name != takes.output:
            raise BadInput(
                f"output {shown(output.name)} is unknown", fix=f"ask for {takes.output!r} or leave outputs out"
            )
    if request.model_name and request.model_name != takes.model:
        raise BadInput("the body names another model than the path", fix="leave model_name out of the body")
    binary, form = answer_form(parameters, outputs)
    return Question(
        rows=rows, keys=keys_of(key, parameters, rows), asked_at=asked_at_of(asked_at, parameters, rows),
        tensors=tensors, matrix=matrix, id=checked_id(request.id) if request.id else "", binary=binary, form=form,
        outputs=tuple(output.name for output in outputs),
    )  # fmt: skip


def _plain_matrix(request: Request[Any], takes: Takes, typed: bool) -> Floats | None:
    """Return all inputs of a usual request, or None for the longer way (which also says what is wrong).

    Usual: one matrix, or one column per input, of floats without nulls, and no parameters.
    """
    inputs, wanted = request.inputs, takes.inputs
    if not (request.parameters is request.outputs is request.model_name is UNSET):
        return None
    columns = len(wanted)
    if len(inputs) == 1 and columns > 1:
        item = inputs[0]
        shape = item.shape
        if len(shape) != _RANK or shape[1] != columns or not 0 < len(item.name) <= MAX_NAME:
            return None
        return _flat_matrix(item, (shape[0], columns), typed) if shape[0] <= takes.max_rows else None
    return _joined(inputs, takes, typed) if len(inputs) == columns else None


def _flat_matrix(item: Input[Any], shape: tuple[int, int], typed: bool) -> Floats | None:
    data = item.data
    if item.parameters is not UNSET or data is UNSET or len(data) != shape[0] * shape[1] or shape[0] < 1:
        return None
    if typed:
        return packed(data, shape)
    return data.reshape(shape) if isinstance(data, np.ndarray) else None


def _joined(inputs: list[Input[Any]], takes: Takes, typed: bool) -> Floats | None:
    """Return the matrix of one column per input, in the contract's order."""
    shape, found = inputs[0].shape, dict[str, Any]()
    if shape[1:] not in _COLUMN or not shape or not 0 < shape[0] <= takes.max_rows:
        return None
    for item in inputs:
        data = item.data
        if item.shape != shape or item.parameters is not UNSET or data is UNSET or len(data) != shape[0]:
            return None
        if not typed and not isinstance(data, np.ndarray):
            return None
        found[item.name] = data
    if found.keys() != takes.inputs.keys():
        return None
    ordered = [found[name] for name in takes.inputs]
    if typed and shape[0] == 1:
        return packed([data[0] for data in ordered], (1, len(ordered)))
    return np.stack([np.asarray(data, dtype=np.float64) for data in ordered], axis=1)


def _attach(request: Request[Any], raw: memoryview) -> None:
    """Give every tensor with a `binary_data_size` its bytes, in the tensors' order; all bytes must have an owner."""
    used = 0
    for item in request.inputs:
        size = of_input(item.parameters).get("binary_data_size")
        if size is None:
            continue
        if item.data is not UNSET:
            raise BadTensor(f"tensor {shown(item.name)} has a binary size and data", fix="send bytes or data, not both")
        if type(size) is not int or not 0 <= size <= len(raw) - used:
            raise BadTensor(f"tensor {shown(item.name)} says {shown(size)} bytes", fix="send its true binary_data_size")
        item.data = raw[used : used + size]
        used += size
    if used != len(raw):
        raise BadBody(f"{len(raw) - used} bytes after the last tensor", fix="make binary_data_size and body agree")


def _checked_extent(item: Input[Any], max_rows: int, rows: int) -> tuple[int, int]:
    if not 0 < len(item.name) <= MAX_NAME:
        raise BadTensor(f"tensor name {shown(item.name)}", fix=f"use 1 to {MAX_NAME} characters")
    if item.datatype not in _TYPES:
        raise BadTensor(f"datatype {shown(item.datatype)} is unknown", fix=f"use one of {', '.join(DATATYPES)}")
    extent = extent_of(item.name, item.shape)
    count = extent[0]
    if rows and count != rows:
        raise BadTensor(f"tensor {shown(item.name)} has {count} rows, another {rows}", fix="send equal row counts")
    if count > max_rows:
        raise TooLarge(f"{count} rows", fix=f"send at most {max_rows} rows a request")
    return extent


def _values(item: Input[Any], extent: tuple[int, int]) -> Array:
    data = item.data
    if isinstance(data, memoryview):
        return from_bytes(item.name, item.datatype, extent[0] * extent[1], data)
    if data is UNSET or item.datatype == BRAIN:
        raise BadTensor(f"tensor {shown(item.name)} has no data", fix="send data, or binary_data_size and bytes")
    if item.parameters and "binary_data_size" in of_input(item.parameters):
        raise BadTensor(f"tensor {shown(item.name)} has a binary size but no bytes", fix="send bytes or data, not both")
    return from_json(item.name, item.datatype, extent, data)


def _settled(name: str, inputs: int, takes: Takes) -> str:
    """Return the input that a column is for: the only input of a model takes a lone tensor of any name."""
    if inputs == 1 and len(takes.inputs) == 1 and name not in takes.known and name not in _OURS:
        return next(iter(takes.inputs))
    return name


def _column(item: Input[Any], name: str, values: Array) -> Tensor:
    nulls = of_input(item.parameters).get("nulls")
    tensor = Tensor(name, item.datatype, values)
    return tensor if nulls is None else with_nulls(tensor, whole_numbers(nulls, "nulls"))


def _check_matrix(item: Input[Any], columns: int, takes: Takes, second: bool) -> None:
    if second:
        raise BadTensor("two matrices", fix="send one matrix of all inputs")
    if columns != len(takes.inputs):
        raise BadTensor(
            f"tensor {shown(item.name)} has {columns} columns for {len(takes.inputs)} inputs",
            fix="send all inputs in the contract's order, or one tensor each",
        )
    if not takes.numeric and (not takes.textual or item.datatype != "BYTES"):
        raise BadInput("this model's inputs are not all numbers", fix="send one named tensor per input")
    if "nulls" in of_input(item.parameters):
        raise BadTensor("a matrix has no nulls", fix="send NaN where a number is missing")


V2 = Codec("v2", decode, encode, ("application/json", "application/octet-stream"))
