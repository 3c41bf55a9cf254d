"""Feature rows packed for an engine: one float64 matrix of numbers, one object matrix of texts.

A request pays once for packing, not once a column, and a batch of requests is two concatenations.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec
import numpy as np

from mainspring.kernel.contract import Kind
from mainspring.kernel.records import Block as NumberBlock
from mainspring.serve.errors import BadInput, shown
from mainspring.serve.questions import Question
from mainspring.serve.tensors import as_number, as_text
from mainspring.stats.columns import Array, Columns, Floats

_DOUBLE = 8


class Block(msgspec.Struct, frozen=True):
    """n rows. numbers: [n, k] float64, NaN null. texts: [n, m] objects, None null; both in a `Layout`'s order."""

    numbers: Floats
    texts: Array


@dataclass(frozen=True, slots=True)
class Layout:
    """The names of a block's columns. listed: the numbers as a list, shared by every log record of this layout."""

    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    listed: list[str] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "listed", list(self.numbers))

    @classmethod
    def of(cls, inputs: Mapping[str, Kind]) -> "Layout":
        """Return the layout of named inputs, each kind in its own order."""
        numbers = tuple(name for name, kind in inputs.items() if kind == "number")
        return cls(numbers, tuple(name for name, kind in inputs.items() if kind != "number"))

    def packed(self, columns: Columns, rows: int) -> Block:
        """Return the block of named columns, others ignored; `KeyError` for a column that is not there."""
        numbers = np.empty((rows, len(self.numbers)), dtype=np.float64)
        for place, name in enumerate(self.numbers):
            numbers[:, place] = columns[name]
        texts = np.empty((rows, len(self.texts)), dtype=object)
        for place, name in enumerate(self.texts):
            texts[:, place] = columns[name]
        return Block(numbers, texts)

    def columns(self, block: Block) -> Columns:
        """Return the named columns of a block; views, not copies."""
        found: Columns = dict(zip(self.numbers, block.numbers.T, strict=True))
        found.update(zip(self.texts, block.texts.T, strict=True))
        return found

    def logged(self, block: Block) -> tuple[NumberBlock, dict[str, list[str | None]]]:
        """Return (numbers, strings) as a log record holds them: a column's little-endian float64, its texts."""
        numbers = NumberBlock(self.listed, little(block.numbers).tobytes("F"), len(block.numbers) * _DOUBLE)
        return numbers, dict(zip(self.texts, block.texts.T.tolist(), strict=True)) if self.texts else {}


@dataclass(frozen=True, slots=True)
class View:
    """Which columns of a wider block one version reads; None: all of them, in order."""

    numbers: Array | None
    texts: Array | None

    @classmethod
    def between(cls, wide: Layout, own: Layout) -> "View":
        """Return the view that turns blocks of `wide` into blocks of `own`."""
        return cls(_places(wide.numbers, own.numbers), _places(wide.texts, own.texts))

    def of(self, block: Block) -> Block:
        """Return the block that the version reads."""
        if self.numbers is None and self.texts is None:
            return block
        numbers = block.numbers if self.numbers is None else block.numbers[:, self.numbers]
        return Block(numbers, block.texts if self.texts is None else block.texts[:, self.texts])


def block_of(question: Question, layout: Layout, inputs: Mapping[str, Kind], known: frozenset[str]) -> Block:
    """Return a question's features packed; raise `BadInput` for what is unknown, missing or of the wrong kind."""
    matrix = question.matrix
    if matrix is not None:
        if layout.texts or matrix.shape[1] != len(layout.numbers):
            raise BadInput(
                f"a matrix of {matrix.shape[1]} columns for {len(inputs)} inputs", fix="send one tensor an input"
            )
        return Block(matrix, _no_texts(question.rows))
    tensors = question.tensors
    if tensors.keys() != inputs.keys():
        _refuse_names(tensors.keys() - known, inputs.keys() - tensors.keys())
    columns = [as_number(tensors[name]) for name in layout.numbers]
    numbers = np.array(columns, dtype=np.float64).T if columns else np.empty((question.rows, 0))
    if not layout.texts:
        return Block(numbers, _no_texts(question.rows))
    texts = np.empty((question.rows, len(layout.texts)), dtype=object)
    for place, name in enumerate(layout.texts):
        texts[:, place] = as_text(tensors[name])
    return Block(numbers, texts)


def little(values: Floats) -> Floats:
    """Return float64 values in the byte order of logs and wires; the same array on most machines."""
    return values if sys.byteorder == "little" else values.astype("<f8")


def joined(blocks: Sequence[Block]) -> Block:
    """Return several blocks of one layout as one, in order."""
    if len(blocks) == 1:
        return blocks[0]
    return Block(np.concatenate([b.numbers for b in blocks]), np.concatenate([b.texts for b in blocks]))


def _refuse_names(unknown: set[str], missing: set[str]) -> None:
    if unknown:
        raise BadInput(f"unknown input {shown(min(unknown))}", fix="see the model's metadata for its inputs")
    if missing:
        raise BadInput(
            f"input {min(missing)!r} is missing ({len(missing)} in all)", fix="send every input, null if missing"
        )


def _places(wide: tuple[str, ...], own: tuple[str, ...]) -> Array | None:
    return None if wide == own else np.array([wide.index(name) for name in own], dtype=np.intp)


@lru_cache(maxsize=64)
def _no_texts(rows: int) -> Array:
    return np.empty((rows, 0), dtype=object)
