"""PyTorch for real: a module trained, judged and served as a graph, and a file that torch.onnx.export wrote, adopted.

Needs the extra `torch` beside the project's packages; CI does not have it.
"""

import json
import subprocess
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.clients.live import COLUMNS, served
from tests.unit.app.small_workspace import make_workspace

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(
        find_spec("torch") is None or find_spec("onnxscript") is None, reason="PyTorch is not installed"
    ),
]
CODE = """
import json
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

HERE, NUMBERS = Path(__file__).parent, ["visit.size", "visit.hour", "lately.bad_share"]

def fit(frame, target, params):
    torch.manual_seed(0)
    prepare = ColumnTransformer([
        ("kind", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["visit.kind"]),
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
    ]).fit(frame)
    matrix = torch.from_numpy(prepare.transform(frame).astype(np.float32))
    net = nn.Sequential(nn.Linear(matrix.shape[1], 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1), nn.Sigmoid())
    optimizer, wanted = torch.optim.Adam(net.parameters(), 0.01), torch.from_numpy(target.to_numpy(np.float32))
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy(net(matrix)[:, 0], wanted).backward()
        optimizer.step()
    asked = pd.DataFrame(json.loads((HERE / "asked.json").read_text())).fillna({"visit.kind": ""})
    net.eval()
    with torch.no_grad():
        own = net(torch.from_numpy(prepare.transform(asked).astype(np.float32)))[:, 0]
    (HERE / "own.json").write_text(json.dumps(own.tolist()))
    net.train()
    return prepare, net
"""
EXPORT = """
import json, sys
import torch
from torch import nn
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(3, 512), nn.Tanh(), nn.Linear(512, 1), nn.Sigmoid()).eval()
shapes = ({0: torch.export.Dim("rows")},)
torch.onnx.export(net, (torch.zeros(3, 3),), sys.argv[1], dynamo=True, dynamic_shapes=shapes,
    external_data=sys.argv[2] == "beside", input_names=["x"], output_names=["p"])
print(json.dumps(net(torch.tensor([[0.5, -1.0, 2.0], [3.0, 0.0, -2.0]]))[:, 0].tolist()))
"""


def _done(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "mainspring", "-C", str(root), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def _told(root: Path, *words: str) -> str:
    done = _done(root, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _answers(url: str, model: str, instances: list[Any]) -> list[float]:
    request = urllib.request.Request(
        f"{url}/v1/models/{model}:predict", json.dumps({"instances": instances}).encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=60) as answer:
        return list(json.load(answer)["predictions"])


def test_a_module_is_trained_judged_released_and_served_with_its_own_answers(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "project", 3_000)
    code = root / "src" / "small"
    (code / "train.py").write_text(CODE)
    (code / "asked.json").write_text(json.dumps(COLUMNS))
    _told(root, "snapshot")
    _told(root, "train")
    _told(root, "promote", "1")
    own = json.loads((code / "own.json").read_text())
    instances = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
    with served(root, keys=False) as live:
        assert _answers(live.url, live.model, instances) == pytest.approx(own, abs=1e-6)
        assert live.expected() == pytest.approx(own, abs=1e-6)


def test_what_torch_onnx_export_wrote_is_adopted_and_served(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "project")
    whole, parted = tmp_path / "whole.onnx", tmp_path / "parted.onnx"
    for path, where in ((parted, "beside"), (whole, "inside")):
        argv = [sys.executable, "-c", EXPORT, str(path), where]
        own = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    refused = _done(root, "import", str(parted))
    assert refused.returncode != 0
    assert "external_data=False" in refused.stdout + refused.stderr
    _told(root, "import", str(whole))
    _told(root, "promote", "1")
    with served(root, keys=False) as live:
        instances = [{"x_0": 0.5, "x_1": -1.0, "x_2": 2.0}, {"x_0": 3.0, "x_1": 0.0, "x_2": -2.0}]
        assert _answers(live.url, live.model, instances) == pytest.approx(own, abs=1e-6)
