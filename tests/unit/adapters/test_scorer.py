"""The scorer refuses what is not its model and leaves what it is given alone."""

import threading

import numpy as np
import pytest
from onnx import TensorProto, helper

from mainspring.adapters.onnx.scorer import Packed, Scorer, widened
from mainspring.adapters.onnx.session import Session
from mainspring.kernel.contract import Input
from mainspring.kernel.errors import Damaged, InvalidValue
from mainspring.stats.columns import Array, Floats

INPUTS = (Input(name="v.x", kind="number"), Input(name="v.s", kind="string"))


def _model() -> bytes:
    nodes = [
        helper.make_node("LabelEncoder", ["v.s"], ["code"], domain="ai.onnx.ml", keys_strings=["", "a"],
                         values_floats=[0.25, 0.5], default_float=0.0),
        helper.make_node("Add", ["code", "v.x"], ["sum"]),
        helper.make_node("Reshape", ["sum", "flat"], ["score"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "model",
        [helper.make_tensor_value_info("v.x", TensorProto.FLOAT, [None, 1]),
         helper.make_tensor_value_info("v.s", TensorProto.STRING, [None, 1])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None])],
        [helper.make_tensor("flat", TensorProto.INT64, [1], [-1])],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())


def test_a_missing_text_counts_as_empty_and_the_columns_stay_as_they_were() -> None:
    columns = {
        "v.x": np.array([0.0, 0.25, np.nan]),
        "v.s": np.array([None, "a", "a"], dtype=object),
        "more": np.ones(3),
    }
    scores = Scorer(_model(), INPUTS)(columns)
    assert scores.dtype == np.float64
    assert scores.tolist()[:2] == [0.25, 0.75]
    assert np.isnan(scores[2])
    assert columns["v.s"].tolist() == [None, "a", "a"]


def engine(one_ms: float, row_ms: float) -> Packed:
    """An engine that takes so long for a call of one row, and for each further row."""

    def score(numbers: Floats, texts: Array) -> Floats:
        threading.Event().wait((one_ms + row_ms * (len(numbers) - 1)) / 1_000)
        return np.zeros(len(numbers))

    return score


@pytest.mark.parametrize(
    ("one", "wider", "taken"),
    [
        ((2, 1.0), (1, 0.1), True), ((2, 1.0), (20, 0.1), False), ((2, 0.2), (2, 0.4), False), ((0, 0.0), None, False),
    ],
)  # fmt: skip
def test_a_slow_graph_has_more_threads_where_they_pay(
    one: tuple[float, float], wider: tuple[float, float] | None, taken: bool
) -> None:
    def made() -> Packed:
        assert wider is not None  # a fast graph is not even tried
        return several

    alone, several = engine(*one), engine(*(wider or one))
    rows = np.zeros((5, 2)), np.empty((5, 0), dtype=object)
    assert widened(alone, made, *rows) is (several if taken else alone)


def test_several_threads_give_the_same_scores() -> None:
    rows = np.array([[0.0], [0.25], [-3.5]]), np.array([["a"], [None], ["b"]], dtype=object)
    assert Session(_model(), INPUTS, 2).packed(*rows).tolist() == Session(_model(), INPUTS).packed(*rows).tolist()


def test_no_rows_give_no_scores() -> None:
    assert Scorer(_model(), INPUTS)({"v.x": np.zeros(0), "v.s": np.zeros(0, dtype=object)}).shape == (0,)


def test_a_missing_column_is_told() -> None:
    with pytest.raises(InvalidValue, match=r"'v\.s' is missing"):
        Scorer(_model(), INPUTS)({"v.x": np.zeros(1)})


@pytest.mark.parametrize("data", [b"", b"not onnx", _model()[:100]])
def test_bytes_that_are_no_graph_are_damage(data: bytes) -> None:
    with pytest.raises(Damaged):
        Scorer(data, INPUTS)


def test_another_contract_is_damage() -> None:
    with pytest.raises(Damaged, match="contract's inputs"):
        Scorer(_model(), INPUTS[:1])
