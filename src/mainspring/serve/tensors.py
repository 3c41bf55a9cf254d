"""Tensors as the Open Inference Protocol names them, between wire bytes and plain columns. Pure.

A tabular model takes one named tensor per feature, shape [n] or [n, 1], or one matrix [n, k] of all its inputs.
"""

import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mainspring.serve.errors import BadInput, BadTensor, shown
from mainspring.stats.columns import Array, Floats

NUMBERS = {
    "BOOL": "<u1", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
BRAIN = "BF16"  # the upper half of a float32: Triton's own, in binary only
DATATYPES = (*NUMBERS, "BYTES")
LARGEST_INTEGER = 2**53
MAX_TEXT = 65_536
_LENGTH = struct.Struct("<I")
_RANK = 2
_FRAMING = "send 4 bytes of length, then UTF-8, for each text"
_FLOATS: frozenset[type] = frozenset({int, float, type(None)})
_INTEGERS: frozenset[type] = frozenset({int, type(None)})
_TEXTS: frozenset[type] = frozenset({str, type(None)})


class Tensor(msgspec.Struct, frozen=True):
    """One input column of n values.

    values: float64 (NaN null) for numbers, int64 for integers without nulls, objects of str or None for BYTES.
    """

    name: str
    datatype: str
    values: Array


def extent_of(name: str, shape: Sequence[int]) -> tuple[int, int]:
    """Return (rows, columns) of a shape [n], [n, 1] or [n, k]; refuse every other shape."""
    rank = len(shape)
    if not 1 <= rank <= _RANK or shape[0] < 1 or shape[-1] < 1:
        raise BadTensor(f"tensor {shown(name)} has shape {shown(list(shape)[:9])}", fix="use [n] or [n, k], above 0")
    return shape[0], shape[1] if rank == _RANK else 1


def from_json(name: str, datatype: str, extent: tuple[int, int], data: list[Any] | Floats) -> Array:
    """Return rows * columns values from JSON, flat or a list a row; null is a missing value, never in BOOL.

    data: what JSON held, or an array when a parser already found nothing but numbers.
    """
    rows, columns = extent
    if isinstance(data, np.ndarray):
        if len(data) != rows * columns:
            raise _disagree(name, rows * columns, len(data))
        return data
    kinds = set(map(type, data))
    if list in kinds:
        data = _flattened(name, data, kinds, columns)
        kinds = set(map(type, data))
    if len(data) != rows * columns:
        raise _disagree(name, rows * columns, len(data))
    if datatype == "BYTES":
        return _texts(name, data, kinds)
    if datatype == "BOOL":
        _check_kinds(name, datatype, kinds, frozenset({bool}))
        return np.array(data, dtype=np.int64)
    if datatype.startswith("FP"):
        _check_kinds(name, datatype, kinds, _FLOATS)
        return _float64(name, data)  # the decoder refused what is not finite
    _check_kinds(name, datatype, kinds, _INTEGERS)
    return _integers(name, datatype, data, type(None) in kinds)


def from_bytes(name: str, datatype: str, count: int, raw: memoryview) -> Array:
    """Return `count` raw little-endian values (BYTES: a 4-byte length before each); refuse any other size."""
    if datatype == "BYTES":
        return _raw_texts(name, count, raw)
    kind = np.dtype(NUMBERS.get(datatype, "<u2"))
    if len(raw) != count * kind.itemsize:
        raise BadTensor(
            f"tensor {shown(name)} has {len(raw)} bytes for {count} values of {datatype}",
            fix="make shape and data agree",
        )
    values = np.frombuffer(raw, dtype=kind)
    if not values.flags.aligned:  # behind a JSON head of any length: numpy is several times slower on such an array
        values = np.frombuffer(bytes(raw), dtype=kind)
    if datatype == BRAIN:
        return _finite(name, (values.astype("<u4") << 16).view("<f4").astype(np.float64))
    if datatype == "BOOL" and values.max() > 1:
        raise BadTensor(f"tensor {shown(name)} has a BOOL byte above 1", fix="send 0 or 1")
    if kind.kind == "f":
        return _finite(name, values.astype(np.float64, copy=False))
    if datatype == "UINT64" and values.max() > LARGEST_INTEGER:
        raise _too_large(name)
    return values.astype(np.int64)


def with_nulls(tensor: Tensor, rows: Sequence[int]) -> Tensor:
    """Return the tensor with the named rows missing: binary BYTES and integers have no null of their own."""
    at = np.array(rows, dtype=np.int64)
    values = tensor.values.copy() if tensor.values.dtype == object else tensor.values.astype(np.float64)
    if at.size and (at.min() < 0 or at.max() >= len(values)):
        raise BadTensor(f"tensor {shown(tensor.name)} names a null row it does not have", fix="count rows from 0")
    values[at] = None if values.dtype == object else np.nan
    return Tensor(tensor.name, tensor.datatype, values)


def to_bytes(values: Array) -> bytes:
    """Return a column's wire bytes: float64 and int64 as they are, strings (null as "") with a 4-byte length each."""
    if values.dtype != object:
        return bytes(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
    parts: list[bytes] = []
    for value in values:
        text = b"" if value is None else value.encode("utf-8")
        parts.append(_LENGTH.pack(len(text)))
        parts.append(text)
    return b"".join(parts)


def as_number(tensor: Tensor) -> NDArray[np.float64]:
    """Return a model's number column; refuse text and integers that a double cannot hold."""
    values = tensor.values
    if values.dtype == np.float64:
        return values
    if values.dtype == object:
        raise BadInput(f"input {shown(tensor.name)} is a number, not BYTES", fix="send FP64")
    if np.abs(values).max() > LARGEST_INTEGER or values.min() == np.iinfo(np.int64).min:
        raise _too_large(tensor.name)
    return values.astype(np.float64)


def as_text(tensor: Tensor) -> Array:
    """Return a model's string column; refuse numbers."""
    if tensor.values.dtype != object:
        raise BadInput(f"input {shown(tensor.name)} is a string, not {tensor.datatype}", fix="send BYTES")
    return tensor.values


def _flattened(name: str, data: list[Any], kinds: set[type], columns: int) -> list[Any]:
    if kinds != {list} or any(len(row) != columns for row in data):
        raise BadTensor(f"tensor {shown(name)} mixes or nests its data", fix=f"send flat values, or lists of {columns}")
    return list(chain.from_iterable(data))


def _disagree(name: str, said: int, found: int) -> BadTensor:
    return BadTensor(f"tensor {shown(name)} says {said} values and has {found}", fix="make shape and data agree")


def _check_kinds(name: str, datatype: str, kinds: set[type], allowed: frozenset[type]) -> None:
    if not kinds <= allowed:
        found = ", ".join(sorted(kind.__name__ for kind in kinds - allowed))
        raise BadTensor(f"tensor {shown(name)} is {datatype} and holds {found}", fix="send values of its datatype")


def _float64(name: str, data: list[Any]) -> NDArray[np.float64]:
    try:
        return np.array(data, dtype=np.float64)
    except OverflowError:
        raise _too_large(name) from None


def _finite(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    if np.isinf(values).any():
        raise BadTensor(
            f"tensor {shown(name)} holds an infinite number", fix="send a finite number, or null if missing"
        )
    return values


def _integers(name: str, datatype: str, data: list[Any], nulls: bool) -> Array:
    bounds = np.iinfo(NUMBERS[datatype])
    low, high = max(int(bounds.min), -LARGEST_INTEGER), min(int(bounds.max), LARGEST_INTEGER)
    known = [value for value in data if value is not None] if nulls else data
    if known and (min(known) < low or max(known) > high):
        raise BadTensor(f"tensor {shown(name)} holds a value outside {datatype} or 2**53", fix="use a wider datatype")
    return np.array(data, dtype=np.float64 if nulls else np.int64)


def _texts(name: str, data: list[Any], kinds: set[type]) -> Array:
    _check_kinds(name, "BYTES", kinds, _TEXTS)
    if any(len(text) > MAX_TEXT for text in data if text is not None):
        raise BadTensor(f"tensor {shown(name)} holds a text above {MAX_TEXT} characters", fix="send less")
    return np.array(data, dtype=object)


def _raw_texts(name: str, rows: int, raw: memoryview) -> Array:
    whole = bytes(raw)
    try:
        cut = _cut(whole, rows)
        texts = {text: text.decode("utf-8") for text in set(cut)}
    except (struct.error, UnicodeDecodeError) as error:
        raise BadTensor(
            f"tensor {shown(name)} is not {rows} UTF-8 texts in {len(whole)} bytes", fix=_FRAMING
        ) from error
    if max(map(len, cut)) > MAX_TEXT:
        raise BadTensor(f"tensor {shown(name)} holds a text above {MAX_TEXT} bytes", fix="send less")
    column = np.empty(rows, dtype=object)
    column[:] = [texts[text] for text in cut]
    return column


def _cut(whole: bytes, rows: int) -> list[bytes]:
    at, cut, read = 0, [], _LENGTH.unpack_from
    for _ in range(rows):
        start = at + _LENGTH.size
        at = start + read(whole, at)[0]
        cut.append(whole[start:at])
    if at != len(whole):
        raise struct.error("the texts do not end with the data")
    return cut


def _too_large(name: str) -> BadTensor:
    return BadTensor(f"tensor {shown(name)} holds an integer beyond 2**53", fix="send it as text")
