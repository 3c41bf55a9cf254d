"""Boosted trees and linear models: the exported graph answers as the original on and beside every threshold."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from mainspring.adapters.onnx.scorer import Scorer
from mainspring.adapters.sklearn.boosted import split_points
from mainspring.adapters.sklearn.trainer import SklearnTrainer
from mainspring.develop import evidence
from mainspring.develop.ports import Trained, TrainingJob
from mainspring.stats.columns import Columns, Floats

CODE = """
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from sklearn.svm import NuSVC

NUMBERS = ["v.size", "v.hour", "v.rare"]

def _encoded(model):
    few = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return Pipeline([("e", ColumnTransformer([("t", few, ["v.kind"]), ("n", "passthrough", NUMBERS)])), ("m", model)])

def light(frame, target, params):
    from lightgbm import LGBMClassifier
    return _encoded(LGBMClassifier(n_estimators=30, verbose=-1, random_state=0, n_jobs=1)).fit(frame, target)

def light_alone(frame, target, params):
    from lightgbm import LGBMClassifier
    return LGBMClassifier(n_estimators=30, verbose=-1, random_state=0, n_jobs=1).fit(frame, target)

def light_words(frame, target, params):
    from lightgbm import LGBMClassifier
    model = LGBMClassifier(n_estimators=30, verbose=-1, random_state=0, n_jobs=1)
    return _encoded(model).fit(frame, target, m__categorical_feature=[0])

def extreme(frame, target, params):
    from xgboost import XGBClassifier
    return _encoded(XGBClassifier(n_estimators=30, max_depth=4, n_jobs=1)).fit(frame, target)

def extreme_alone(frame, target, params):
    from xgboost import XGBClassifier
    return XGBClassifier(n_estimators=30, max_depth=4, base_score=0.3, n_jobs=1).fit(frame, target)

def gradient(frame, target, params):
    return GradientBoostingClassifier(n_estimators=20).fit(frame.fillna(0), target)

def forest(frame, target, params):
    return RandomForestClassifier(20, random_state=0).fit(frame, target)

def linear(frame, target, params):
    return LogisticRegression(max_iter=5000, C=1e6).fit(frame.fillna(0) * 1, target)
"""
TEXTS = {"light", "light_words", "extreme"}


def _table(rows: int, seed: int, *, texts: bool, nulls: bool) -> tuple[Columns, Floats]:
    random = np.random.default_rng(seed)
    size = np.round(random.normal(20, 8, rows), 2)
    columns: Columns = {
        "v.size": size,
        "v.hour": random.integers(0, 24, rows).astype(np.float64),
        "v.rare": np.where(random.random(rows) < (0.2 if nulls else 0), np.nan, random.random(rows) * 1e5),
    }
    kind = np.array(["a", "b", "c", "d"], dtype=object)[random.integers(0, 4, rows)]
    if texts:
        columns["v.kind"] = kind
    chance = 1 / (1 + np.exp(-((size - 20) / 8 + (kind == "b") - 1)))
    return columns, (random.random(rows) < chance).astype(np.float64)


def _trained(root: Path, name: str) -> Trained:
    (root / "boosted_code.py").write_text(CODE)
    nulls = name not in ("gradient", "linear", "forest")
    columns, target = _table(2_000, 1, texts=name in TEXTS, nulls=nulls)
    holdout, _ = _table(500, 2, texts=name in TEXTS, nulls=nulls)
    job = TrainingJob(function=f"boosted_code:{name}", columns=columns, target=target, holdout=holdout, params={})
    return SklearnTrainer(root).train(job)


def _equality(trained: Trained) -> dict[str, float]:
    return dict(evidence.equality(trained.probe_scores, Scorer(trained.model, trained.inputs)(trained.probe)))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "name", ["light", "light_alone", "light_words", "extreme", "extreme_alone", "gradient", "forest", "linear"]
)
def test_it_converts_and_equals_the_original_on_and_beside_every_threshold(tmp_path: Path, name: str) -> None:
    trained = _trained(tmp_path, name)
    found = _equality(trained)
    assert found["rows"] > (550 if name == "linear" else 650)
    assert found["worst"] < (1e-12 if name == "linear" else 2e-6)
    assert {item.name for item in trained.inputs} >= {"v.size", "v.hour"}


@pytest.mark.filterwarnings("default")
def test_trees_are_fed_float32_and_linear_models_float64(tmp_path: Path) -> None:
    kinds = {}
    for name in ("forest", "linear"):
        model = onnx.load_from_string(_trained(tmp_path, name).model)
        kinds[name] = {value.type.tensor_type.elem_type for value in model.graph.input}
    assert kinds == {"forest": {onnx.TensorProto.FLOAT}, "linear": {onnx.TensorProto.DOUBLE}}


@pytest.mark.filterwarnings("default")
def test_thresholds_of_both_libraries_are_found() -> None:
    from lightgbm import LGBMClassifier
    from xgboost import XGBClassifier

    random = np.random.default_rng(0)
    table = random.normal(size=(400, 3))
    target = (table[:, 1] > 0).astype(int)
    for model in (LGBMClassifier(n_estimators=3, verbose=-1), XGBClassifier(n_estimators=3)):
        found = split_points(model.fit(table, target))
        assert found is not None
        assert len(found[1]) > 0
        assert max(found) <= 2
    assert split_points(object()) is None
