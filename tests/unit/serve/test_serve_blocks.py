"""Packed rows: what goes in by name comes out by name, for one row and for many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.kernel.contract import Kind
from mainspring.serve.blocks import Layout, View, block_of, joined
from mainspring.serve.errors import BadInput
from mainspring.serve.questions import Question
from mainspring.stats.columns import Columns

INPUTS: dict[str, Kind] = {"a": "number", "s": "string", "b": "number"}
LAYOUT = Layout.of(INPUTS)


def rows_of(count: int) -> Columns:
    return {
        "a": np.arange(count) + 0.5,
        "b": np.where(np.arange(count) % 2, np.nan, 7.0),
        "s": np.array(["x", None] * count, dtype=object)[:count],
    }


@given(st.integers(1, 40))
def test_columns_survive_packing_and_the_log(count: int) -> None:
    columns = rows_of(count)
    block = LAYOUT.packed(columns, count)
    back = LAYOUT.columns(block)
    assert all(np.array_equal(back[name], columns[name], equal_nan=name == "b") for name in columns)
    numbers, strings = LAYOUT.logged(block)
    assert {name: np.frombuffer(raw, "<f8").tobytes() for name, raw in numbers.items()} == {
        name: columns[name].tobytes() for name in ("a", "b")
    }
    assert strings == {"s": columns["s"].tolist()}


def test_a_version_reads_its_own_columns_of_a_wider_block() -> None:
    block = LAYOUT.packed(rows_of(3), 3)
    own = Layout(("b",), ())
    seen = View.between(LAYOUT, own).of(block)
    assert seen.numbers.shape == (3, 1)
    assert seen.texts.shape == (3, 0)
    assert np.array_equal(seen.numbers[:, 0], rows_of(3)["b"], equal_nan=True)
    assert View.between(LAYOUT, LAYOUT).of(block) is block


def test_a_batch_is_its_rows_in_order() -> None:
    parts = [LAYOUT.packed(rows_of(count), count) for count in (1, 2, 3)]
    whole = joined(parts)
    assert whole.numbers[:, 0].tolist() == [0.5, 0.5, 1.5, 0.5, 1.5, 2.5]
    assert whole.texts[:, 0].tolist() == ["x", "x", None, "x", None, "x"]


def test_a_matrix_must_be_as_wide_as_the_model_and_all_numbers() -> None:
    numbers = Layout(("a", "b"), ())
    kinds: dict[str, Kind] = {"a": "number", "b": "number"}

    def asked(width: int) -> Question:
        return Question(rows=1, tensors={}, keys=[], asked_at=None, matrix=np.zeros((1, width)))

    assert block_of(asked(2), numbers, kinds, frozenset(kinds)).numbers.shape == (1, 2)
    with pytest.raises(BadInput, match="matrix"):
        block_of(asked(3), numbers, kinds, frozenset(kinds))
    with pytest.raises(BadInput, match="matrix"):
        block_of(asked(2), LAYOUT, INPUTS, frozenset(INPUTS))
