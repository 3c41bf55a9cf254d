"""A model that does not convert, from training to a live server: only by types that both files allow."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from tests.clients.live import COLUMNS, served
from tests.unit.app.small_workspace import FILE, make_workspace

from mainspring.adapters.sklearn.estimator_scorer import EstimatorScorer
from mainspring.adapters.skops.estimators import loaded
from mainspring.kernel.contract import read_contract
from mainspring.stats.columns import Columns

pytestmark = pytest.mark.slow
TRUST = [
    "functools.partial", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
]  # fmt: skip
INSTANCES = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]


def _done(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "mainspring", "-C", str(root), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def _project(root: Path, trust: list[str]) -> Path:
    """Make a project whose trees take categories by themselves, which no converter knows."""
    make_workspace(root, 3_000)
    params = f"params: {{native: true}}, runtime: python, trust: {json.dumps(trust)}"
    (root / "mainspring.yaml").write_text(FILE.replace("holdout: 10d}", f"holdout: 10d, {params}}}"), "utf-8")
    assert _done(root, "snapshot").returncode == 0
    return root


def _allow(root: Path) -> None:
    path = root / "environments" / "local" / "serving.yaml"
    path.write_text(f"trust: {json.dumps(TRUST)}\n", "utf-8")
    for words in (["add", str(path)], ["commit", "-qm", "Allow the types of our trees"]):
        subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True)


def test_without_allowed_types_it_is_refused_with_the_way_out(tmp_path: Path) -> None:
    refused = _done(_project(tmp_path / "project", TRUST[:1]), "train")
    assert refused.returncode != 0
    assert "TreePredictor" in refused.stdout + refused.stderr
    assert "training.trust" in refused.stdout + refused.stderr


def test_it_is_trained_judged_released_and_served(tmp_path: Path) -> None:
    root = _project(tmp_path / "project", TRUST)
    for words in (["train"], ["promote", "1"]):
        done = _done(root, *words)
        assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (root / ".mainspring" / "models").rglob("model.skops")
    contract = read_contract((file.parent / "contract.json").read_bytes())
    columns: Columns = {}
    for item in contract.inputs:
        kind = object if item.kind == "string" else float
        columns[item.name] = np.array(
            [np.nan if value is None and kind is float else value for value in COLUMNS[item.name]], dtype=kind
        )
    expected = EstimatorScorer(loaded(file.read_bytes(), TRUST), contract.inputs)(columns)
    _allow(root)
    with served(root, "--explain", keys=False) as live:
        for verb, name in (("predict", "predictions"), ("explain", "explanations")):
            request = urllib.request.Request(
                f"{live.url}/v1/models/{live.model}:{verb}", json.dumps({"instances": INSTANCES}).encode(),
                {"Content-Type": "application/json"},
            )  # fmt: skip
            with urllib.request.urlopen(request, timeout=120) as answer:
                found = json.load(answer)[name]
            scores = found if verb == "predict" else [row["score"] for row in found]
            assert scores == pytest.approx(expected.tolist(), abs=1e-9)
    assert _done(root, "train").returncode == 0  # the champion is judged beside the next candidate


def test_a_server_opens_no_type_that_its_own_file_does_not_allow(tmp_path: Path) -> None:
    root = _project(tmp_path / "project", TRUST)
    for words in (["train"], ["promote", "1"]):
        assert _done(root, *words).returncode == 0
    argv = [sys.executable, "-m", "mainspring", "-C", str(root), "serve", "--port", "0", "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            at = json.loads(process.stdout.readline())
            with urllib.request.urlopen(f"{at['admin']}/admin/state", timeout=10) as answer:
                state = answer.read().decode()
            assert "TreePredictor" in state
            assert '"loaded":[]' in state
        finally:
            process.terminate()
            assert process.wait(30) == 0
