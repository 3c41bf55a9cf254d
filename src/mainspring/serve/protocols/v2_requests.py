"""Parse the JSON of a V2 infer request, fast where it is common: three typed decoders and, for large bodies, simdjson.

Typed as flat (or nested) lists of numbers, JSON becomes floats without a check a value; what does not fit is decoded
again by the general type. A body above a few kilobytes goes through simdjson, which writes numbers straight
into a buffer (half the time for 100 rows of 30); where it is not installed or does not understand,
msgspec reads the body.
"""

import struct
from collections.abc import Callable
from itertools import chain
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from mainspring.serve.errors import BadBody
from mainspring.serve.protocols.depth import refuse_depth
from mainspring.serve.protocols.duplicates import counted, quotation_marks, refuse_duplicate_keys, strings_in
from mainspring.stats.columns import Floats

try:
    import simdjson
except ImportError:  # no wheel for this Python: slower, and else the same
    simdjson = None  # type: ignore[assignment,unused-ignore]

MAX_INPUTS = 2_000
LARGE = 4_096  # bytes of a body from which on it goes through simdjson
_KEPT_PARSER = 1 << 20  # a parser keeps the memory of its largest body
_TENSOR_STRINGS = 5  # name, shape, datatype, and the values of name and datatype

Plain = int | float | str | bool | None
Parameters = dict[str, Plain | list[Plain]]
Data = TypeVar("Data")
Found = TypeVar("Found")


class Input(msgspec.Struct, Generic[Data], forbid_unknown_fields=True):
    """One tensor. data: a list, or an array of float64 when a parser already made one."""

    name: str
    shape: list[int]
    datatype: str
    data: Data | UnsetType = UNSET
    parameters: Parameters | UnsetType | None = UNSET


class Output(msgspec.Struct, forbid_unknown_fields=True):
    """One output asked for."""

    name: str
    parameters: Parameters | UnsetType | None = UNSET


class Request(msgspec.Struct, Generic[Data], forbid_unknown_fields=True):
    """An infer request. model_name, model_version: some clients repeat the path here."""

    inputs: list[Input[Data]]
    id: str | UnsetType | None = UNSET
    parameters: Parameters | UnsetType | None = UNSET
    outputs: list[Output] | UnsetType | None = UNSET
    model_name: str | UnsetType | None = UNSET
    model_version: str | UnsetType | None = UNSET


_flat = msgspec.json.Decoder(Request[list[float]])
_nested = msgspec.json.Decoder(Request[list[list[float]]])
_general = msgspec.json.Decoder(Request[list[Plain | list[Plain]]])
FLOATING = frozenset(("FP16", "FP32", "FP64"))
_FLOAT64 = np.dtype("<f8")
_USUAL_MEMBERS = 4  # name, shape, datatype, data
_EARLY = 160  # where the data of a usual body begin


def parse(head: bytes, numeric: bool, binary: bool = False) -> tuple[Request[Any], bool]:
    """Return the request of a JSON document without duplicate members, or raise `BadBody`.

    numeric: all inputs of the model are numbers, so that it pays to try the typed decoders first. binary: tensors may
    do without `data`. The second value tells that all data are flat lists of float; of a large body, data of nothing
    but numbers are an array.
    """
    request, typed = None, False
    if len(head) > LARGE:
        request = _bulk(head)
    elif numeric:
        request = _typed(head)
        typed = request is not None
    if request is None:
        try:
            request = _general.decode(head)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            refuse_depth(head)
            raise BadBody(
                f"not a V2 request: {str(error)[:200]}", fix="send one strict JSON document of the V2 form"
            ) from None
    count = len(request.inputs)
    if not 0 < count <= MAX_INPUTS:
        raise BadBody(f"{count} inputs", fix=f"send 1 to {MAX_INPUTS} inputs")
    marks = quotation_marks(head)
    if binary or marks > 2 * (1 + (_TENSOR_STRINGS + 1) * count):  # more than tensors with data alone have
        refuse_duplicate_keys(head, marks, _strings(request))
    return request, typed


def packed(values: list[float], shape: tuple[int, ...]) -> Floats:
    """Return an array of numbers that a typed decoder gave; read-only, and three times as fast as `np.array`."""
    return np.ndarray(shape, _FLOAT64, struct.pack(f"<{len(values)}d", *values))


def _typed(head: bytes) -> Request[Any] | None:
    """Return the request if its data are plain floats; integers go the general way, which keeps all their digits."""
    nested = head.find(b"[[", 0, _EARLY) > 0
    try:
        request: Request[Any] = (_nested if nested else _flat).decode(head)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    for item in request.inputs:
        if item.datatype not in FLOATING:
            return None
        if nested and item.data is not UNSET:
            if any([len(row)] != item.shape[-1:] for row in item.data):
                return None
            item.data = list(chain.from_iterable(item.data))
    return request


def _strings(request: Request[Any]) -> int:
    """Return how many strings a request has, names of members included."""
    texts = (request.id, request.model_name, request.model_version)
    found = 1 + sum(1 if text is None else 2 for text in texts if text is not UNSET) + _strings_in(request.parameters)
    for item in request.inputs:
        found += _TENSOR_STRINGS + _strings_in(item.parameters)
        if item.data is not UNSET:
            found += 1 + (strings_in(item.data) if item.datatype == "BYTES" else 0)
    if request.outputs is not UNSET:
        found += 1 + sum(2 + _strings_in(output.parameters) for output in request.outputs or ())
    return found


def _strings_in(parameters: Parameters | UnsetType | None) -> int:
    return 0 if parameters is UNSET else 1 + strings_in(parameters)


_spare: list[Any] = []  # parsers not in use; a list is safe to share between threads


def _bulk(head: bytes) -> Request[Any] | None:
    """Return a large request with its numbers as arrays, or None where msgspec has to look and say what is wrong."""
    found = by_simdjson(head, lambda document: _usual(document) or _read(document))
    if found is None:
        return None
    request, lists = found
    # a buffer forgets how its numbers were nested: rows of lists must be all the lists there are
    return request if not lists or counted(head, b"[") == lists + 1 + 2 * len(request.inputs) else None


def by_simdjson(body: bytes, read: Callable[[Any], Found]) -> Found | None:
    """Return what `read` makes of a parsed object, none of which it may keep; None for what is not understood."""
    if simdjson is None or not body.startswith(b"{"):  # simdjson would skip a byte order mark
        return None
    parser = _spare.pop() if _spare else simdjson.Parser()
    try:
        found = read(parser.parse(body))
    except (msgspec.MsgspecError, ValueError, TypeError, LookupError, AttributeError, RuntimeError):
        return None
    if len(body) < _KEPT_PARSER:
        _spare.append(parser)
    return found


def _usual(document: Any) -> tuple[Request[Any], int] | None:  # noqa: ANN401 - the library has no types
    """Return a request of one flat tensor of floats and nothing else, in a third of the time; or None for `_read`."""
    inputs = document["inputs"]
    if len(document) != 1 or len(inputs) != 1 or len(item := inputs[0]) != _USUAL_MEMBERS:
        return None
    name, datatype, data = item["name"], item["datatype"], item["data"]
    if type(name) is not str or datatype not in FLOATING or isinstance(data[0], simdjson.Array):
        return None
    shape = item["shape"].as_list()
    if set(map(type, shape)) != {int}:
        return None
    values = np.frombuffer(data.as_buffer(of_type="d"), dtype=np.float64)
    return Request(inputs=[Input(name, shape, datatype, values)]), 0


def _read(document: Any) -> tuple[Request[Any], int]:  # noqa: ANN401 - the library has no types
    """Return the request, and how many lists of numbers stand in its data."""
    given = {name: _plain(document[name]) for name in _names(document) if name != "inputs"}
    request: Request[Any] = msgspec.convert(given | {"inputs": []}, Request[list[Plain]])
    lists = 0
    for item in document["inputs"]:
        tensor, inner = _read_input(item)
        request.inputs.append(tensor)
        lists += inner
    return request, lists


def _read_input(item: Any) -> tuple[Input[Any], int]:  # noqa: ANN401
    names = _names(item)
    found: Input[Any] = msgspec.convert(
        {name: _plain(item[name]) for name in names if name != "data"}, Input[list[Plain]]
    )
    if "data" not in names:
        return found, 0
    data = item["data"]
    if not found.datatype.startswith("FP"):
        found.data = data.as_list()
        return found, 0
    try:
        found.data = np.frombuffer(data.as_buffer(of_type="d"), dtype=np.float64)
    except TypeError:  # a null, or what does not belong here
        found.data = data.as_list()
        return found, 0
    if not isinstance(data[0], simdjson.Array):
        return found, 0
    if any([[len(row)] != found.shape[-1:] for row in data]):
        raise ValueError("ragged")
    return found, len(data)


def _names(item: Any) -> list[str]:  # noqa: ANN401
    return list(item.keys())


def _plain(value: Any) -> object:  # noqa: ANN401
    if isinstance(value, simdjson.Array):
        return value.as_list()
    return value.as_dict() if isinstance(value, simdjson.Object) else value
