"""PyTorch modules: exported graphs answer as the module; what breaks the contract is told with the way out.

Where PyTorch is not installed only what needs none of it runs: `pip install 'mainspring[torch]'` for the rest.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest

from mainspring.adapters.onnx.scorer import Scorer
from mainspring.adapters.sklearn.trainer import SklearnTrainer
from mainspring.develop import evidence
from mainspring.develop.errors import FunctionFailed, FunctionNotFound, NotConvertible
from mainspring.develop.ports import Trained, TrainingJob
from mainspring.kernel.contract import Runtime
from mainspring.kernel.errors import MainspringError
from mainspring.security.artifacts import audit
from mainspring.stats.columns import Columns

torch_only = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
CODE = """
import numpy as np
import torch
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from torch import nn

torch.manual_seed(0)  # the module is imported afresh for each training
NUMBERS, TEXTS = ["v.size", "v.hour", "v.rare"], ["v.kind"]

def _learnt(module, matrix, target):
    rows, wanted = torch.from_numpy(np.asarray(matrix, np.float32)), torch.from_numpy(target.to_numpy(np.float32))
    optimizer = torch.optim.Adam(module.parameters(), 0.05)
    for _ in range(20):
        optimizer.zero_grad()
        score = module(rows)
        score = score[:, 1] if score.ndim > 1 and score.shape[1] == 2 else score.reshape(-1)
        nn.functional.binary_cross_entropy(score, wanted).backward()
        optimizer.step()
    return module  # as fitted: still in training mode, with its dropout

def _layers(width, *end):
    return nn.Sequential(nn.Linear(width, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.4), *end)

def alone(frame, target, params):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = _layers(4, nn.Linear(16, 1))
            self.words = nn.Embedding(24, 2)
        def forward(self, x):
            hour = self.words(x[:, 1].clamp(0, 23).long())
            rest = torch.nan_to_num(x[:, [0, 2]]) / 10
            return torch.sigmoid(self.layers(torch.cat([hour, rest], 1)))[:, 0]
    return _learnt(Net(), frame[NUMBERS], target)

def pair(frame, target, params):
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    kinds = OneHotEncoder(handle_unknown="ignore")
    prepare = ColumnTransformer([("k", kinds, TEXTS), ("n", numbers, NUMBERS)]).fit(frame)
    matrix = prepare.transform(frame)
    matrix = matrix.toarray() if hasattr(matrix, "toarray") else matrix
    return prepare, _learnt(_layers(matrix.shape[1], nn.Linear(16, 1), nn.Sigmoid()), matrix, target)

def scaled(frame, target, params):
    prepare = StandardScaler().fit(frame.fillna(0))
    layers = nn.Sequential(nn.Linear(3, 2), nn.Softmax(1))
    return prepare, _learnt(layers, prepare.transform(frame), target)

def logits(frame, target, params):
    return nn.Sequential(nn.Linear(3, 1))

def two_logits(frame, target, params):
    return nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())

def three(frame, target, params):
    return nn.Sequential(nn.Linear(3, 3), nn.Softmax(1))

def double(frame, target, params):
    return nn.Sequential(nn.Linear(3, 1), nn.Sigmoid()).double()

class _Branching(nn.Module):
    def forward(self, x):
        return torch.sigmoid(x[:, 0] if x.sum() > 0 else x[:, 1])

def branching(frame, target, params):
    return _Branching()
"""
WITH_TEXTS = {"pair"}
WITH_NULLS = {"alone", "pair"}


def _table(rows: int, seed: int, name: str) -> Columns:
    random = np.random.default_rng(seed)
    rare = random.random(rows)
    columns: Columns = {
        "v.size": np.round(random.normal(20, 8, rows), 2),
        "v.hour": random.integers(0, 24, rows).astype(np.float64),
        "v.rare": np.where(random.random(rows) < 0.2, np.nan, rare) if name in WITH_NULLS else rare,
    }
    if name in WITH_TEXTS:
        columns["v.kind"] = np.array(["a", "b", None], dtype=object)[random.integers(0, 3, rows)]
    return columns


def _trained(root: Path, name: str, runtime: Runtime = "onnx", code: str = CODE) -> Trained:
    (root / "network_code.py").write_text(code)
    columns = _table(600, 1, name)
    job = TrainingJob(
        function=f"network_code:{name}", columns=columns, target=(columns["v.size"] > 20).astype(np.float64),
        holdout=_table(200, 2, name), params={}, runtime=runtime,
    )  # fmt: skip
    return SklearnTrainer(root).train(job)


@torch_only
@pytest.mark.slow
@pytest.mark.parametrize("name", ["alone", "pair", "scaled"])
def test_the_graph_answers_as_the_module_and_holds_nothing_but_weights(tmp_path: Path, name: str) -> None:
    trained = _trained(tmp_path, name)
    scores = Scorer(trained.model, trained.inputs)(trained.probe)
    found = evidence.equality(trained.probe_scores, scores)
    assert found["rows"] > 300
    assert found["worst"] < 1e-6
    assert scores.std() > 0.01
    alone = Scorer(trained.model, trained.inputs)({key: values[:1] for key, values in trained.probe.items()})
    assert alone == pytest.approx(scores[:1], abs=1e-6)
    audit("model.onnx", trained.model)
    model = onnx.load_from_string(trained.model)
    assert [value.name for value in model.graph.input] == [item.name for item in trained.inputs]
    assert (model.producer_name, model.graph.name) == ("", "model")
    assert str(tmp_path).encode() not in trained.model
    assert b"network_code" not in trained.model
    assert _trained(tmp_path, name).model == trained.model


@torch_only
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("logits", FunctionFailed, "no probability"),
        ("two_logits", FunctionFailed, "add up to 1"),
        ("three", FunctionFailed, r"shape \[3, 3\]"),
        ("double", FunctionFailed, "the module fails on 3 rows"),
        ("branching", NotConvertible, "_Branching does not convert to ONNX"),
    ],
)
def test_what_breaks_the_contract_is_told(tmp_path: Path, name: str, kind: type[MainspringError], words: str) -> None:
    with pytest.raises(kind, match=words) as told:
        _trained(tmp_path, name)
    assert told.value.fix


@torch_only
@pytest.mark.slow
def test_texts_need_a_transformer_and_python_models_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(FunctionFailed, match=r"v\.kind is text"):
        _trained(tmp_path, "pair", code=CODE.replace("return prepare, _learnt", "return _learnt"))
    with pytest.raises(NotConvertible, match="as a graph only"):
        _trained(tmp_path, "logits", runtime="python")


@pytest.mark.parametrize(("library", "extra"), [("torch", "torch"), ("onnxscript", "torch"), ("lightgbm", "boost")])
def test_a_missing_library_is_told_with_the_line_that_installs_it(tmp_path: Path, library: str, extra: str) -> None:
    absent = f"raise ModuleNotFoundError('No module named {library}', name='{library}')"
    with pytest.raises(FunctionNotFound) as told:
        _trained(tmp_path, "fit", code=absent)
    assert told.value.fix == f"pip install 'mainspring[{extra}]'"
    with pytest.raises(FunctionFailed) as told_later:
        _trained(tmp_path, "fit", code=f"def fit(frame, target, params):\n    {absent}\n")
    assert told_later.value.fix == f"pip install 'mainspring[{extra}]'"


def test_another_missing_module_is_told_as_before(tmp_path: Path) -> None:
    with pytest.raises(FunctionNotFound, match="cannot be imported") as told:
        _trained(tmp_path, "fit", code="import no_such_module_anywhere")
    assert "pip install" not in told.value.fix
