"""One server for the projects of a workspace: each follows its own release and keeps its own log."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.serve.signed_models import in_state

from mainspring.adapters.files.logs_reader import SegmentReader
from mainspring.adapters.git.releases import ReleaseFiles
from mainspring.app.server_process import ServerProcess
from mainspring.deliver.release import Champion, Release

FACTORS = {"flights": 0.5, "payments": 0.25}


def promote(folder: Path, model: str, version: int, factor: float) -> None:
    files = ReleaseFiles(folder)
    release = Release(model=model, champion=Champion(version=version, digest=in_state(folder, factor, model)))
    files.write("local", release, expected=files.head("local"), message="release", trailers={})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "workspace"
    made.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main", str(made)], check=True)
    (made / ".gitignore").write_text(".mainspring/\n")
    for name, factor in FACTORS.items():
        (made / "teams" / name).mkdir(parents=True)
        promote(made / "teams" / name, name, 1, factor)
    (made / "workspace.yaml").write_text("version: 1\nprojects: [teams/flights, teams/payments]\n")
    (made / ".mainspring").mkdir()
    return made


@pytest.fixture
def server(root: Path) -> Iterator[ServerProcess]:
    with ServerProcess(root, "flights") as running:
        yield running


def ask(url: str, document: object = None, method: str = "POST") -> tuple[int, Any]:
    data = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def infer(server: ServerProcess, model: str, value: float = 1.0) -> tuple[int, Any]:
    document = {"inputs": [{"name": "v.x", "shape": [1], "datatype": "FP64", "data": [value]}]}
    return ask(f"{server.addresses['public']}/v2/models/{model}/infer", document)


def test_each_project_answers_with_its_own_model_and_logs_at_home(server: ServerProcess, root: Path) -> None:
    for name, factor in FACTORS.items():
        status, answer = infer(server, name)
        assert (status, answer["outputs"][0]["data"]) == (200, [factor])
    server.flush()
    for name in FACTORS:
        records = SegmentReader(root / "teams" / name / ".mainspring" / "log").read().records
        assert len(records) == 1
    assert infer(server, "unknown")[0] == 404


def test_a_path_that_names_no_model_is_refused_with_a_way_out(server: ServerProcess) -> None:
    status, answer = ask(f"{server.addresses['public']}/invocations", {"inputs": {"v.x": [1.0]}})
    assert (status, answer["code"]) == (404, "model.unknown")


def test_a_model_is_unloaded_and_loaded_beside_the_other(server: ServerProcess) -> None:
    admin = f"{server.addresses['admin']}/v2/repository"
    states = {entry["name"]: entry["state"] for entry in ask(f"{admin}/index", {})[1]}
    assert states == {"flights": "READY", "payments": "READY"}
    assert ask(f"{admin}/models/payments/unload", {"parameters": {"unload_dependents": True}}) == (200, {})
    assert infer(server, "payments")[0] == 503
    assert infer(server, "flights")[0] == 200
    found = {entry["name"]: entry for entry in ask(f"{admin}/index", {})[1]}
    assert (found["payments"]["state"], found["payments"]["reason"]) == ("UNAVAILABLE", "unloaded by request")
    assert [entry["name"] for entry in ask(f"{admin}/index", {"ready": True})[1]] == ["flights"]
    for path, document, code in (
        ("index", {"ready": "yes"}, "request.parameter"), ("index", {"raedy": True}, "request.parameter"),
        ("index", [], "request.body"), ("models/payments/load", {"parameters": {"config": "{}"}}, "request.parameter"),
    ):  # fmt: skip
        status, answer = ask(f"{admin}/{path}", document)
        assert (status, answer["code"]) == (400, code)
    assert ask(f"{server.addresses['public']}/readyz", method="GET")[0] == 200
    assert ask(f"{admin}/models/payments/load", {}) == (200, {})
    assert infer(server, "payments")[0] == 200
    assert ask(f"{admin}/models/other/load", {})[0] == 404
    assert ask(f"{server.addresses['public']}/v2/repository/index", {})[0] == 404


def test_each_project_follows_its_own_release(server: ServerProcess, root: Path) -> None:
    promote(root / "teams" / "payments", "payments", 2, 0.125)
    ask(f"{server.addresses['admin']}/admin/reconcile", {})
    assert infer(server, "payments")[1]["outputs"][0]["data"] == [0.125]
    assert infer(server, "flights")[1]["outputs"][0]["data"] == [0.5]
