"""Sums by block: what every interval, paired test and sequential test here works on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainspring.kernel.errors import InvalidValue
from mainspring.stats.columns import Array, Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block's share of a mean: `block` names it (a day number, say), `total` is the sum over its `rows`."""

    block: int
    total: float
    rows: int


def block_sums(values: Array, blocks: Array) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return (block names, sum of values, rows) a block, in order of the names.

    >>> [part.tolist() for part in block_sums(np.array([1.0, 2.0, 4.0]), np.array([7, 7, 9]))]
    [[7, 9], [3.0, 4.0], [2.0, 1.0]]
    """
    values = np.asarray(values, np.float64)
    if values.shape != np.shape(blocks) or values.ndim != 1:
        raise InvalidValue(f"{values.shape} values and {np.shape(blocks)} blocks do not pair", fix="give one a row")
    if not bool(np.isfinite(values).all()):
        raise InvalidValue("a value is not a finite number", fix="leave rows without a value out")
    names, place = np.unique(np.asarray(blocks, np.int64), return_inverse=True)
    totals = np.bincount(place, weights=values, minlength=len(names)).astype(np.float64)
    rows = np.bincount(place, minlength=len(names)).astype(np.float64)
    return names, totals, rows


def as_blocks(values: Array, blocks: Array) -> tuple[Block, ...]:
    """Return `block_sums` as records, for a decision that travels as JSON."""
    names, totals, rows = block_sums(values, blocks)
    return tuple(
        Block(block=int(name), total=float(total), rows=int(count))
        for name, total, count in zip(names, totals, rows, strict=True)
    )


def pooled(blocks: Sequence[Block], rows: int) -> tuple[Block, ...]:
    """Join neighbours, in order, until each has at least `rows` rows; what is left over at the end is dropped.

    >>> parts = [Block(block=n, total=1.0, rows=60) for n in range(5)]
    >>> [(b.block, b.total, b.rows) for b in pooled(parts, 100)]
    [(1, 2.0, 120), (3, 2.0, 120)]
    """
    made: list[Block] = []
    total, count = 0.0, 0
    for part in sorted(blocks, key=lambda block: block.block):
        total, count = total + part.total, count + part.rows
        if count >= rows:
            made.append(Block(block=part.block, total=total, rows=count))
            total, count = 0.0, 0
    return tuple(made)
