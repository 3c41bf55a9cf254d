"""Columns that a graph only joins are fed as one matrix: the same answers, the stored bytes untouched."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mainspring.adapters.onnx.joined import joined
from mainspring.adapters.onnx.scorer import Scorer
from mainspring.adapters.sklearn.convert import convert
from mainspring.adapters.sklearn.pandas_frames import frame_of
from mainspring.kernel.contract import Input
from mainspring.stats.columns import Columns

ROWS = 400
NUMBERS = tuple(f"v.n{place}" for place in range(6))
INPUTS = (*(Input(name=name, kind="number") for name in NUMBERS), Input(name="v.s", kind="string"))


def _data() -> tuple[Columns, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    random = np.random.default_rng(0)
    columns: Columns = {name: random.normal(size=ROWS).astype(np.float32).astype(np.float64) for name in NUMBERS}
    columns["v.s"] = random.choice(np.array(["a", "b", "c"], dtype=object), ROWS)
    return columns, (columns["v.n0"] + columns["v.n3"] > 0).astype(np.int64)


def _graph(*parts: tuple[str, object, list[str]], linear: bool = False) -> tuple[bytes, tuple[Input, ...]]:
    columns, target = _data()
    model = LogisticRegression() if linear else GradientBoostingClassifier(n_estimators=5, random_state=0)
    pipeline = Pipeline([("pick", ColumnTransformer(list(parts))), ("model", model)])
    return convert(pipeline.fit(frame_of(columns), target), INPUTS)


GRAPHS = {
    "all numbers": lambda: _graph(("n", "passthrough", list(NUMBERS))),
    "another order": lambda: _graph(("n", "passthrough", list(NUMBERS[::-1]))),
    "texts beside": lambda: _graph(
        ("s", OneHotEncoder(sparse_output=False), ["v.s"]), ("n", "passthrough", list(NUMBERS))
    ),
    "two groups": lambda: _graph(
        ("a", StandardScaler(), list(NUMBERS[:3])), ("b", "passthrough", list(NUMBERS[4:])), linear=True
    ),
    "a column twice": lambda: _graph(
        ("a", StandardScaler(), list(NUMBERS[:3])), ("b", "passthrough", list(NUMBERS[2:])), linear=True
    ),
    "one column": lambda: _graph(("n", "passthrough", ["v.n0"])),
}
JOINED = {"all numbers": [6], "another order": [6], "texts beside": [6], "two groups": [2, 3]}


@pytest.mark.parametrize("name", GRAPHS)
def test_the_joined_graph_gives_the_very_same_scores(name: str) -> None:
    data, used = GRAPHS[name]()
    loaded = joined(data)
    widths = sorted(len(columns) for columns in loaded.matrices.values())
    assert widths == JOINED.get(name, widths)
    onnx.checker.check_model(onnx.load_from_string(loaded.data))
    columns, _ = _data()
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    double = {item.name for item in session.get_inputs() if item.type == "tensor(double)"}  # linear models take them
    feed = {item.name: _fed(columns, item, item.name in double) for item in used}
    expected = session.run(None, feed)[0].reshape(-1)
    scorer = Scorer(data, used)
    scores = scorer(columns)
    np.testing.assert_allclose(scores, expected, atol=1e-7)
    numbers = np.column_stack([columns[item.name] for item in used if item.kind == "number"])
    texts = columns["v.s"].reshape(-1, 1)
    assert scorer.packed(numbers, texts).tolist() == scores.tolist()


def _fed(columns: Columns, item: Input, double: bool) -> object:
    values = columns[item.name].reshape(-1, 1)
    return values.astype(np.float64 if double else np.float32) if item.kind == "number" else values.astype(str)


def _joining(**changes: Any) -> bytes:  # noqa: ANN401 - what onnx.helper takes
    made: dict[str, Any] = {"axis": 1, "width": 1, "second": TensorProto.FLOAT, "more": (), **changes}
    inputs = [
        helper.make_tensor_value_info("a", TensorProto.FLOAT, [None, made["width"]]),
        helper.make_tensor_value_info("b", made["second"], [None, 1]),
    ]
    nodes = [helper.make_node("Concat", ["a", "b"], ["both"], axis=made["axis"]), *made["more"]]
    output = helper.make_tensor_value_info("both", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "model", inputs, [output])
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString())


@pytest.mark.parametrize(
    "changes",
    [
        {"axis": 0}, {"axis": -1}, {"width": 2}, {"width": None}, {"second": TensorProto.DOUBLE},
        {"more": (helper.make_node("Neg", ["a"], ["other"]),)},
        {"more": (helper.make_node("If", ["b"], ["other"]),)},
    ],
)  # fmt: skip
def test_anything_but_columns_of_one_kind_that_nobody_else_reads_stays(changes: dict[str, object]) -> None:
    data = _joining(**changes)
    assert joined(data).matrices == {}
    assert joined(data).data == data


def test_a_plain_join_goes() -> None:
    assert joined(_joining()).matrices == {"both": ("a", "b")}


@given(at=st.integers(0, 300), byte=st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_damaged_bytes_raise_nothing_here(at: int, byte: int) -> None:
    data = bytearray(_joining())
    data[at % len(data)] = byte
    joined(bytes(data))
    joined(bytes(data[: at % len(data)]))
