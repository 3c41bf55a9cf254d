"""Dump plain documents as YAML that every reader takes for the same values.

A text that YAML 1.1 (most Kubernetes tools) or YAML 1.2 would read as a number, a truth, a null, a time or a merge is
quoted; lines that hold several lines become literal blocks. No anchors, no tags; keys stay in the order given. Written
by hand, for a general emitter took four fifths of a whole rendering (0.75 s of 0.9 s): only block style is needed.
"""

import re
from collections.abc import Iterator
from typing import Any

from mainspring.deliver.render.content import Objects
from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.scalars import retyped

# what is a text without quotes in a block, whichever version reads it: no indicator first, no `: `, ` #` or blank ends
_PLAIN = re.compile(r"(?!---)(?:[A-Za-z0-9_/.$(+;<^\\]|-(?=[A-Za-z0-9_-]))[!-~]*(?: [!\"$-~][!-~]*)*")
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_STEP = "  "


def dump(objects: Objects, /) -> str:
    """Return the documents as YAML, separated by `---`; the same text on every system."""
    head = "---\n" if len(objects.documents) > 1 else ""
    return "".join(f"{head}{_document(dict(document))}" for document in objects.documents)


def _document(document: dict[str, Any]) -> str:
    return "\n".join(_block(document, "")) + "\n" if document else "{}\n"


def _block(value: Any, pad: str) -> Iterator[str]:  # noqa: ANN401 - any plain value
    """Yield the lines of a mapping or list that is not empty, each with its indent."""
    if type(value) is dict:
        for key, item in value.items():
            yield from _item(f"{pad}{_scalar(key)}:", item, pad)
        return
    for item in value:
        if item and type(item) in (dict, list, tuple):
            first, *rest = _block(item, f"{pad}{_STEP}")
            yield f"{pad}- {first[len(pad) + len(_STEP) :]}"
            yield from rest
        else:
            yield from _item(f"{pad}-", item, pad)


def _item(head: str, value: Any, pad: str) -> Iterator[str]:  # noqa: ANN401 - any plain value
    """Yield the lines of what follows a key or a dash."""
    kind = type(value)
    if kind in (dict, list, tuple):
        yield head if value else f"{head} {'{}' if kind is dict else '[]'}"
        if value:
            yield from _block(value, f"{pad}{_STEP}")
    elif kind is str and _literal(value):
        body = value.rstrip("\n")
        ends = len(value) - len(body)
        yield f"{head} |{'-' if not ends else '+' if ends > 1 else ''}"
        yield from (f"{pad}{_STEP}{line}" if line else "" for line in (body + "\n" * max(0, ends - 1)).split("\n"))
    else:
        yield f"{head} {_scalar(value)}"


def _literal(text: str) -> bool:
    """Tell whether a text of several lines can stand as it is: printable, no blank ends, no blank start."""
    if "\n" not in text or not text.strip() or text[0].isspace():
        return False
    return all(line.isprintable() and line == line.rstrip() for line in text.split("\n"))


def _scalar(value: Any) -> str:  # noqa: ANN401 - any plain value
    kind = type(value)
    if kind is str:
        return (
            value
            if _PLAIN.fullmatch(value) and value[-1] != ":" and ": " not in value and not retyped(value)
            else _quoted(value)
        )
    if kind is bool or value is None:
        return "null" if value is None else str(value).lower()
    if kind is int:
        return str(value)
    if kind is float:
        return _number(value)
    raise InvalidValue(f"{kind.__name__} has no place in a document", fix="use plain values")


def _number(value: float) -> str:
    text = repr(value)
    if text in ("inf", "-inf", "nan"):
        return text.replace("inf", ".inf").replace("nan", ".nan")
    mantissa, e, exponent = text.partition("e")  # YAML 1.1 wants a point and a sign
    return f"{mantissa}{'' if '.' in mantissa else '.0'}{e}{exponent}" if e else text


def _quoted(text: str) -> str:
    return f'"{"".join(_SHORT.get(char) or (char if char.isprintable() else _escaped(char)) for char in text)}"'


def _escaped(char: str) -> str:
    number = ord(char)
    return f"\\u{number:04x}" if number < 1 << 16 else f"\\U{number:08x}"
