"""`mlflow models serve`, in an environment of its own, answers with the mirrored champion as we do."""

import json
import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from tests import tools
from tests.flows.test_import import CITIES, _mixed, _onnx
from tests.unit.app.small_workspace import make_workspace, opened

from mainspring.adapters.mlflow.mirror import tracking_uri
from mainspring.app.importing import Wanted, import_model
from mainspring.app.releases import promote_version, show_aliases

ROWS = 100
_START_S = 120.0


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _environment(folder: Path) -> Path:
    uv, python = str(tools.ROOT / "scripts" / "uv"), folder / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", str(folder)], check=True)
    listed = str(tools.ROOT / "requirements" / "tools" / "mlflow.txt")
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", str(python), "-r", listed, "onnxruntime"], check=True
    )  # fmt: skip
    return python


def _answered(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(f"{address}/ping", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(log.read_text()[-3000:])


@pytest.mark.tools
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_mlflow_serves_the_mirrored_champion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = make_workspace(tmp_path / "project", rows=50)
    model, frame = _mixed()
    kinds = [("size", FloatTensorType([None, 1])), ("city", StringTensorType([None, 1]))]
    (tmp_path / "m.onnx").write_bytes(_onnx(model, kinds))
    workspace = opened(root)
    found = import_model(workspace, Wanted(source=str(tmp_path / "m.onnx")))
    assert found.unmirrored == ""
    show_aliases(workspace, promote_version(workspace, 1, at_once=True, reason="test").release)
    port, log = _free_port(), tmp_path / "served.log"
    python = _environment(tmp_path / "served")
    environment = {
        **tools.quiet(), "MLFLOW_TRACKING_URI": tracking_uri(workspace.paths.state),
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    argv = [
        str(python.parent / "mlflow"), "models", "serve", "-m", "models:/small@champion", "--env-manager", "local",
        "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    with log.open("wb") as errors:
        process = subprocess.Popen(argv, stdout=errors, stderr=errors, env=environment)
    try:
        _answered(f"http://127.0.0.1:{port}", process, log)
        inputs = {"size": [[v] for v in frame["size"][:ROWS].tolist()]}
        inputs["city"] = [[name] for name in CITIES[:ROWS]]
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", json.dumps({"inputs": inputs}).encode(),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=30) as answered:
            said = json.loads(answered.read())["predictions"]
    finally:
        process.terminate()
        process.wait(timeout=30)
    scores = said["score"] if isinstance(said, dict) else [row["score"] for row in said]
    assert np.abs(np.array(scores, float).ravel() - model.predict_proba(frame)[:ROWS, 1]).max() < 1e-6
