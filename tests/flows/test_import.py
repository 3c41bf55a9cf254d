"""Adopt models of every shape: what serves answers as the original does, and what does not hold is refused."""

import json
import os
import pickle
import sqlite3
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from tests.unit.app.small_workspace import make_workspace, opened

from mainspring.adapters.onnx.scorer import Scorer
from mainspring.app.importing import Wanted, import_model
from mainspring.app.releases import audit, promote_version
from mainspring.app.server_process import ServerProcess
from mainspring.app.training import sync_tracking
from mainspring.develop.errors import ImportRefused
from mainspring.entry.cli.group import run
from mainspring.flows.adopt import Adopted
from mainspring.kernel.contract import Contract, read_contract
from mainspring.kernel.errors import InvalidValue, NotFound
from mainspring.observe.profiles import OUTPUT, read_reference
from mainspring.security.artifacts import ArtifactRefused
from mainspring.serve.batching import alone
from mainspring.serve.errors import BadInput, RowsRefused
from mainspring.serve.ports import LoadedModel
from mainspring.serve.scoring import Features, champions, heard
from mainspring.serve.versions import checked

RANDOM = np.random.default_rng(3)
NUMBERS = RANDOM.normal(size=(300, 4))
TARGET = (NUMBERS[:, 0] + NUMBERS[:, 1] > 0).astype(int)
CITIES = np.array(["Oslo", "Bergen", "Moss"], dtype=object)[RANDOM.integers(0, 3, 300)]
OPSETS = {"": 18, "ai.onnx.ml": 3}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("import"), rows=50)


def _onnx(estimator: Any, kinds: list[tuple[str, Any]], **options: Any) -> bytes:  # noqa: ANN401
    model = convert_sklearn(estimator, "m", kinds, target_opset=OPSETS, options=options or None)
    return bytes(model.SerializeToString())


def _adopt(project: Path, data: bytes, **wanted: Any) -> tuple[Adopted, Contract, Scorer]:  # noqa: ANN401
    file = project / "given.onnx"
    file.write_bytes(data)
    workspace = opened(project)
    found = import_model(workspace, Wanted(source=str(file), mirror=False, **wanted))
    files = workspace.models.open(found.digest, workspace.keys.trusted("local"))
    contract = read_contract(files["contract.json"])
    return found, contract, Scorer(files["model.onnx"], contract.inputs)


def _columns(contract: Contract, table: Any) -> dict[str, Any]:  # noqa: ANN401
    return {item.name: table[:, place] for place, item in enumerate(contract.inputs)}


@pytest.mark.parametrize(
    "fitted",
    [
        pytest.param(lambda: (GradientBoostingClassifier(n_estimators=9), FloatTensorType), id="trees"),
        pytest.param(lambda: (RandomForestClassifier(9), FloatTensorType), id="forest"),
        pytest.param(lambda: (LogisticRegression(), DoubleTensorType), id="linear"),
        pytest.param(lambda: (LogisticRegression(), Int64TensorType), id="whole"),
    ],
)
@pytest.mark.parametrize("zipmap", [True, False])
def test_one_matrix_with_label_and_probabilities(project: Path, fitted: Callable[[], Any], zipmap: bool) -> None:
    estimator, kind = fitted()
    zipmap = zipmap and kind is not DoubleTensorType  # onnxruntime has no map of doubles
    table = np.round(NUMBERS * 3) if kind is Int64TensorType else NUMBERS.astype(np.float32).astype(np.float64)
    estimator.fit(table, TARGET)
    data = _onnx(estimator, [("X", kind([None, 4]))], zipmap=zipmap)
    _, contract, scorer = _adopt(project, data)
    assert [item.name for item in contract.inputs] == ["X_0", "X_1", "X_2", "X_3"]
    wanted = estimator.predict_proba(table)[:, 1]
    assert np.abs(scorer(_columns(contract, table)) - wanted).max() < 1e-6


def _mixed() -> tuple[Any, Any]:
    import pandas as pd

    frame = pd.DataFrame({"size": NUMBERS[:, 0].astype(np.float32), "city": CITIES})
    encode = ColumnTransformer([("city", OneHotEncoder(handle_unknown="ignore"), ["city"])], remainder="passthrough")
    return Pipeline([("encode", encode), ("model", LogisticRegression())]).fit(frame, TARGET), frame


def test_several_inputs_of_several_kinds_and_a_sample_of_the_owners(project: Path, tmp_path: Path) -> None:
    model, frame = _mixed()
    data = _onnx(model, [("size", FloatTensorType([None, 1])), ("city", StringTensorType([None, 1]))])
    frame.head(3).to_csv(tmp_path / "rows.csv", index=False)
    found, contract, scorer = _adopt(project, data, sample=tmp_path / "rows.csv")
    assert [(item.name, item.kind) for item in contract.inputs] == [("size", "number"), ("city", "string")]
    assert contract.sample["columns"]["city"] == list(CITIES[:3])
    scores = scorer({"size": frame["size"].to_numpy(np.float64), "city": CITIES})
    assert np.abs(scores - model.predict_proba(frame)[:, 1]).max() < 1e-6
    assert found.scores == pytest.approx(scores[:3])


def test_a_schema_names_the_columns_and_a_class_is_chosen_by_name(project: Path, tmp_path: Path) -> None:
    words = np.array(["bad", "good"], dtype=object)[TARGET]
    model = LogisticRegression().fit(NUMBERS, words)
    data = _onnx(model, [("X", FloatTensorType([None, 4]))])
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps({"inputs": [{"name": f"visit.c{i}"} for i in range(4)]}))
    with pytest.raises(ImportRefused, match="bad, good"):
        _adopt(project, data)
    _, contract, scorer = _adopt(project, data, schema=schema, positive="bad")
    assert [item.name for item in contract.inputs] == [f"visit.c{i}" for i in range(4)]
    assert np.abs(scorer(_columns(contract, NUMBERS)) - model.predict_proba(NUMBERS)[:, 0]).max() < 1e-6
    with pytest.raises(ImportRefused, match="no class is called 'ugly'"):
        _adopt(project, data, positive="ugly")


def test_three_classes_need_a_word(project: Path) -> None:
    model = RandomForestClassifier(5).fit(NUMBERS, RANDOM.integers(0, 3, 300))
    data = _onnx(model, [("X", FloatTensorType([None, 4]))])
    with pytest.raises(ImportRefused, match="0, 1, 2"):
        _adopt(project, data)
    _, contract, scorer = _adopt(project, data, positive="2")
    table = NUMBERS.astype(np.float32).astype(np.float64)
    assert np.abs(scorer(_columns(contract, table)) - model.predict_proba(table)[:, 2]).max() < 1e-6


def test_adopted_twice_is_one_version_and_one_event(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "project", rows=50)
    data = _onnx(LogisticRegression().fit(NUMBERS, TARGET), [("X", DoubleTensorType([None, 4]))], zipmap=False)
    first, _, _ = _adopt(root, data)
    again, _, _ = _adopt(root, data)
    assert (first.version, first.digest) == (again.version, again.digest)
    workspace = opened(root)
    assert len(workspace.ledger.read(kind="model.imported")) == 1
    moved = promote_version(workspace, first.version, at_once=False, reason="adopted")
    assert moved.release.champion.digest == first.digest
    assert audit(workspace).whole


def _graph(nodes: list[Any], *, opset: int = 18, width: Any = 2, given: str = "X", **more: Any) -> bytes:  # noqa: ANN401
    inputs = [helper.make_tensor_value_info(given, TensorProto.FLOAT, [None, width])] if given else []
    output = helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph(nodes, "g", inputs, [output], more.get("constants", []))
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(name, 1) for name in more.get("domains", ()))]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def _added(target: str) -> list[Any]:
    axes = helper.make_node("Constant", [], ["axes"], value_ints=[1])
    return [axes, helper.make_node("ReduceSum", ["X", "axes"], [target], keepdims=1)]


def _sum() -> list[Any]:
    return [*_added("s"), helper.make_node("Sigmoid", ["s"], ["Y"])]


def _outside() -> bytes:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [2, 1], [1.0, 1.0])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")
    del tensor.float_data[:]
    return _graph([helper.make_node("MatMul", ["X", "w"], ["Y"])], constants=[tensor])


def _loop() -> bytes:
    body = helper.make_graph([], "b", [], [])
    return _graph([helper.make_node("Loop", ["n", "c", "X"], ["Y"], body=body)])


def _cyclic() -> bytes:
    return _graph([helper.make_node("Add", ["X", "Y"], ["a"]), helper.make_node("Sigmoid", ["a"], ["Y"])])


# Cases 67, 69 and 70 of the corpus of bad inputs, in this order.
BAD: list[tuple[str, bytes, type[Exception], str]] = [
    ("pickle", pickle.dumps({"model": [1, 2]}), ArtifactRefused, "pickle"),
    ("archive", b"PK\x03\x04" + b"\x00" * 60, ArtifactRefused, "zip"),
    ("json", b'{"a": 1}', ArtifactRefused, "not acceptable ONNX"),
    ("empty", b"", ArtifactRefused, "empty"),
    ("numbers", bytes(range(256)) * 40, ArtifactRefused, "not acceptable ONNX"),
    ("outside", _outside(), ArtifactRefused, "another file"),
    ("custom", _graph([helper.make_node("Evil", ["X"], ["Y"], domain="evil")], domains=("evil",)), ArtifactRefused,
     "operator of 'evil'"),
    ("loop", _loop(), ArtifactRefused, "may never end"),
    ("opset", _graph(_sum(), opset=999), ArtifactRefused, "does not exist"),
    ("old", _graph([helper.make_node("Sigmoid", ["X"], ["Y"])], opset=6, width=1), ImportRefused, "operator set 6"),
    ("cyclic", _cyclic(), ImportRefused, "does not load|not valid"),
    ("no inputs", _graph([helper.make_node("Constant", [], ["Y"], value_float=0.5)], given=""), ArtifactRefused,
     "0 inputs"),
    ("nan on zeros", _graph([*_added("s"), helper.make_node("Div", ["s", "s"], ["Y"])]), ImportRefused, "NaN"),
    ("no probability", _graph(_added("Y")), ImportRefused,
     "no probability"),
    ("one for all", _graph([helper.make_node("ReduceMean", ["X"], ["Y"], keepdims=1)]), ImportRefused, "for 5 rows"),
    ("unknown width", _graph(_sum(), width="k"), ImportRefused, "how many columns"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "error", "what"), [item[1:] for item in BAD], ids=[item[0] for item in BAD])
def test_what_may_not_be_adopted_is_refused_and_leaves_nothing(
    project: Path, data: bytes, error: type[Exception], what: str
) -> None:
    before = opened(project).ledger.head(), len(opened(project).versions.list("small"))
    with pytest.raises(error, match=what):
        _adopt(project, data)
    assert (opened(project).ledger.head(), len(opened(project).versions.list("small"))) == before


@pytest.mark.parametrize(
    ("schema", "what"),
    [
        (["a"], "names 1 inputs, the graph takes 2"),
        ([{"name": "a", "kind": "string"}, "b"], "'a' is a string, the graph takes a number"),
    ],
)
def test_a_model_card_that_says_otherwise_is_refused(project: Path, tmp_path: Path, schema: Any, what: str) -> None:  # noqa: ANN401
    card = tmp_path / "card.json"
    card.write_text(json.dumps(schema))
    with pytest.raises(ImportRefused, match=what):
        _adopt(project, _graph(_sum()), schema=card)


def test_a_schema_tells_the_width_that_a_graph_leaves_open(project: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    card.write_text('["a", "b", "c"]')
    _, contract, scorer = _adopt(project, _graph(_sum(), width="k"), schema=card)
    assert [item.name for item in contract.inputs] == ["a", "b", "c"]
    assert scorer(_columns(contract, np.zeros((2, 3)))).tolist() == [0.5, 0.5]


def test_a_fixed_batch_and_a_file_that_is_not_there_are_told(project: Path) -> None:
    graph = onnx.load_model_from_string(_graph(_sum()))
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(ImportRefused, match="exactly 1 rows"):
        _adopt(project, graph.SerializeToString())
    with pytest.raises(NotFound, match="cannot be read"):
        import_model(opened(project), Wanted(source=str(project / "none.onnx"), mirror=False))


def test_an_encoder_that_must_know_its_words_may_need_a_sample(project: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"city": CITIES})
    encode = ColumnTransformer([("city", OrdinalEncoder(), ["city"])])
    model = Pipeline([("encode", encode), ("m", LogisticRegression())]).fit(frame, TARGET)
    data = _onnx(model, [("city", StringTensorType([None, 1]))])
    _, contract, scorer = _adopt(project, data)
    assert np.abs(scorer({"city": CITIES}) - model.predict_proba(frame)[:, 1]).max() < 1e-6
    assert contract.sample["columns"]["city"] == [""] * 5


@pytest.mark.slow
def test_an_adopted_model_is_promoted_and_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_workspace(tmp_path / "project", rows=50)
    model, frame = _mixed()
    (root / "m.onnx").write_bytes(
        _onnx(model, [("size", FloatTensorType([None, 1])), ("city", StringTensorType([None, 1]))])
    )
    frame.head(4).to_json(root / "rows.json", orient="records")
    argv = ["-C", str(root), "import", str(root / "m.onnx"), "--sample", str(root / "rows.json"), "--json"]
    assert run(argv) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["version"] == 1
    assert told["not_features"] == ["size", "city"]
    assert run(["-C", str(root), "promote", "1"]) == 0
    body = {
        "inputs": [
            {"name": "size", "shape": [300], "datatype": "FP32", "data": frame["size"].tolist()},
            {"name": "city", "shape": [300], "datatype": "BYTES", "data": list(CITIES)},
        ]
    }
    with ServerProcess(root, "small") as server:
        address = f"{server.addresses['public']}/v2/models/small/infer"
        request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answered:
            scores = json.loads(answered.read())["outputs"][0]["data"]
    assert np.abs(np.array(scores) - model.predict_proba(frame)[:, 1]).max() < 1e-6
    assert run(["-C", str(root), "watch", "--once"]) == 0
    assert _aliases(root) == [("champion", 1)]  # what `models serve -m models:/small@champion` asks for
    assert run(["-C", str(root), "import", str(root / "rows.json")]) == 3
    shown = capsys.readouterr().err
    assert "artifact.refused" in shown
    assert "Traceback" not in shown


def _aliases(root: Path) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(root / ".mainspring" / "mlflow.db")) as database:
        return database.execute("SELECT alias, version FROM registered_model_aliases").fetchall()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_tracking_servers_version_is_taken_as_onnx_and_never_as_a_pickle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root, uri = make_workspace(tmp_path / "project", rows=50), f"sqlite:///{(tmp_path / 'other.db').as_posix()}"
    model = LogisticRegression().fit(NUMBERS, TARGET)
    data = _onnx(model, [("X", DoubleTensorType([None, 4]))], zipmap=False)
    columns = json.dumps([{"type": "double", "name": f"c{i}", "required": True} for i in range(4)])
    flavours: list[dict[str, Any]] = [
        {"onnx": {"data": "model.onnx"}, "python_function": {}},
        {"sklearn": {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}},
        {"pytorch": {"model_data": "data"}},
        {"onnx": {"data": "../model.onnx"}},
    ]
    _logged(uri, tmp_path, data, flavours, columns)
    workspace = opened(root)
    wanted = Wanted(source="models:/other/1", tracking_uri=uri)
    found = import_model(workspace, wanted)
    assert [item.name for item in found.inputs] == ["c0", "c1", "c2", "c3"]
    assert found.unmirrored == ""
    assert import_model(workspace, Wanted(source="models:/other@good", tracking_uri=uri)).digest == found.digest
    for version, what in ((2, "cloudpickle file"), (3, "flavours pytorch"), (4, "names the file")):
        with pytest.raises(ImportRefused, match=what):
            import_model(workspace, Wanted(source=f"models:/other/{version}", tracking_uri=uri))
    for source in ("models:/other/9", "models:/none/1", "models:/other@none"):
        with pytest.raises(NotFound, match=r"check the name|has no MLmodel"):
            import_model(workspace, Wanted(source=source, tracking_uri=uri))
    with pytest.raises(InvalidValue, match="names no version"):
        import_model(workspace, Wanted(source="models:/other", tracking_uri=uri))
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert (root / ".mainspring" / "mlflow.db").exists()
    assert sync_tracking(workspace) == 1


def _logged(uri: str, folder: Path, data: bytes, flavours: list[dict[str, Any]], columns: str) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.create_registered_model("other")
    for number, flavors in enumerate(flavours, start=1):
        place = folder / f"v{number}"
        place.mkdir()
        (place / "model.onnx").write_bytes(data)
        (place / "model.pkl").write_bytes(pickle.dumps(0))
        (place / "MLmodel").write_text(json.dumps({"flavors": flavors, "signature": {"inputs": columns}}))
        client.create_model_version("other", place.as_uri())
    client.set_registered_model_alias("other", "good", "1")


def test_a_fraction_for_a_whole_number_input_is_the_clients_mistake(project: Path) -> None:
    estimator = LogisticRegression().fit(np.round(NUMBERS * 3), TARGET)
    data = _onnx(estimator, [("X", Int64TensorType([None, 4]))], zipmap=False)
    _, contract, scorer = _adopt(project, data)
    version = checked(1, "sha256:" + "0" * 64, LoadedModel(contract=contract, engine=scorer))
    block = version.layout.packed(_columns(contract, np.array([[1.0, 2.0, 3.0, 4.5]])), 1)
    outcome = alone(version, block)
    assert isinstance(outcome, RowsRefused)
    assert outcome.told.status == 400
    assert outcome.told.code == "request.input"
    with pytest.raises(BadInput, match="whole numbers"):
        champions(Features(block, None), outcome)
    assert heard(outcome, 1_000).failure == "error"


def test_a_reference_gives_an_adopted_model_a_profile(project: Path, tmp_path: Path) -> None:
    table = NUMBERS.astype(np.float32).astype(np.float64)
    data = _onnx(GradientBoostingClassifier(n_estimators=5).fit(table, TARGET), [("X", FloatTensorType([None, 4]))])
    many = np.resize(table, (1_200, 4))
    lines = [
        f"{row[0]!r},{row[1]!r},,{row[3]!r},2024-01-{1 + at // 60:02d}T00:00:00Z"
        for at, row in enumerate(many.tolist())
    ]
    file = tmp_path / "rows.csv"
    file.write_text("\n".join(["X_0,X_1,X_2,X_3,asked_at", *lines]) + "\n", "utf-8")
    found, _, _ = _adopt(project, data, reference=file)
    workspace = opened(project)
    files = workspace.models.open(found.digest, workspace.keys.trusted("local"))
    reference = read_reference(files["profile.json"])
    assert (reference.rows, [column.name for column in reference.columns]) == (
        1_200,
        ["X_0", "X_1", "X_2", "X_3", OUTPUT],
    )
    assert next(column for column in reference.columns if column.name == "X_2").counts[-1] == 1_200
    for wrong, told in (
        ("X_0,X_1,X_2\n1,2,3\n", "no X_3"),
        ("\n".join(["X_0,X_1,X_2,X_3", *["1,2,3,4"] * 1_200]), "asked_at"),
    ):
        file.write_text(wrong, "utf-8")
        with pytest.raises(ImportRefused, match=told):
            _adopt(project, data, reference=file)
