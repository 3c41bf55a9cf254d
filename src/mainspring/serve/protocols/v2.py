"""Read Open Inference Protocol (V2) infer requests: JSON tensors and the binary tensor extension. Pure.

Two additions of ours say who is asked about and when: tensors `@key` (BYTES) and `@asked_at` (INT64, UTC
microseconds), or request parameters `keys` (a list) and `asked_at` (a list of integers, or one ISO 8601 time). An input
parameter `nulls` lists the rows that are missing, for datatypes without a null. What is not understood is refused.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.times import parse_time
from mainspring.serve.errors import BadBody, BadInput, BadParameter, BadTensor, TooLarge, shown
from mainspring.serve.protocols.duplicates import refuse_duplicate_keys
from mainspring.serve.protocols.v2_answers import encode
from mainspring.serve.questions import Codec, Question, Takes, Wire
from mainspring.serve.tensors import DATATYPES, Tensor, from_bytes, from_json, rows_of, with_nulls
from mainspring.stats.columns import Array

KEY, ASKED_AT = "@key", "@asked_at"
MAX_INPUTS = 2_000
MAX_NAME = 256
MAX_KEY = 512
_LATEST = 253_402_300_799_999_999  # the last microsecond of year 9999
_REQUEST_PARAMETERS = {"keys", "asked_at", "binary_data_output", "content_type"}
_INPUT_PARAMETERS = {"binary_data_size", "nulls", "content_type"}
_OUTPUT_PARAMETERS = {"binary_data", "content_type"}

Plain = int | float | str | bool | None
Parameters = dict[str, Plain | list[Plain]]


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    shape: list[int]
    datatype: str
    data: list[Plain | list[Plain]] | UnsetType = UNSET
    parameters: Parameters | UnsetType = UNSET


class _Output(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    parameters: Parameters | UnsetType = UNSET


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    inputs: list[_Input]
    id: str | UnsetType = UNSET
    parameters: Parameters | UnsetType = UNSET
    outputs: list[_Output] | UnsetType = UNSET


_decoder = msgspec.json.Decoder(_Request)


def decode(body: bytes, takes: Takes, wire: Wire) -> Question:
    """Return the question in `body`, or raise a `RequestRefused` with a stable code; never anything else."""
    head, raw = _split(body, wire.header_length)
    request = _parsed(head)
    tensors, rows = _tensors(request.inputs, raw, takes.max_rows)
    parameters = _known_only(request.parameters, _REQUEST_PARAMETERS)
    outputs = request.outputs or []
    for output in outputs:
        if output.name != takes.output:
            raise BadInput(
                f"output {shown(output.name)} is unknown", fix=f"ask for {takes.output!r} or leave outputs out"
            )
    return Question(
        rows=rows, keys=_keys(tensors, parameters, rows), asked_at=_asked_at(tensors, parameters, rows),
        tensors=tensors, id=_checked_id(request.id or ""), outputs=tuple(output.name for output in outputs),
        binary=_wants_binary(parameters, outputs),
    )  # fmt: skip


def _split(body: bytes, header_length: int | None) -> tuple[bytes, memoryview | None]:
    if header_length is None:
        return body, None
    if not 0 < header_length <= len(body):
        raise BadBody(f"the JSON part is said to have {header_length} bytes of {len(body)}", fix="send its true length")
    return body[:header_length], memoryview(body)[header_length:]


def _parsed(head: bytes) -> _Request:
    try:
        request = _decoder.decode(head)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadBody(
            f"not a V2 request: {str(error)[:200]}", fix="send one strict JSON document of the V2 form"
        ) from None
    if not 0 < len(request.inputs) <= MAX_INPUTS:
        raise BadBody(f"{len(request.inputs)} inputs", fix=f"send 1 to {MAX_INPUTS} inputs")
    refuse_duplicate_keys(head, _expected_keys(request))
    return request


def _expected_keys(request: _Request) -> Counter[str]:
    """Return how often each member name stands in the body if none is given twice and none is also a value."""
    inputs, outputs = request.inputs, request.outputs or []
    items: list[_Request | _Input | _Output] = [request, *inputs, *outputs]
    holders = [given for item in items if (given := item.parameters) is not UNSET]
    expected = Counter({
        "inputs": 1, "shape": len(inputs), "datatype": len(inputs), "name": len(inputs) + len(outputs),
        "data": sum(item.data is not UNSET for item in inputs), "parameters": len(holders),
        "id": int(request.id is not UNSET), "outputs": int(request.outputs is not UNSET),
    })  # fmt: skip
    for parameters in holders:
        expected.update(parameters.keys())
    return expected


def _tensors(inputs: Sequence[_Input], raw: memoryview | None, max_rows: int) -> tuple[dict[str, Tensor], int]:
    tensors: dict[str, Tensor] = {}
    rows, used = 0, 0
    for item in inputs:
        _check_names(item, tensors)
        count = rows_of(item.name, item.shape)
        if rows and count != rows:
            raise BadTensor(f"tensor {shown(item.name)} has {count} rows, another {rows}", fix="send equal row counts")
        if count > max_rows:
            raise TooLarge(f"{count} rows", fix=f"send at most {max_rows} rows a request")
        rows = count
        tensor, size = _tensor(item, rows, raw, used)
        used += size
        tensors[item.name] = tensor
    if raw is not None and used != len(raw):
        raise BadBody(f"{len(raw) - used} bytes after the last tensor", fix="make binary_data_size and body agree")
    return tensors, rows


def _check_names(item: _Input, seen: dict[str, Tensor]) -> None:
    if not item.name or len(item.name) > MAX_NAME:
        raise BadTensor(f"tensor name {shown(item.name)}", fix=f"use 1 to {MAX_NAME} characters")
    if item.name in seen:
        raise BadTensor(f"two tensors are called {shown(item.name)}", fix="send each input once")
    if item.datatype not in DATATYPES:
        raise BadTensor(f"datatype {shown(item.datatype)} is unknown", fix=f"use one of {', '.join(DATATYPES)}")


def _tensor(item: _Input, rows: int, raw: memoryview | None, used: int) -> tuple[Tensor, int]:
    parameters = _known_only(item.parameters, _INPUT_PARAMETERS)
    size = parameters.get("binary_data_size")
    if size is None:
        if item.data is UNSET:
            raise BadTensor(f"tensor {shown(item.name)} has no data", fix="send data, or binary_data_size and bytes")
        tensor, size = from_json(item.name, item.datatype, rows, item.data), 0
    else:
        if item.data is not UNSET or raw is None:
            raise BadTensor(
                f"tensor {shown(item.name)} has a binary size but no bytes", fix="send bytes or data, not both"
            )
        if type(size) is not int or not 0 <= size <= len(raw) - used:
            raise BadTensor(f"tensor {shown(item.name)} says {shown(size)} bytes", fix="send its true binary_data_size")
        tensor = from_bytes(item.name, item.datatype, rows, raw[used : used + size])
    nulls = parameters.get("nulls")
    if nulls is not None:
        tensor = with_nulls(tensor, _whole_numbers(nulls, "nulls"))
    return tensor, size


def _keys(tensors: dict[str, Tensor], parameters: Parameters, rows: int) -> list[str]:
    given = parameters.get("keys")
    tensor = tensors.pop(KEY, None)
    if tensor is not None:
        if given is not None:
            raise BadParameter("keys came twice", fix="send the tensor @key or parameters.keys")
        given = tensor.values.tolist()
    if given is None:
        return []
    if not isinstance(given, list) or len(given) != rows or not all(type(key) is str for key in given):
        raise BadParameter(f"keys must be {rows} strings", fix="send one key a row; integers as text")
    keys = [key for key in given if isinstance(key, str)]
    if max(map(len, keys)) > MAX_KEY:
        raise BadParameter("a key is too long", fix=f"use at most {MAX_KEY} characters")
    return keys


def _asked_at(tensors: dict[str, Tensor], parameters: Parameters, rows: int) -> NDArray[np.int64] | None:
    given = parameters.get("asked_at")
    tensor = tensors.pop(ASKED_AT, None)
    if tensor is not None:
        if given is not None:
            raise BadParameter("asked_at came twice", fix="send the tensor @asked_at or parameters.asked_at")
        return _times(tensor.values)
    if given is None:
        return None
    if isinstance(given, str):
        try:
            return _times(np.full(rows, parse_time(given), dtype=np.int64))
        except (InvalidValue, OverflowError) as error:
            raise BadParameter(f"asked_at {shown(given)} is not a time", fix="send 2013-05-01T06:00:00Z") from error
    times = _whole_numbers(given, "asked_at")
    if len(times) != rows:
        raise BadParameter(f"asked_at must be {rows} integers", fix="send UTC microseconds, one a row")
    return _times(np.array(times, dtype=np.int64))


def _times(values: Array) -> NDArray[np.int64]:
    if values.dtype != np.int64 or values.min() < 0 or values.max() > _LATEST:
        raise BadParameter("asked_at is not a time", fix="send INT64 UTC microseconds between 1970 and 9999")
    return values


def _whole_numbers(given: object, name: str) -> list[int]:
    if not isinstance(given, list) or not all(type(value) is int and abs(value) <= _LATEST for value in given):
        raise BadParameter(f"parameter {name} is not a list of integers", fix=f"send {name} as a list of integers")
    return given


def _known_only(parameters: Parameters | UnsetType, known: set[str]) -> Parameters:
    if parameters is UNSET:
        return {}
    if not parameters.keys() <= known:
        name = shown(min(parameters.keys() - known))
        raise BadParameter(f"parameter {name} is unknown", fix=f"use {', '.join(sorted(known))}")
    return parameters


def _checked_id(text: str) -> str:
    if len(text) > MAX_NAME or (text and not text.isprintable()):
        raise BadParameter(f"id {shown(text)} cannot be returned", fix=f"use at most {MAX_NAME} printable characters")
    return text


def _wants_binary(parameters: Parameters, outputs: Sequence[_Output]) -> bool:
    wanted = parameters.get("binary_data_output")
    for output in outputs:
        wanted = _known_only(output.parameters, _OUTPUT_PARAMETERS).get("binary_data", wanted)
    if wanted is not None and type(wanted) is not bool:
        raise BadParameter("binary_data_output is not true or false", fix="send a boolean")
    return bool(wanted)


V2 = Codec("v2", decode, encode, ("application/json", "application/octet-stream"))
