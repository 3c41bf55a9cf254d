"""The whole loop once, on 10,000 flights, with the commands that a user types.

snapshot -> features -> fit -> gate -> sign -> release commit -> serve -> one curl -> one label -> lineage.
"""

import http.client
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import numpy as np
import pytest

from mainspring.adapters.duckdb.training_sets import TrainingSets
from mainspring.adapters.sqlite.online import OnlineStore
from mainspring.app.features import materialise_features
from mainspring.app.training import take_snapshot
from mainspring.app.workspace import open_workspace
from mainspring.data.snapshots import from_json
from mainspring.flows.assemble import Assembler
from mainspring.flows.snapshot import find_snapshot, table_paths
from mainspring.kernel.times import parse_time
from mainspring.project.new import create
from mainspring.stats.columns import Array, is_null, take

ROWS = 10_000
AT = "2013-01-12T00:00:00Z"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("skeleton") / "flights"
    create(root, template="flights", name="flight-delay")
    source = root / "mainspring.yaml"
    text = source.read_text("utf-8").replace("holdout: 14d", "holdout: 3d")
    for strict, lenient in (
        ("p99: 5ms", "p99: 500ms"),
        ("at_least: 0.60", "at_least: 0.4"),
        ("at_least: 0.53", "at_least: 0.2"),
    ):
        text = text.replace(strict, lenient)  # other tests run beside this one, and nine days of flights teach little
    source.write_text(text, "utf-8")
    (root / ".gitignore").write_text(".mainspring/\ndata/\n", "utf-8")
    done = subprocess.run([sys.executable, "-m", "flight_delay.data"], cwd=root, env=_with_source(root), check=False)
    assert done.returncode == 0
    flights = (root / "data" / "flights.parquet").as_posix()
    with duckdb.connect() as connection:
        few = f"SELECT * FROM '{flights}' ORDER BY scheduled_departure, flight_id LIMIT {ROWS}"
        connection.execute(f"COPY ({few}) TO '{flights}.few' (FORMAT parquet)")
    shutil.move(f"{flights}.few", flights)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "begin"]):
        subprocess.run([*git, *command], cwd=root, check=True)
    return root


def _with_source(root: Path) -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(root / "src")}


def mainspring(root: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    argv = [sys.executable, "-m", "mainspring", "-C", str(root), *arguments, "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def server(project: Path) -> Iterator[dict[str, str]]:
    argv = [sys.executable, "-m", "mainspring", "-C", str(project), "serve", "--port", "0", "--json"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())
    process.terminate()
    assert process.wait(timeout=20) == 0
    process.stdout.close()


def curl(url: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    data = None if body is None else json.dumps(body).encode()
    connection.request("GET" if body is None else "POST", path, data, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    found: dict[str, Any] = json.loads(answer.read())
    connection.close()
    assert answer.status == 200, found
    return found


@pytest.mark.xdist_group("skeleton")
def test_the_loop_runs_once_from_snapshot_to_lineage(project: Path, request: pytest.FixtureRequest) -> None:
    taken = mainspring(project, "snapshot")
    assert taken["rows"]["flights"] == ROWS
    trained = mainspring(project, "train", "--at", AT)
    assert (trained["passed"], trained["version"]) == (True, 1)
    assert mainspring(project, "gate", "1")["passed"]
    released = mainspring(project, "promote", "1", "--env", "local")
    assert released["champion"] == {"version": 1, "digest": trained["digest"]}

    server = request.getfixturevalue("server")
    metadata = curl(server["public"], "/v2/models/flight-delay")
    inputs = [
        {
            "name": item["name"],
            "shape": [1],
            "datatype": item["datatype"],
            "data": ["UA" if item["datatype"] == "BYTES" else 1],
        }
        for item in metadata["inputs"]
    ]
    asked = {"inputs": inputs, "parameters": {"keys": ["f1"], "asked_at": "2013-01-12T10:00:00Z"}}
    answer = curl(server["public"], "/v2/models/flight-delay/infer", asked)
    (name,) = answer["parameters"]["prediction_ids"]
    assert 0 < answer["outputs"][0]["data"][0] < 1
    curl_flush(server["admin"])

    labels = project / "labels.jsonl"
    labels.write_text(json.dumps({"prediction_id": name, "value": 1}) + "\n", "utf-8")
    assert mainspring(project, "label", "labels.jsonl") == {"kept": 1, "refused": []}
    links = mainspring(project, "lineage", name)["links"]
    kinds = ["prediction", "release", "model", "run", "code", "snapshot", "source", "source", "source"]
    assert [link["kind"] for link in links] == kinds
    assert links[1]["id"] == released["commit"]
    assert links[2]["id"] == trained["digest"]
    assert links[5]["id"] == taken["digest"]
    assert mainspring(project, "audit", "verify")["whole"]


@pytest.mark.xdist_group("skeleton")
def test_a_thousand_flights_asked_by_key_have_the_features_that_training_saw(project: Path) -> None:
    """The skew test: the server's assembly from the online store against the point-in-time SQL; 0 differences."""
    workspace = open_workspace(project)
    take_snapshot(workspace)
    materialise_features(workspace)
    definitions = workspace.settings.definitions
    document = json.loads(workspace.store.get(str(find_snapshot(workspace.ledger).body["digest"])))
    sets = TrainingSets(table_paths(from_json(document), workspace.store))
    asks = sets.asks(definitions, parse_time("2013-01-08"), parse_time("2013-01-12"))
    asks = take(asks, np.linspace(0, len(asks["key"]) - 1, 1_000).astype(np.int64))
    trained = sets.build(definitions, asks)
    assembler = Assembler(definitions, OnlineStore(workspace.paths.state / "online.db"))
    served = assembler(asks["key"].tolist(), asks["at"].tolist(), {})
    assert list(served) == list(definitions.feature_names())
    wrong = {name: int(_different(served[name], trained[name]).sum()) for name in served}
    assert wrong == dict.fromkeys(served, 0)


def _different(a: Array, b: Array) -> Array:
    both_null = is_null(a) & is_null(b)
    return np.asarray((a != b) & ~both_null)


@pytest.mark.xdist_group("skeleton")
def test_a_feature_that_would_leak_is_refused_with_its_line(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "leaky", ignore=shutil.ignore_patterns(".mainspring", ".git"))
    source = tmp_path / "leaky" / "mainspring.yaml"
    text = source.read_text("utf-8").replace("distance, scheduled_minutes]", "distance, departure_delay]", 1)
    source.write_text(text, "utf-8")
    found = mainspring(tmp_path / "leaky", "check", code=2)
    (mistake,) = found["mistakes"]
    assert mistake["code"] == "feature.leak"
    line = text.splitlines()[mistake["line"] - 1]
    assert "departure_delay" in line


def curl_flush(url: str) -> None:
    curl(url, "/admin/flush", {})
