"""Read an ONNX graph's inputs, constants and nodes from its bytes (onnx.proto), as much as `trees.py` asks for.

A forest's attributes hold a hundred thousand numbers, so lists of numbers are read by numpy, a whole list at a time.
What is not written as the protobuf library writes it raises `ValueError` or `IndexError`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainspring.adapters.onnx.protobuf import Field, fields_of, text_of, texts_of
from mainspring.stats.columns import Array

FLOAT, INT64, STRING = 1, 7, 8  # of TensorProto.DataType
_GRAPH = 7  # of ModelProto
_NODE, _CONSTANT, _INPUT, _OUTPUT = 1, 5, 11, 12  # of GraphProto
_ONE_FLOAT, _ONE_INT, _ONE_STRING = 2, 3, 4  # of AttributeProto
_FLOATS_TAG, _INTS_TAG, _STRINGS_TAG = b"\x3d", b"\x40", b"\x4a"  # of AttributeProto's floats, ints and strings
_TYPE_BYTES = 3  # AttributeProto.type, which comes last
_TYPE_TAG = b"\xa0\x01"


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One node. attributes: name -> the whole AttributeProto, read when it is asked for."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Graph:
    """inputs: name -> element type. constants: float32 and int64 arrays by name. output: the only one's name."""

    inputs: Mapping[str, int]
    constants: Mapping[str, Array]
    nodes: tuple[GraphNode, ...]
    output: str


def read_graph(data: bytes) -> Graph:
    """Return a model's graph; raise `ValueError` or `IndexError` for what is not understood."""
    (graph,) = [field.content for field in fields_of(data) if field.number == _GRAPH]
    parts = list(fields_of(graph))
    outputs = [text_of(part.content, 1) for part in parts if part.number == _OUTPUT]
    if len(outputs) != 1:
        raise ValueError("more than one output")
    return Graph(
        inputs=dict(_input(part.content) for part in parts if part.number == _INPUT),
        constants=dict(_constant(part.content) for part in parts if part.number == _CONSTANT),
        nodes=tuple(_node(part.content) for part in parts if part.number == _NODE),
        output=outputs[0],
    )


def floats(attribute: bytes) -> NDArray[np.float32]:
    """Return an attribute's list of floats."""
    raw = _run(attribute, _FLOATS_TAG)
    table = np.frombuffer(raw, np.uint8).reshape(-1, 5)
    if (table[:, 0] != _FLOATS_TAG[0]).any():
        raise ValueError("no list of floats")
    return table[:, 1:].copy().view("<f4").reshape(-1).astype(np.float32, copy=False)


def integers(attribute: bytes) -> NDArray[np.int64]:
    """Return an attribute's list of integers."""
    raw = np.frombuffer(_run(attribute, _INTS_TAG), np.uint8)
    ends = np.flatnonzero(raw < 0x80)
    starts = np.concatenate([[0], ends[:-1] + 1])
    tags, first, last = ends[0::2], starts[1::2], ends[1::2]
    long = (last - first).max(initial=-1) + 1 if len(tags) == len(last) else 99
    if long > 10 or ends[-1:].tolist() != [len(raw) - 1] or (starts[0::2] != tags).any():
        raise ValueError("no list of integers")
    if (raw[tags] != _INTS_TAG[0]).any():
        raise ValueError("no list of integers")
    values = np.zeros(len(first), np.uint64)
    for place in range(long):
        inside = first + place <= last
        values[inside] |= (raw[first[inside] + place] & np.uint64(0x7F)).astype(np.uint64) << np.uint64(7 * place)
    return values.view(np.int64)


def strings(attribute: bytes) -> list[bytes]:
    """Return an attribute's list of texts."""
    return [field.content for field in fields_of(_run(attribute, _STRINGS_TAG))]


def raw_strings(attribute: bytes) -> bytes:
    """Return an attribute's list of texts as it is written: for each a tag (J), a length, and the text."""
    return _run(attribute, _STRINGS_TAG)


def one(attribute: bytes) -> Any:  # noqa: ANN401 - float, int or bytes
    """Return an attribute's single value."""
    for field in fields_of(attribute):
        if field.number == _ONE_FLOAT:
            return float(np.frombuffer(field.content, "<f4")[0])
        if field.number == _ONE_INT:
            return field.value if not isinstance(field.value, int) else _signed(field.value)
        if field.number == _ONE_STRING:
            return field.content
    raise ValueError("not one value")


def _run(attribute: bytes, tag: bytes) -> bytes:
    """Return the repeated values that stand between an attribute's name and its type."""
    size = attribute[1]  # of the name
    if attribute[:1] != b"\x0a" or size >= 0x80 or attribute[-_TYPE_BYTES:-1] != _TYPE_TAG:
        raise ValueError("an attribute that is not written in order")
    found = attribute[2 + size : -_TYPE_BYTES]
    if found[:1] != tag:
        raise ValueError("another kind of attribute")
    return found


def _node(content: bytes) -> GraphNode:
    attributes = {text_of(part.content, 1): part.content for part in fields_of(content) if part.number == 5}
    return GraphNode(text_of(content, 4), tuple(texts_of(content, 1)), tuple(texts_of(content, 2)), attributes)


def _input(content: bytes) -> tuple[str, int]:
    (kind,) = [part.content for part in fields_of(content) if part.number == 2]
    (tensor,) = [part.content for part in fields_of(kind) if part.number == 1]
    (element,) = [part.value for part in fields_of(tensor) if part.number == 1]
    return text_of(content, 1), int(element)


def _constant(content: bytes) -> tuple[str, Array]:
    parts = list(fields_of(content))
    (kind,) = [part.value for part in parts if part.number == 2]
    if kind not in (FLOAT, INT64):
        return text_of(content, 8), np.zeros(0)
    values: list[Any] = []
    for part in parts:
        if part.number == 9:
            values += np.frombuffer(part.content, "<f4" if kind == FLOAT else "<i8").tolist()
        elif part.number == 4:
            values += np.frombuffer(part.content, "<f4").tolist()
        elif part.number == 7:
            values += _packed(part)
    return text_of(content, 8), np.array(values, np.float32 if kind == FLOAT else np.int64)


def _packed(field: Field) -> list[int]:
    """Return the integers of a repeated field, packed or not."""
    if isinstance(field.value, int):
        return [_signed(field.value)]
    ends = [place for place, byte in enumerate(field.content) if byte < 0x80]
    starts = [0, *(end + 1 for end in ends[:-1])]
    parts = [field.content[start : end + 1] for start, end in zip(starts, ends, strict=True)]
    return [_signed(sum((byte & 0x7F) << 7 * place for place, byte in enumerate(part))) for part in parts]


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
