"""Join a graph's number columns into matrices while it is loaded: thirty tensors cost ten times as much as one.

A model is stored with one named input a column, which is what other tools read. Where a `Concat` along the columns
takes nothing but such inputs, and nobody else reads them, the loaded copy loses that node: its result becomes the
input, and whoever feeds the graph packs the same columns. The answers stay, and so do the stored bytes.

The few fields that this needs (onnx.proto) are read from the bytes themselves. What is not understood is left as it is.
"""

from collections import Counter
from dataclasses import dataclass

from mainspring.adapters.onnx.protobuf import Field, fields_of, integer, message, text_of, texts_of

_GRAPH = 7  # of ModelProto
_NODE, _INPUT, _OUTPUT = 1, 11, 12  # of GraphProto
_NODE_INPUT, _NODE_OUTPUT, _NODE_KIND, _NODE_ATTRIBUTE = 1, 2, 4, 5  # of NodeProto
_ATTRIBUTE_INT = 3  # of AttributeProto
_NAME = 1  # of ValueInfoProto and AttributeProto
_WITH_GRAPHS = frozenset({"If", "Loop", "Scan", "SequenceMap"})  # nodes in there may read an input of the outer graph


@dataclass(frozen=True, slots=True)
class Joined:
    """A graph's bytes, and its inputs that are matrices now: name -> the columns, in order."""

    data: bytes
    matrices: dict[str, tuple[str, ...]]


def joined(data: bytes) -> Joined:
    """Return the graph with its joins, or as it is where there is nothing to join."""
    try:
        model = list(fields_of(data))
        places = [place for place, field in enumerate(model) if field.number == _GRAPH]
        if len(places) != 1:
            return Joined(data, {})
        graph, matrices = _graph(list(fields_of(model[places[0]].content)))
    except (ValueError, IndexError):
        return Joined(data, {})
    parts = [field.raw for field in model]
    parts[places[0]] = message(_GRAPH, graph)
    return Joined(b"".join(parts), matrices) if matrices else Joined(data, {})


def _graph(fields: list[Field]) -> tuple[bytes, dict[str, tuple[str, ...]]]:
    inputs = {text_of(field.content, _NAME): field.content for field in fields if field.number == _INPUT}
    nodes = [field for field in fields if field.number == _NODE]
    reads = Counter(name for node in nodes for name in texts_of(node.content, _NODE_INPUT))
    reads.update(text_of(field.content, _NAME) for field in fields if field.number == _OUTPUT)
    if any(text_of(node.content, _NODE_KIND) in _WITH_GRAPHS for node in nodes):
        return b"", {}
    gone: set[str] = set()
    matrices: dict[str, tuple[str, ...]] = {}
    kept: list[bytes] = []
    for field in fields:
        columns = _joins(field, inputs, reads) if field.number == _NODE else ()
        if not columns:
            kept.append(field.raw)
            continue
        name = text_of(field.content, _NODE_OUTPUT)
        matrices[name] = columns
        gone.update(columns)
        kept.append(message(_INPUT, _matrix(name, _element(inputs[columns[0]]), len(columns))))
    dropped = {message(_INPUT, inputs[name]) for name in gone}
    return b"".join(part for part in kept if part not in dropped), matrices


def _joins(node: Field, inputs: dict[str, bytes], reads: Counter[str]) -> tuple[str, ...]:
    """Return the columns that a node joins if it may go, else ()."""
    content = node.content
    if text_of(content, _NODE_KIND) != "Concat" or _axis(content) != 1:
        return ()
    columns = tuple(texts_of(content, _NODE_INPUT))
    alone = all(name in inputs and reads[name] == 1 for name in columns)
    if len(columns) < 2 or not alone or len({inputs[name].partition(name.encode())[2] for name in columns}) != 1:
        return ()
    return columns if all(_width(inputs[name]) == 1 for name in columns) else ()


def _axis(node: bytes) -> int | None:
    for field in fields_of(node):
        if field.number == _NODE_ATTRIBUTE and text_of(field.content, _NAME) == "axis":
            found = [item.value for item in fields_of(field.content) if item.number == _ATTRIBUTE_INT]
            return found[0] if found and isinstance(found[0], int) else None
    return None


def _tensor(value_info: bytes) -> bytes:
    """Return ValueInfoProto.type.tensor_type."""
    (kind,) = [field.content for field in fields_of(value_info) if field.number == 2]
    (tensor,) = [field.content for field in fields_of(kind) if field.number == 1]
    return tensor


def _element(value_info: bytes) -> int:
    (element,) = [field.value for field in fields_of(_tensor(value_info)) if field.number == 1]
    if not isinstance(element, int):
        raise ValueError("no element type")
    return element


def _width(value_info: bytes) -> int | None:
    """Return the second dimension of a tensor of rank 2 where it is fixed."""
    (shape,) = [field.content for field in fields_of(_tensor(value_info)) if field.number == 2]
    dimensions = [field.content for field in fields_of(shape) if field.number == 1]
    if len(dimensions) != 2:
        return None
    found = [field.value for field in fields_of(dimensions[1]) if field.number == 1]
    return found[0] if found and isinstance(found[0], int) else None


def _matrix(name: str, element: int, width: int) -> bytes:
    """Return a ValueInfoProto of shape [any, width]."""
    shape = message(1, b"") + message(1, integer(1, width))
    tensor = integer(1, element) + message(2, shape)
    return message(_NAME, name.encode()) + message(2, message(1, tensor))
