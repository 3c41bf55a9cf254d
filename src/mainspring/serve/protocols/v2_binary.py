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
from mainspring.stats.columns import Floats

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


class Form(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the JSON part of a usual request says of the rows: how many, of which datatype, and how to answer.

    binary: with a binary tensor. id: the client's own.
    """

    rows: int
    columns: int
    binary: bool
    datatype: str = "FP64"
    id: str = ""

    @property
    def size(self) -> int:
        """Return how many bytes the rows have."""
        return self.rows * self.columns * np.dtype(NUMBERS[self.datatype]).itemsize


def form_of(head: bytes, takes: Takes) -> Form | None:
    """Return what a JSON part says, or None where it is not usual; whether as many bytes follow is not asked here."""
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
    binary = form is not UNSET and form.binary_data_output
    found = Form(rows=rows, columns=columns, binary=binary, datatype=item.datatype, id=name)
    return found if item.parameters.binary_data_size == found.size else None


def matrix_of(data: bytes, at: int, form: Form) -> Floats:
    """Return the rows that stand in `data` from `at` on: [n, k] float64, NaN null, maybe infinite, maybe not aligned.

    Numbers behind a head of any length lie askew, and numpy is several times slower on those but for a copy.
    """
    values = np.frombuffer(data, NUMBERS[form.datatype], form.rows * form.columns, at)
    return values.astype(np.float64, copy=False).reshape(form.rows, form.columns)


def plain_matrix(body: bytes, length: int, takes: Takes) -> Question | None:
    """Return the question of a usual request whose JSON part has `length` bytes, or None."""
    form = form_of(body[:length], takes)
    if form is None or form.size != len(body) - length:
        return None
    matrix = matrix_of(body[length:], 0, form)
    if np.isinf(matrix).any():
        return None
    return Question(
        rows=form.rows, tensors=_NO_TENSORS, keys=[], asked_at=None, matrix=matrix, id=form.id, binary=form.binary
    )
