"""Read and write the few parts of a protobuf message that are needed (protobuf's encoding guide), without a schema.

Importing onnx takes longer than starting the server. What is no message is a `ValueError` or an `IndexError`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_BYTES, _VARINT = 2, 0
_FIXED = {1: 8, 5: 4}
_LONGEST = 63  # bits that a number may be shifted by


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its number, its value (bytes, or an integer), and all its bytes as they stood."""

    number: int
    value: bytes | int
    raw: bytes

    @property
    def content(self) -> bytes:
        """Return the value where it is bytes; raise `ValueError` where it is an integer."""
        if isinstance(self.value, int):
            raise ValueError("a number where a message is expected")
        return self.value


def texts_of(message: bytes, number: int) -> Iterator[str]:
    """Yield the texts of a repeated field."""
    for field in fields_of(message):
        if field.number == number:
            yield field.content.decode()


def text_of(message: bytes, number: int) -> str:
    """Return the text of a field, "" where there is none."""
    return next(texts_of(message, number), "")


def fields_of(data: bytes) -> Iterator[Field]:
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
        yield Field(number, value, data[start:at])


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > _LONGEST:
            raise ValueError("not a number")


def _written(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def message(number: int, content: bytes) -> bytes:
    """Return a field that holds bytes or a message."""
    return _written(number << 3 | _BYTES) + _written(len(content)) + content


def integer(number: int, value: int) -> bytes:
    """Return a field that holds a whole number, not below 0."""
    return _written(number << 3) + _written(value)
