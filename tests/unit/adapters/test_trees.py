"""Our own walk through a forest answers as onnxruntime and the original do, and nothing hostile gets past its checks.

Where the compiled part was not built, only onnxruntime is asked.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler, TargetEncoder
from sklearn.tree import DecisionTreeClassifier
from tests.unit.adapters.forests import graph, inputs_of, listed, rows_around

from mainspring.adapters.onnx import trees
from mainspring.adapters.onnx.forest import Unsupported
from mainspring.adapters.onnx.graph_nodes import floats, read_graph
from mainspring.adapters.onnx.scorer import ONNX_RUNTIME, TREES, Scorer
from mainspring.adapters.onnx.session import Session
from mainspring.adapters.onnx.trees import Trees
from mainspring.adapters.sklearn.convert import convert
from mainspring.adapters.sklearn.pandas_frames import frame_of
from mainspring.kernel.contract import Input
from mainspring.stats.columns import Columns, Floats

ENGINES: list[Callable[[bytes, Any], Any]] = [Session, Trees] if trees.BUILT else [Session]
OWN = ENGINES[1:]
NUMBERS, TEXTS = ("v.a", "v.b", "v.c"), ("v.s", "v.t")
EMPTY = np.empty((0, 0), dtype=object)


def test_the_evaluator_is_built_wherever_a_compiler_is() -> None:
    wanted = shutil.which("cc") and os.name == "posix" and not os.environ.get("MAINSPRING_NO_EXTENSION")
    assert trees.BUILT or not wanted


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), leaves=st.sampled_from([1, 2, 5, 32, 33, 60]), trees=st.integers(1, 20))
def test_it_equals_onnxruntime_bit_for_bit_at_and_beside_every_threshold(seed: int, leaves: int, trees: int) -> None:
    random = np.random.default_rng(seed)
    attributes = listed(random, 4, trees, leaves)
    data, rows = graph(attributes, 4), rows_around(random, attributes["nodes_values"], 53, 4)
    expected = Session(data, inputs_of(4)).packed(rows, EMPTY)
    for engine in OWN:
        scorer = engine(data, inputs_of(4))
        assert scorer.packed(rows, EMPTY).tolist() == expected.tolist()
        assert [scorer.packed(rows[i : i + 1], EMPTY)[0] for i in range(20)] == expected[:20].tolist()
        assert scorer.packed(np.asfortranarray(rows), EMPTY).tolist() == expected.tolist()
        assert scorer.packed(rows[::-1], EMPTY).tolist() == expected[::-1].tolist()
        odd = np.frombuffer(b"0" + rows.tobytes(), "<f8", offset=1).reshape(rows.shape)  # as behind a JSON head
        assert scorer.packed(odd, EMPTY).tolist() == expected.tolist()


def _table(rows: int, seed: int) -> tuple[Columns, NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    columns: Columns = {name: np.round(random.normal(size=rows), 2).astype(np.float32) * 1.0 for name in NUMBERS}
    columns = {name: values.astype(np.float64) for name, values in columns.items()}
    for name in TEXTS:
        columns[name] = random.choice(np.array(["a", "b", "c", "d"], dtype=object), rows)
    score = columns["v.a"] + columns["v.b"] ** 2 + (columns["v.s"] == "b") + random.normal(size=rows)
    return columns, (score > 1).astype(np.int64)


def _encoded(model: object) -> Pipeline:
    few = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    many = TargetEncoder(target_type="binary", cv=StratifiedKFold(3))
    steps = [("few", few, ["v.s"]), ("many", many, ["v.t"]), ("numbers", "passthrough", list(NUMBERS))]
    return Pipeline([("encode", ColumnTransformer(steps)), ("model", model)])


MODELS: dict[str, Callable[[], Any]] = {
    "gradient boosting": lambda: GradientBoostingClassifier(n_estimators=20, random_state=0),
    "random forest": lambda: RandomForestClassifier(10, random_state=0),
    "extra trees": lambda: ExtraTreesClassifier(10, random_state=0),
    "decision tree": lambda: DecisionTreeClassifier(random_state=0),
    "histograms": lambda: HistGradientBoostingClassifier(max_iter=10, random_state=0),
    "texts, calibrated": lambda: _encoded(
        CalibratedClassifierCV(DecisionTreeClassifier(max_depth=4, random_state=0), ensemble=False, cv=2)
    ),
}


def _converted(model: Any) -> tuple[Any, bytes, tuple[Input, ...]]:  # noqa: ANN401 - any classifier
    texts = isinstance(model, Pipeline) and "encode" in model.named_steps
    columns, target = _table(600, 1)
    names = [*NUMBERS, *(TEXTS if texts else ())]
    fitted = model.fit(frame_of({name: columns[name] for name in names}), target)
    data, inputs = convert(fitted, [Input(name=n, kind="string" if n in TEXTS else "number") for n in names])
    return fitted, data, inputs


@pytest.mark.parametrize("name", MODELS)
def test_it_equals_the_original_at_and_beside_every_threshold(name: str) -> None:
    fitted, data, inputs = _converted(MODELS[name]())
    (ensemble,) = [node for node in read_graph(data).nodes if node.kind == "TreeEnsembleClassifier"]
    random = np.random.default_rng(3)
    cuts = floats(ensemble.attributes["nodes_values"])
    numbers = rows_around(random, cuts.tolist(), 2_000, 3)
    if name != "histograms":
        numbers = np.nan_to_num(numbers, nan=0.5, posinf=1e30, neginf=-1e30)
    numbers = np.clip(numbers, -1e30, 1e30)  # scikit-learn refuses what float32 cannot hold
    columns: Columns = {name: numbers[:, place] for place, name in enumerate(NUMBERS)}
    columns |= {name: random.choice(np.array(["a", "b", "c", "d", "new"], dtype=object), 2_000) for name in TEXTS}
    used = {item.name: columns[item.name] for item in inputs}
    expected = fitted.predict_proba(frame_of(used))[:, 1]
    scorer = Scorer(data, inputs)
    assert scorer.engine == (TREES if trees.BUILT else ONNX_RUNTIME)
    np.testing.assert_allclose(scorer(used), expected, atol=1e-6)
    texts = np.column_stack([used[t] for t in used if t in TEXTS]) if len(used) > 3 else EMPTY
    found = [engine(data, inputs).packed(numbers, texts) for engine in ENGINES]
    assert all(np.abs(scores - found[0]).max() <= 2.4e-7 for scores in found)


def test_a_missing_text_is_an_empty_one() -> None:
    _, data, inputs = _converted(MODELS["texts, calibrated"]())
    scorer = Scorer(data, inputs)
    columns: Columns = {name: np.zeros(3) for name in NUMBERS}
    columns |= {name: np.array([None, "", "never seen"], dtype=object) for name in TEXTS}
    scores = scorer(columns)
    assert scores[0] == scores[1] == scores[2]
    assert columns["v.s"].tolist() == [None, "", "never seen"]


def test_what_is_no_plain_forest_stays_with_onnxruntime() -> None:
    model = Pipeline([("scale", StandardScaler()), ("model", GradientBoostingClassifier(n_estimators=5))])
    _, data, inputs = _converted(model)
    scorer = Scorer(data, inputs)
    assert scorer.engine == ONNX_RUNTIME
    assert scorer.why == (trees.NOT_BUILT if not trees.BUILT else "FeatureVectorizer of 3 values")
    assert Scorer(graph(listed(np.random.default_rng(0), 2, 3, 4), 2), inputs_of(2)).why in ("", trees.NOT_BUILT)


def test_an_evaluator_that_is_off_on_the_recorded_sample_is_not_used() -> None:
    random = np.random.default_rng(0)
    attributes = listed(random, 2, 3, 4)
    data, rows = graph(attributes, 2), rows_around(random, attributes["nodes_values"], 5, 2)
    columns: Columns = {"v.x0": rows[:, 0], "v.x1": rows[:, 1]}
    scores: Floats = Scorer(data, inputs_of(2))(columns)
    assert Scorer(data, inputs_of(2), sample=(columns, scores)).why in ("", trees.NOT_BUILT)
    off = Scorer(data, inputs_of(2), sample=(columns, scores + 2e-6))
    assert (off.engine, "recorded sample" in off.why or off.why == trees.NOT_BUILT) == (ONNX_RUNTIME, True)


DAMAGE: dict[str, Callable[[dict[str, Any]], object]] = {
    "a child that is not there": lambda a: a["nodes_truenodeids"].__setitem__(0, 99),
    "a child below 0": lambda a: a["nodes_truenodeids"].__setitem__(0, -1),
    "a cycle": lambda a: a["nodes_falsenodeids"].__setitem__(1, 1),
    "a way back to the root": lambda a: a["nodes_falsenodeids"].__setitem__(1, 0),
    "a feature that is not there": lambda a: a["nodes_featureids"].__setitem__(0, 2),
    "a feature below 0": lambda a: a["nodes_featureids"].__setitem__(0, -1),
    "a huge feature": lambda a: a["nodes_featureids"].__setitem__(0, 2**62),
    "a threshold that is no number": lambda a: a["nodes_values"].__setitem__(0, float("nan")),
    "a list cut short": lambda a: a["nodes_values"].pop(),
    "a tree called -1": lambda a: a["nodes_treeids"].__setitem__(0, -1),
    "two nodes of one name": lambda a: a["nodes_nodeids"].__setitem__(1, 2),
    "a weight on a branch": lambda a: a["class_nodeids"].__setitem__(0, 0),
    "a weight too few": lambda a: [
        a[k].pop() for k in ("class_nodeids", "class_treeids", "class_ids", "class_weights")
    ],
    "three classes": lambda a: a["class_ids"].__setitem__(0, 2),
    "an infinite weight": lambda a: a["class_weights"].__setitem__(0, float("inf")),
    "an unknown branch": lambda a: a["nodes_modes"].__setitem__(0, "BRANCH_MEMBER"),
    "another transform": lambda a: a.__setitem__("post_transform", "PROBIT"),
    "weights as float64": lambda a: a.__setitem__("aggregate_function", "SUM"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_forest_is_left_to_onnxruntime(name: str) -> None:
    attributes = listed(np.random.default_rng(5), 2, 2, 6)
    DAMAGE[name](attributes)
    data = graph(attributes, 2)
    for engine in OWN:
        with pytest.raises(Unsupported):
            engine(data, inputs_of(2))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_changed_bytes_never_reach_beyond_the_arrays(seed: int) -> None:
    random = np.random.default_rng(seed)
    data = bytearray(graph(listed(random, 3, 3, 9), 3))
    for at in random.integers(len(data), size=int(random.integers(1, 4))):
        data[at] = random.integers(256)
    for engine in OWN:
        try:
            scorer = engine(bytes(data), inputs_of(3))
        except Unsupported:
            continue
        assert scorer.packed(random.normal(size=(40, 3)), EMPTY).shape == (40,)


def _arrays(random: np.random.Generator) -> list[Any]:
    """Return the arguments of `plan`, about half of them plausible."""
    count = int(random.integers(1, 12))
    left = np.array([-1 if random.random() < 0.6 else at + 1 for at in range(count)], np.int32)
    left[-2:] = -1
    arrays: list[Any] = [
        random.normal(size=count).astype(np.float32), random.integers(0, 3, count).astype(np.int32), left,
        random.integers(0, 4, count).astype(np.uint8), random.normal(size=count).astype(np.float32),
        random.integers(0, count, min(count, 2)).astype(np.int32),
        np.array([(0, 1.0)], np.dtype([("kind", "<i4"), ("constant", "<f4")])),
    ]  # fmt: skip
    if random.random() < 0.5:
        place = int(random.integers(7))
        raw = np.frombuffer(arrays[place].tobytes(), np.uint8).copy()
        raw[random.integers(len(raw))] = random.integers(256)
        arrays[place] = raw[: len(raw) - int(random.integers(0, 2) * random.integers(0, 5))]
    return [3, 0.0, *arrays]


def fuzzed(evaluator: Any, cases: int, seed: int) -> tuple[int, int]:  # noqa: ANN401 - the compiled module
    """Give a compiled evaluator arrays that are often wrong; return how many it took and how many it refused."""
    random, refused = np.random.default_rng(seed), 0
    for _ in range(cases):
        try:
            plan = evaluator.plan(*_arrays(random))
        except ValueError:
            refused += 1
            continue
        for rows in (1, 5, 20):
            numbers = random.choice([0.0, 1.0, np.nan, np.inf], (rows, 3))
            evaluator.score(plan, numbers, np.empty(rows))
    return cases - refused, refused


def test_wrong_arrays_are_refused_and_every_other_one_can_be_walked() -> None:
    for evaluator in [trees.EVALUATOR] if trees.BUILT else []:
        taken, refused = fuzzed(evaluator, 3_000, 7)
        assert min(taken, refused) > 500


def test_rows_of_another_shape_or_type_are_refused() -> None:
    for evaluator in [trees.EVALUATOR] if trees.BUILT else []:
        plan = evaluator.plan(*_arrays(np.random.default_rng(4)))
        for numbers, out in (
            (np.zeros((2, 4)), np.empty(2)), (np.zeros(3), np.empty(1)), (np.zeros((2, 3)), np.empty(3)),
            (np.zeros((2, 3), np.int64), np.empty(2)), (np.zeros((2, 3)), np.empty(2, np.float32)),
        ):  # fmt: skip
            with pytest.raises(ValueError, match=r"rows|scores"):
                evaluator.score(plan, numbers, out)
        with pytest.raises((BufferError, ValueError)):
            evaluator.score(plan, np.zeros((2, 3)), np.frombuffer(bytes(16)))
        with pytest.raises(ValueError, match="PyCapsule"):
            evaluator.score(object(), np.zeros((2, 3)), np.empty(2))


def test_many_rows_give_other_threads_a_turn_and_the_same_scores() -> None:
    random = np.random.default_rng(0)
    data, rows = graph(listed(random, 3, 10, 31), 3), random.normal(size=(60_000, 3))
    for engine in OWN:
        scorer = engine(data, inputs_of(3))
        whole = scorer.packed(rows, EMPTY)
        assert whole[100:140].tolist() == scorer.packed(rows[100:140], EMPTY).tolist()


def test_no_rows_give_no_scores() -> None:
    scorer = Scorer(graph(listed(np.random.default_rng(0), 2, 3, 4), 2), inputs_of(2))
    assert scorer({"v.x0": np.zeros(0), "v.x1": np.zeros(0)}).shape == (0,)


@pytest.mark.slow
def test_under_the_compilers_own_checks_nothing_is_read_beyond_an_array(tmp_path: Path) -> None:
    import subprocess
    import sys

    root = Path(__file__).parents[3]
    checks = "-fsanitize=address,undefined -fno-sanitize-recover=all -g -O1"
    environment = {**os.environ, "CFLAGS": checks, "PYTHONPATH": f"{root}:{tmp_path}"}
    target = tmp_path / "_trees.abi3.so"
    build = f"import hatch_build as h, pathlib as p; print(h.compiled(p.Path({str(root)!r}), p.Path({str(target)!r})))"
    built = subprocess.run(
        [sys.executable, "-c", build], check=True, env=environment, cwd=root, capture_output=True, text=True
    )
    assert target.exists(), built.stdout
    library = subprocess.run(["cc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True).stdout
    use = "import _trees; from tests.unit.adapters.test_trees import fuzzed; print(fuzzed(_trees, 20_000, 11))"
    environment |= {"LD_PRELOAD": library.strip(), "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(
        [sys.executable, "-c", use], env=environment, cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
