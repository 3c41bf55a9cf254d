"""Read the usual request of the binary tensor extension: one matrix of floats, all inputs of the model, nothing else.

Whatever is not that, or is wrong, is None here and goes the long way (`v2.decode`), which says what is wrong.
"""

from typing import Literal

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from mainspring.serve.protocols.v2_parameters import MAX_NAME
from mainspring.serve.questions import Question, Takes
from mainspring.serve.tensors import NUMBERS, Tensor

_MARKS, _MARKS_OF_FORM, _MARKS_OF_ID = 16, 4, 4  # quotation marks, where no member is given twice
_NO_TENSORS: dict[str, Tensor] = {}


class _Size(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    binary_data_size: int


class _Matrix(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str
    shape: tuple[int, int]
    datatype: Literal["FP64", "FP32"]
    parameters: _Size


class _Form(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    binary_data_output: bool


class _Request(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    inputs: tuple[_Matrix]
    parameters: _Form | UnsetType = UNSET
    id: str = ""


_decode = msgspec.json.Decoder(_Request).decode


def plain_matrix(body: bytes, length: int, takes: Takes) -> Question | None:
    """Return the question of a usual request whose JSON part has `length` bytes, or None."""
    head = body[:length]
    try:
        asked = _decode(head)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    item, form, name = asked.inputs[0], asked.parameters, asked.id
    marks = _MARKS + (_MARKS_OF_FORM if form is not UNSET else 0) + (_MARKS_OF_ID if name else 0)
    rows, columns = item.shape
    if (
        head.count(b'"') != marks or not 0 < len(item.name) <= MAX_NAME
        or len(name) > MAX_NAME or not name.isprintable()
        or not takes.numeric or columns != len(takes.inputs) or columns < 2 or not 0 < rows <= takes.max_rows
    ):  # fmt: skip
        return None
    kind = np.dtype(NUMBERS[item.datatype])
    if not item.parameters.binary_data_size == rows * columns * kind.itemsize == len(body) - length:
        return None
    # a copy, for numbers behind a head of any length lie askew, and numpy is several times slower on those
    values = np.frombuffer(body[length:], kind).astype(np.float64, copy=False)
    if np.isinf(values).any():
        return None
    return Question(
        rows=rows, tensors=_NO_TENSORS, keys=[], asked_at=None, matrix=values.reshape(item.shape), id=name,
        binary=form is not UNSET and form.binary_data_output,
    )  # fmt: skip
