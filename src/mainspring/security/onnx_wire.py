"""Walk the bytes of an ONNX model without parsing it: refuse what could reach outside or never end.

ONNX is protocol buffers (field numbers from onnx/onnx.proto, IR version 13). The walk visits every field of every
message that matters, bounded in depth and count, and knows nothing of numpy or onnx, so it runs before both.
A field that is not in the table is refused: a newer format is read only after someone looked at it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

DOMAINS = {"": 40, "ai.onnx": 40, "ai.onnx.ml": 10}
_MAX_DEPTH = 12
_MAX_NODES = 100_000
_FORBIDDEN_OPS = frozenset({"Loop"})
_SCALAR = -1

# Runs of unpacked repeated values inside an attribute, skipped in one match: a tree model has 100,000 of them.
_RUNS = re.compile(
    rb"(?:\x3d.{4})+|(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])+|(?:"
    + rb"|".join(rb"\x4a%s.{%d}" % (re.escape(bytes([size])), size) for size in range(25))
    + rb")+",
    re.DOTALL,
)


class Malformed(ValueError):
    """The bytes are not what an acceptable ONNX model is made of; the text says why."""


@dataclass(slots=True)
class Seen:
    """What the walk has met so far."""

    nodes: int = 0
    inputs: int = 0
    outputs: int = 0
    opsets: dict[str, int] = field(default_factory=dict)


# message -> field number -> name of the message inside, or "" for a value that needs no look.
_TABLE: dict[str, dict[int, str]] = {
    "model": {1: "", 2: "", 3: "", 4: "", 5: "", 6: "", 7: "graph", 8: "opset", 14: ""},
    "opset": {1: "", 2: ""},
    "graph": {1: "node", 2: "", 5: "tensor", 10: "", 11: "value", 12: "value", 13: "", 14: "", 15: "sparse", 16: ""},
    "node": {1: "", 2: "", 3: "", 4: "", 5: "attribute", 6: "", 7: "", 8: "", 9: ""},
    "attribute": {
        1: "", 2: "", 3: "", 4: "", 5: "tensor", 6: "graph", 7: "", 8: "", 9: "", 10: "tensor", 11: "graph", 13: "",
        14: "", 15: "", 20: "", 21: "", 22: "sparse", 23: "sparse",
    },
    "tensor": dict.fromkeys(range(1, 13), "") | {14: "", 16: ""},
    "sparse": {1: "tensor", 2: "tensor", 3: ""},
    "value": {1: "", 2: "", 3: "", 4: ""},
}  # fmt: skip
_WHY = {
    ("model", 20): "it carries training code",
    ("model", 25): "it defines its own functions",
    ("tensor", 13): "a tensor's data lies in another file",
}


def walk(data: bytes) -> Seen:
    """Return what an ONNX model holds, or raise `Malformed` with the reason to refuse it."""
    seen = Seen()
    _message("model", data, 0, len(data), seen, 0)
    if not seen.opsets:
        raise Malformed("it names no operator set")
    if not seen.inputs or not seen.outputs or not seen.nodes:
        raise Malformed(f"it has {seen.inputs} inputs, {seen.outputs} outputs and {seen.nodes} nodes")
    return seen


def _message(kind: str, data: bytes, start: int, end: int, seen: Seen, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise Malformed(f"it nests deeper than {_MAX_DEPTH}")
    table, check = _TABLE[kind], _CHECKS.get(kind)
    gathered: dict[int, tuple[int, int]] = {}
    for number, low, high in _fields(data, start, end, runs=kind == "attribute"):
        inside = table.get(number)
        if inside is None:
            raise Malformed(_WHY.get((kind, number), f"field {number} of a {kind} is not known"))
        gathered[number] = (low, high)
        if kind == "graph" and depth == 1:
            _count(number, seen)
        if inside:
            if low == _SCALAR:
                raise Malformed(f"field {number} of a {kind} is not a message")
            _message(inside, data, low, high, seen, depth + 1)
    if check:
        check(data, gathered, seen)


def _count(number: int, seen: Seen) -> None:
    seen.inputs += number == 11
    seen.outputs += number == 12


def _check_opset(data: bytes, found: dict[int, tuple[int, int]], seen: Seen) -> None:
    domain, version = _text(data, found.get(1)), found.get(2, (_SCALAR, 0))[1]
    if domain not in DOMAINS:
        raise Malformed(f"it needs operators of {domain[:60]!r}")
    if not 1 <= version <= DOMAINS[domain]:
        raise Malformed(f"operator set {version} of {domain!r} does not exist")
    seen.opsets[domain] = version


def _check_node(data: bytes, found: dict[int, tuple[int, int]], seen: Seen) -> None:
    seen.nodes += 1
    if seen.nodes > _MAX_NODES:
        raise Malformed(f"it has more than {_MAX_NODES} nodes")
    domain, operator = _text(data, found.get(7)), _text(data, found.get(4))
    if domain not in DOMAINS:
        raise Malformed(f"node {operator[:60]!r} is an operator of {domain[:60]!r}")
    if operator in _FORBIDDEN_OPS:
        raise Malformed(f"operator {operator!r} may never end")


def _check_tensor(_: bytes, found: dict[int, tuple[int, int]], __: Seen) -> None:
    if found.get(14, (_SCALAR, 0)) != (_SCALAR, 0):
        raise Malformed("a tensor's data lies in another file")


_CHECKS: dict[str, Callable[[bytes, dict[int, tuple[int, int]], Seen], None]] = {
    "opset": _check_opset,
    "node": _check_node,
    "tensor": _check_tensor,
}


def _text(data: bytes, span: tuple[int, int] | None) -> str:
    if span is None:
        return ""
    if span[0] == _SCALAR:
        raise Malformed("a name is not text")
    try:
        return data[span[0] : span[1]].decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("a name is not UTF-8") from None


def _fields(data: bytes, at: int, end: int, *, runs: bool) -> Iterator[tuple[int, int, int]]:
    """Yield (field number, start, end) for bytes and (field number, _SCALAR, value) for numbers."""
    while at < end:
        if runs and (run := _RUNS.match(data, at, end)):
            at = run.end()
            continue
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise Malformed("field number 0 cannot be")
        if wire == 0:
            value, at = _varint(data, at, end)
            yield number, _SCALAR, value
        elif wire == 2:
            size, at = _varint(data, at, end)
            if size > end - at:
                raise Malformed("a field ends beyond its message")
            yield number, at, at + size
            at += size
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
            if at > end:
                raise Malformed("a field ends beyond its message")
            yield number, _SCALAR, 0
        else:
            raise Malformed(f"wire type {wire} is not allowed")


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise Malformed("a number is cut off or too long")
