"""Bet (b): the exported graph answers as the original does, and one that does not is caught by the probe."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest

from mainspring.adapters.onnx.scorer import Scorer
from mainspring.adapters.sklearn.convert import rounded_down
from mainspring.adapters.sklearn.trainer import SklearnTrainer
from mainspring.develop import evidence
from mainspring.develop.errors import FunctionNotFound
from mainspring.develop.ports import Trained, TrainingJob
from mainspring.stats.columns import Columns, Floats

CODE = """
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

TEXTS, MANY, NUMBERS = ["v.kind"], ["v.place"], ["v.size", "v.hour", "v.rare"]

def _trees(**given):
    return HistGradientBoostingClassifier(max_iter=20, early_stopping=False, random_state=0, **given)

def _encoded(model, many=None):
    few = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    steps = [("few", few, TEXTS), ("numbers", "passthrough", NUMBERS)]
    return Pipeline([("e", ColumnTransformer(steps + ([("many", many, MANY)] if many else []))), ("m", model)])

def recipe(frame, target, params):
    return _encoded(CalibratedClassifierCV(_trees(), ensemble=False, cv=3), TargetEncoder()).fit(frame, target)

def ordinal(frame, target, params):
    return _encoded(_trees()).fit(frame, target)

def native(frame, target, params):
    return _encoded(_trees(categorical_features=[0])).fit(frame, target)

def logistic(frame, target, params):
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    encode = ColumnTransformer([("t", OneHotEncoder(handle_unknown="ignore"), TEXTS), ("n", numbers, NUMBERS)])
    return Pipeline([("e", encode), ("m", LogisticRegression())]).fit(frame, target)

def forest(frame, target, params):
    encode = ColumnTransformer([("n", "passthrough", ["v.size", "v.hour"])])
    return Pipeline([("e", encode), ("m", RandomForestClassifier(10, max_depth=6, random_state=0))]).fit(frame, target)
"""


def _table(rows: int, seed: int) -> tuple[Columns, Floats]:
    random = np.random.default_rng(seed)
    size = np.round(random.normal(20, 8, rows), 2)
    rare = np.where(random.random(rows) < 0.2, np.nan, random.random(rows))
    columns: Columns = {
        "v.size": size,
        "v.hour": random.integers(0, 24, rows).astype(np.float64),
        "v.kind": np.array(["a", "b", "c", "d", None], dtype=object)[random.integers(0, 5, rows)],
        "v.place": np.array([f"p{i}" for i in range(80)], dtype=object)[random.integers(0, 80, rows)],
        "v.rare": rare,
        "v.unused": random.normal(size=rows),
    }
    chance = 1 / (1 + np.exp(-((size - 20) / 8 + (columns["v.kind"] == "b") - 1)))
    return columns, (random.random(rows) < chance).astype(np.float64)


def _trained(root: Path, name: str) -> Trained:
    (root / "src").mkdir(exist_ok=True)
    (root / "src" / "probed.py").write_text(CODE)
    columns, target = _table(4_000, 1)
    holdout, _ = _table(1_000, 2)
    job = TrainingJob(function=f"probed:{name}", columns=columns, target=target, holdout=holdout, params={})
    return SklearnTrainer(root).train(job)


def _equality(trained: Trained) -> dict[str, float]:
    scores = Scorer(trained.model, trained.inputs)(trained.probe)
    return dict(evidence.equality(trained.probe_scores, scores))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return _trained(tmp_path_factory.mktemp("recipe"), "recipe")


@pytest.mark.xdist_group("recipe")
def test_the_recipe_equals_the_original_on_and_beside_every_threshold(recipe: Trained) -> None:
    assert _equality(recipe)["rows"] > 1_000
    assert _equality(recipe)["worst"] < 1e-6


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", ["logistic", "forest"])
def test_a_faithful_conversion_equals_the_original_on_and_beside_every_threshold(tmp_path: Path, name: str) -> None:
    trained = _trained(tmp_path, name)
    assert _equality(trained)["rows"] > 1_000
    assert _equality(trained)["worst"] < 1e-6


def test_native_categories_convert_without_an_error_and_are_caught(tmp_path: Path) -> None:
    found = _equality(_trained(tmp_path, "native"))
    assert found["worst"] > 0.01
    assert found["off"] > 0.3 * found["rows"]


@pytest.mark.xdist_group("recipe")
def test_the_graph_keeps_the_used_columns_under_their_names_and_nothing_about_its_maker(recipe: Trained) -> None:
    trained = recipe
    assert [item.name for item in trained.inputs] == ["v.size", "v.hour", "v.kind", "v.place", "v.rare"]
    model = onnx.load_from_string(trained.model)
    assert [value.name for value in model.graph.input] == [item.name for item in trained.inputs]
    assert [value.name for value in model.graph.output] == [trained.output] == ["score"]
    assert (model.producer_name, model.doc_string, model.graph.name) == ("", "", "model")
    assert not model.metadata_props


@pytest.mark.slow
def test_the_same_training_makes_the_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    """skl2onnx once wrote a set in its order; only another process shows it."""
    program = (
        "import sys; from pathlib import Path; from tests.unit.adapters.test_trainer import _trained;"
        " from mainspring.kernel.digests import digest_bytes;"
        " print(digest_bytes(_trained(Path(sys.argv[1]), 'ordinal').model))"
    )
    digests = set()
    for seed in ("1", "2", "3"):
        (tmp_path / seed).mkdir()
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / seed)],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        digests.add(done.stdout)
    assert len(digests) == 1


@pytest.mark.parametrize("name", ["no colon", "os:system()", "probed:", ":fit", "a..b:c", "probed:missing"])
def test_a_function_that_is_none_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "probed.py").write_text("def fit(frame, target, params): ...")
    columns, target = _table(10, 1)
    job = TrainingJob(function=name, columns=columns, target=target, holdout=columns, params={})
    with pytest.raises(FunctionNotFound):
        SklearnTrainer(tmp_path).train(job)


def test_a_threshold_is_never_rounded_up() -> None:
    for value in (23.5400003, 0.1, -0.1, 1e-50, 1e300, 5.0, float("inf")):
        assert rounded_down(value) <= value
        assert np.float32(rounded_down(value)) == rounded_down(value)
