"""The parameters of V2 requests: which are understood, which are standard and mean nothing here, and who is asked when.

Standard ones that a stateless model has no use for (Triton's sequence, schedule and parameters extensions, MLServer's
content types) are taken and change nothing. Everything else is refused: no misspelt parameter is lost in silence.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import UnsetType
from numpy.typing import NDArray

from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.times import parse_time
from mainspring.serve.errors import BadParameter, shown
from mainspring.serve.protocols.v2_requests import Output, Parameters
from mainspring.serve.tensors import Tensor
from mainspring.stats.columns import Array

KEY, ASKED_AT = "@key", "@asked_at"
MAX_NAME = 256
MAX_KEY = 512
CLASSES = "classes"
_LATEST = 253_402_300_799_999_999  # the last microsecond of year 9999
_REQUEST = frozenset({
    "keys", "asked_at", "binary_data_output", "content_type", "headers",
    "sequence_id", "sequence_start", "sequence_end", "priority", "timeout",
})  # fmt: skip
_INPUT = frozenset({"binary_data_size", "nulls", "content_type"})
_OUTPUT = frozenset({"binary_data", "content_type", "classification"})
_FOREIGN = "triton_"
_NONE: Parameters = {}


def of_request(parameters: Parameters | UnsetType | None) -> Parameters:
    """Return a request's parameters, all of them known."""
    return _known_only(parameters, _REQUEST)


def of_input(parameters: Parameters | UnsetType | None) -> Parameters:
    """Return a tensor's parameters, all of them known."""
    return _known_only(parameters, _INPUT)


def keys_of(tensor: Tensor | None, parameters: Parameters, rows: int) -> list[str]:
    """Return the ask key a row, from the tensor `@key` or the parameter `keys`; [] without either."""
    given = parameters.get("keys")
    if tensor is not None:
        if given is not None:
            raise BadParameter("keys came twice", fix="send the tensor @key or parameters.keys")
        given = tensor.values.tolist()
    return [] if given is None else checked_keys(given, rows)


def checked_keys(given: object, rows: int) -> list[str]:
    """Return `given` if it is one short string a row."""
    if not isinstance(given, list) or len(given) != rows or not all(type(key) is str for key in given):
        raise BadParameter(f"keys must be {rows} strings", fix="send one key a row; integers as text")
    if max(map(len, given)) > MAX_KEY:
        raise BadParameter("a key is too long", fix=f"use at most {MAX_KEY} characters")
    return given


def asked_at_of(tensor: Tensor | None, parameters: Parameters, rows: int) -> NDArray[np.int64] | None:
    """Return the business time a row in UTC microseconds, from the tensor `@asked_at` or the parameter `asked_at`."""
    given = parameters.get("asked_at")
    if tensor is None:
        return None if given is None else checked_times(given, rows)
    if given is not None:
        raise BadParameter("asked_at came twice", fix="send the tensor @asked_at or parameters.asked_at")
    return _within(tensor.values)


def checked_times(given: object, rows: int) -> NDArray[np.int64]:
    """Return UTC microseconds a row of one ISO 8601 time, or of a list of integers."""
    if isinstance(given, str):
        try:
            return _within(np.full(rows, parse_time(given), dtype=np.int64))
        except (InvalidValue, OverflowError) as error:
            raise BadParameter(f"asked_at {shown(given)} is not a time", fix="send 2013-05-01T06:00:00Z") from error
    times = whole_numbers(given, "asked_at")
    if len(times) != rows:
        raise BadParameter(f"asked_at must be {rows} integers", fix="send UTC microseconds, one a row")
    return _within(np.array(times, dtype=np.int64))


def whole_numbers(given: object, name: str) -> list[int]:
    """Return `given` if it is a list of integers of a sane size."""
    if not isinstance(given, list) or not all(type(value) is int and abs(value) <= _LATEST for value in given):
        raise BadParameter(f"parameter {name} is not a list of integers", fix=f"send {name} as a list of integers")
    return given


def checked_id(text: str) -> str:
    """Return the client's id if it can be returned as it came."""
    if len(text) > MAX_NAME or not text.isprintable():
        raise BadParameter(f"id {shown(text)} cannot be returned", fix=f"use at most {MAX_NAME} printable characters")
    return text


def answer_form(parameters: Parameters, outputs: Sequence[Output]) -> tuple[bool, str]:
    """Return whether the output is to be binary, and `CLASSES` if it is to be a class as text (Triton's extension)."""
    wanted, form = parameters.get("binary_data_output"), ""
    for output in outputs:
        asked = _known_only(output.parameters, _OUTPUT)
        wanted = asked.get("binary_data", wanted)
        count = asked.get("classification", 0)
        if type(count) is not int or not 0 <= count <= _LATEST:
            raise BadParameter(
                f"classification {shown(count)} is not a number of classes", fix="send 1, or leave it out"
            )
        form = CLASSES if count else form
    if wanted is not None and type(wanted) is not bool:
        raise BadParameter("binary_data_output is not true or false", fix="send a boolean")
    return bool(wanted), form


def _within(values: Array) -> NDArray[np.int64]:
    if values.dtype != np.int64 or values.min() < 0 or values.max() > _LATEST:
        raise BadParameter("asked_at is not a time", fix="send INT64 UTC microseconds between 1970 and 9999")
    return values


def _known_only(parameters: Parameters | UnsetType | None, known: frozenset[str]) -> Parameters:
    if not isinstance(parameters, dict):
        return _NONE
    if not parameters.keys() <= known:
        unknown = sorted(name for name in parameters.keys() - known if not name.startswith(_FOREIGN))
        if unknown:
            raise BadParameter(f"parameter {shown(unknown[0])} is unknown", fix=f"use {', '.join(sorted(known))}")
    return parameters
