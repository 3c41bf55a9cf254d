"""Join a graph's number columns into matrices while it is loaded: thirty tensors cost ten times as much as one.

A model is stored with one named input a column, which is what other tools read. Where a `Concat` along the columns
takes nothing but such inputs, and nobody else reads them, the loaded copy loses that node: its result becomes the
input, and whoever feeds the graph packs the same columns. The answers stay, and so do the stored bytes.

The few fields that this needs are read from the protobuf bytes themselves (protobuf's encoding guide; onnx.proto), for
importing onnx takes longer than starting the server. What is not understood is left as it is.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_GRAPH = 7  # of ModelProto
_NODE, _INPUT, _OUTPUT = 1, 11, 12  # of GraphProto
_NODE_INPUT, _NODE_OUTPUT, _NODE_KIND, _NODE_ATTRIBUTE = 1, 2, 4, 5  # of NodeProto
_ATTRIBUTE_INT = 3  # of AttributeProto
_NAME = 1  # of ValueInfoProto and AttributeProto
_WITH_GRAPHS = frozenset({"If", "Loop", "Scan", "SequenceMap"})  # nodes in there may read an input of the outer graph
_BYTES, _VARINT = 2, 0
_FIXED = {1: 8, 5: 4}


@dataclass(frozen=True, slots=True)
class Joined:
    """A graph's bytes, and its inputs that are matrices now: name -> the columns, in order."""

    data: bytes
    matrices: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Field:
    """One field: its number, its value (bytes, or an integer), and all its bytes as they stood."""

    number: int
    value: bytes | int
    raw: bytes

    @property
    def content(self) -> bytes:
        if isinstance(self.value, int):
            raise ValueError("a number where a message is expected")
        return self.value


def joined(data: bytes) -> Joined:
    """Return the graph with its joins, or as it is where there is nothing to join."""
    try:
        model = list(_fields(data))
        places = [place for place, field in enumerate(model) if field.number == _GRAPH]
        if len(places) != 1:
            return Joined(data, {})
        graph, matrices = _graph(list(_fields(model[places[0]].content)))
    except (ValueError, IndexError):
        return Joined(data, {})
    parts = [field.raw for field in model]
    parts[places[0]] = _message(_GRAPH, graph)
    return Joined(b"".join(parts), matrices) if matrices else Joined(data, {})


def _graph(fields: list[_Field]) -> tuple[bytes, dict[str, tuple[str, ...]]]:
    inputs = {_text(field.content, _NAME): field.content for field in fields if field.number == _INPUT}
    nodes = [field for field in fields if field.number == _NODE]
    reads = Counter(name for node in nodes for name in _texts(node.content, _NODE_INPUT))
    reads.update(_text(field.content, _NAME) for field in fields if field.number == _OUTPUT)
    if any(_text(node.content, _NODE_KIND) in _WITH_GRAPHS for node in nodes):
        return b"", {}
    gone: set[str] = set()
    matrices: dict[str, tuple[str, ...]] = {}
    kept: list[bytes] = []
    for field in fields:
        columns = _joins(field, inputs, reads) if field.number == _NODE else ()
        if not columns:
            kept.append(field.raw)
            continue
        name = _text(field.content, _NODE_OUTPUT)
        matrices[name] = columns
        gone.update(columns)
        kept.append(_message(_INPUT, _matrix(name, _element(inputs[columns[0]]), len(columns))))
    dropped = {_message(_INPUT, inputs[name]) for name in gone}
    return b"".join(part for part in kept if part not in dropped), matrices


def _joins(node: _Field, inputs: dict[str, bytes], reads: Counter[str]) -> tuple[str, ...]:
    """Return the columns that a node joins if it may go, else ()."""
    content = node.content
    if _text(content, _NODE_KIND) != "Concat" or _axis(content) != 1:
        return ()
    columns = tuple(_texts(content, _NODE_INPUT))
    alone = all(name in inputs and reads[name] == 1 for name in columns)
    if len(columns) < 2 or not alone or len({inputs[name].partition(name.encode())[2] for name in columns}) != 1:
        return ()
    return columns if all(_width(inputs[name]) == 1 for name in columns) else ()


def _axis(node: bytes) -> int | None:
    for field in _fields(node):
        if field.number == _NODE_ATTRIBUTE and _text(field.content, _NAME) == "axis":
            found = [item.value for item in _fields(field.content) if item.number == _ATTRIBUTE_INT]
            return found[0] if found and isinstance(found[0], int) else None
    return None


def _tensor(value_info: bytes) -> bytes:
    """Return ValueInfoProto.type.tensor_type."""
    (kind,) = [field.content for field in _fields(value_info) if field.number == 2]
    (tensor,) = [field.content for field in _fields(kind) if field.number == 1]
    return tensor


def _element(value_info: bytes) -> int:
    (element,) = [field.value for field in _fields(_tensor(value_info)) if field.number == 1]
    if not isinstance(element, int):
        raise ValueError("no element type")
    return element


def _width(value_info: bytes) -> int | None:
    """Return the second dimension of a tensor of rank 2 where it is fixed."""
    (shape,) = [field.content for field in _fields(_tensor(value_info)) if field.number == 2]
    dimensions = [field.content for field in _fields(shape) if field.number == 1]
    if len(dimensions) != 2:
        return None
    found = [field.value for field in _fields(dimensions[1]) if field.number == 1]
    return found[0] if found and isinstance(found[0], int) else None


def _matrix(name: str, element: int, width: int) -> bytes:
    """Return a ValueInfoProto of shape [any, width]."""
    shape = _message(1, b"") + _message(1, _number(1, width))
    tensor = _number(1, element) + _message(2, shape)
    return _message(_NAME, name.encode()) + _message(2, _message(1, tensor))


def _texts(message: bytes, number: int) -> Iterator[str]:
    for field in _fields(message):
        if field.number == number:
            yield field.content.decode()


def _text(message: bytes, number: int) -> str:
    return next(_texts(message, number), "")


def _fields(data: bytes) -> Iterator[_Field]:
    """Yield the fields of a message; raise `ValueError` or `IndexError` for what is no message."""
    at = 0
    while at < len(data):
        start = at
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        value: bytes | int = b""
        if wire == _VARINT:
            value, at = _varint(data, at)
        else:
            size = _FIXED.get(wire)
            if wire == _BYTES:
                size, at = _varint(data, at)
            if size is None or at + size > len(data):
                raise ValueError("not a message")
            value = data[at : at + size]
            at += size
        yield _Field(number, value, data[start:at])


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def _written(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _message(number: int, content: bytes) -> bytes:
    return _written(number << 3 | _BYTES) + _written(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _written(number << 3) + _written(value)
