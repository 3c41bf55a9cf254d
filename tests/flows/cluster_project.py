"""A rendered project whose production runs in a cluster: two versions of a real model, one released."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.linear_model import LogisticRegression
from tests import tools
from tests.flows.small_project import START
from tests.flows.test_import import CITIES, NUMBERS, _mixed, _onnx
from tests.unit.app.small_workspace import FILE, make_workspace, opened

from mainspring.adapters.files.keys import Keys as FileKeys
from mainspring.app.importing import Wanted, import_model
from mainspring.app.releases import promote_version
from mainspring.app.rendering import render_ports, subject_of
from mainspring.app.workspace import Workspace, open_workspace
from mainspring.deliver.ports import GATE
from mainspring.flows.render import render
from mainspring.kernel.times import DAY, FixedClock
from mainspring.security.keys import public_of

ENVIRONMENT = "production"
CHART = "helm/ml-api-chart"
_PRODUCTION = """environments:
  local: {}
  production: {platform: deployment, replicas: IMAGE, stores: {models: "s3://models/small"}}
"""
_RELEASED = "environments/production/release.yaml"


def make(root: Path) -> Path:
    """Make the project, adopt two versions that answer differently, trust this machine's key; nothing is released."""
    make_workspace(root, rows=50)
    with_image(root, "")
    workspace = opened(root)
    model, frame = _mixed()
    other = model.set_params(model=LogisticRegression(C=0.01))
    kinds = [("size", FloatTensorType([None, 1])), ("city", StringTensorType([None, 1]))]
    for estimator in (_mixed()[0], other.fit(frame, NUMBERS[:, 1] > 0)):
        (root / "m.onnx").write_bytes(_onnx(estimator, kinds))
        found = import_model(workspace, Wanted(source=str(root / "m.onnx"), mirror=False))
        workspace.models.attest(found.digest, GATE, b'{"passed": true}')
    FileKeys(workspace.paths.state, root).trust(ENVIRONMENT, public_of(workspace.keys.signing_key()))
    return root


def with_image(root: Path, image: str) -> None:
    """Write the project file with an image of production, or none."""
    more = f"1, image: {json.dumps(image)}" if image else "1"
    text = FILE.replace("environments: {local: {}}\n", _PRODUCTION.replace("IMAGE", more))
    (root / "mainspring.yaml").write_text(text, "utf-8")


def production(root: Path) -> Workspace:
    return open_workspace(root, environment=ENVIRONMENT, clock=FixedClock(START + 60 * DAY))


def promote(root: Path, version: int) -> None:
    """Release a version: its model goes to the store, its release file is committed."""
    promote_version(production(root), version, at_once=True, reason="test")


def write(root: Path) -> None:
    """Render the project."""
    workspace = opened(root)
    render(subject_of(workspace), render_ports(root), force=True)


def released(root: Path) -> bytes:
    """Return the release file as committed."""
    argv = ["git", "-C", str(root), "show", f"main:{_RELEASED}"]
    return subprocess.run(argv, capture_output=True, check=True).stdout


def template(root: Path, *more: str, namespace: str = "small-production") -> list[dict[str, Any]]:
    """Return the objects that helm makes of the chart, as YAML 1.2 reads them; `more` are further words for helm."""
    (root / _RELEASED).write_bytes(released(root))
    argv = [
        tools.program("helm"), "template", "small", str(root / CHART), "--namespace", namespace,
        "--values", str(root / "environments/production/values.yaml"), "--values", str(root / _RELEASED), *more,
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return [found for found in YAML(typ="safe", pure=True).load_all(done.stdout) if found]


def request(rows: int = 100) -> bytes:
    """Return a request of many rows."""
    size = [float(value) for value in NUMBERS[:rows, 0].astype(np.float32)]
    inputs = [
        {"name": "size", "shape": [rows], "datatype": "FP64", "data": size},
        {"name": "city", "shape": [rows], "datatype": "BYTES", "data": list(CITIES[:rows])},
    ]
    return json.dumps({"inputs": inputs}).encode()
