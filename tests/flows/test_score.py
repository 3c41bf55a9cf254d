"""Batch scoring: the server's answers, ids and log; what was done is not done again."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.linear_model import LogisticRegression
from tests.flows.small_project import START
from tests.unit.app.small_workspace import make_workspace, opened

from mainspring.adapters.frames.parquet import ParquetFrames
from mainspring.adapters.objects.bucket import Bucket
from mainspring.app.importing import Wanted, import_model
from mainspring.app.observing import lineage_ports
from mainspring.app.releases import promote_version
from mainspring.app.scoring import Batch, score_batch
from mainspring.app.training import take_snapshot
from mainspring.entry.cli.group import run
from mainspring.flows.lineage import lineage
from mainspring.kernel.errors import InvalidValue, NotFound, RunFailed
from mainspring.kernel.times import DAY, format_time

RANDOM = np.random.default_rng(5)
TABLE = RANDOM.normal(3, 1, size=(200, 2))
MODEL = LogisticRegression().fit(TABLE, (TABLE[:, 0] > 3).astype(int))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_workspace(tmp_path / "project", rows=300)
    graph = convert_sklearn(
        MODEL, "m", [("X", DoubleTensorType([None, 2]))], target_opset={"": 18, "ai.onnx.ml": 3},
        options={"zipmap": False},
    )  # fmt: skip
    (tmp_path / "m.onnx").write_bytes(graph.SerializeToString())
    (tmp_path / "inputs.json").write_text('["visit.size", "visit.hour"]')
    workspace = opened(root)
    wanted = Wanted(source=str(tmp_path / "m.onnx"), schema=tmp_path / "inputs.json", mirror=False)
    promote_version(workspace, import_model(workspace, wanted).version, at_once=True, reason="test")
    return root


def _csv(path: Path, rows: int = 200) -> Path:
    lines = ["key,asked_at,visit.size,visit.hour,more"]
    for row in range(rows):
        size, hour = TABLE[row].tolist()
        lines.append(f"k{row},2024-02-01T00:00:00Z,{size!r},{hour!r},x")
    path.write_text("\n".join(lines) + "\n")
    return path


def _read(out: Path) -> dict[str, list[object]]:
    parts = [ParquetFrames(keep=0).read(path) for path in sorted(out.glob("part-*.parquet"))]
    return {name: [value for part in parts for value in part[name].tolist()] for name in parts[0]}


def test_a_file_is_scored_as_the_server_would_and_every_row_can_be_traced(root: Path, tmp_path: Path) -> None:
    file, out, said = _csv(tmp_path / "rows.csv"), tmp_path / "out", list[str]()
    found = score_batch(opened(root), Batch(out=out, file=file, part_rows=80), said.append)
    assert (found.rows, found.parts, found.reused) == (200, 3, 0)
    assert said[-1] == "200 of 200 rows scored"
    table = _read(out)
    wanted = MODEL.predict_proba(TABLE)[:, 1]
    assert np.abs(np.array(table["score"], float) - wanted).max() < 1e-9
    assert table["key"] == [f"k{row}" for row in range(200)]
    assert len(set(table["prediction_id"])) == 200
    assert set(table["version"]) == {1}
    links = lineage(str(table["prediction_id"][150]), lineage_ports(opened(root)))
    assert [link.kind for link in links] == ["prediction", "release", "model", "import"]
    assert links[0].detail.startswith("key k150, asked at 2024-02-01T00:00:00")


def test_a_period_is_scored_with_the_features_that_training_would_see(root: Path, tmp_path: Path) -> None:
    workspace = opened(root)
    take_snapshot(workspace)
    start, end = START + 10 * DAY, START + 20 * DAY
    found = score_batch(workspace, Batch(out=tmp_path / "out", start=start, end=end))
    table = _read(tmp_path / "out")
    assert 0 < found.rows < 300
    assert all(start <= int(str(at)) < end for at in table["asked_at"])
    argv = ["-C", str(root), "score", "--period", format_time(start), format_time(end), "--json"]
    assert run([*argv, "--out", str(tmp_path / "again")]) == 0
    assert _read(tmp_path / "again")["score"] == table["score"]


def test_another_machine_goes_on_from_the_object_store_that_keeps_the_answers(root: Path, tmp_path: Path) -> None:
    file, to = _csv(tmp_path / "rows.csv"), (tmp_path / "kept").as_uri()
    one = Batch(out=tmp_path / "one", file=file, part_rows=80, to=to, sinks=((tmp_path / "logs").as_uri(),))
    score_batch(opened(root), one)
    assert sorted(path.name for path in (tmp_path / "kept").iterdir())[:2] == ["job.json", "part-00000.parquet"]
    assert Bucket((tmp_path / "logs").as_uri()).names("log")
    (tmp_path / "kept" / "part-00002.parquet").unlink()
    found = score_batch(opened(root), replace(one, out=tmp_path / "other", sinks=()))
    assert (found.parts, found.reused) == (3, 2)
    assert _read(tmp_path / "other")["prediction_id"][:160] == _read(tmp_path / "one")["prediction_id"][:160]


def test_what_was_done_before_a_kill_is_not_done_again(root: Path, tmp_path: Path) -> None:
    file, out = _csv(tmp_path / "rows.csv"), tmp_path / "out"
    argv = ["-C", str(root), "score", str(file), "--out", str(out), "--part-rows", "80", "--json"]
    assert run([*argv[:-1]]) == 0
    first = _read(out)["prediction_id"]
    (out / "part-00001.parquet").unlink()
    (out / "part-00002.parquet").unlink()
    killed = subprocess.run(
        [sys.executable, "-m", "mainspring", *argv], env={**os.environ, "MAINSPRING_FAILPOINT": "score.part:kill"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert killed.returncode == 137
    assert not (out / "part-00001.parquet").exists()
    done = subprocess.run([sys.executable, "-m", "mainspring", *argv], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["reused"] == 1
    table = _read(out)
    assert table["prediction_id"][:80] == first[:80]
    assert len(table["score"]) == 200
    assert not list(out.glob("*.tmp"))


def test_another_job_in_the_same_folder_is_refused(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    score_batch(opened(root), Batch(out=out, file=_csv(tmp_path / "rows.csv", 20)))
    with pytest.raises(RunFailed, match="another input, rows"):
        score_batch(opened(root), Batch(out=out, file=_csv(tmp_path / "rows.csv", 30)))
    (out / "job.json").unlink()
    with pytest.raises(RunFailed, match="unknown job"):
        score_batch(opened(root), Batch(out=out, file=tmp_path / "rows.csv"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no header"),
        ("key,key\n", "no header"),
        ("key,visit.size,visit.hour\n", "nothing to score"),
        ("visit.size,visit.hour\n1\n", "line 2 has 1 of 2"),
        ("visit.size,visit.hour\nbig,1\n", "holds a text"),
        ("more\n1\n", "neither inputs nor keys"),
        ("asked_at,visit.size,visit.hour\n,1,1\n", "asked_at is missing"),
    ],
)
def test_a_file_that_cannot_be_scored_is_told(root: Path, tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(InvalidValue, match=what):
        score_batch(opened(root), Batch(out=tmp_path / "out", file=tmp_path / "bad.csv"))


def test_without_a_release_or_a_file_there_is_nothing_to_ask(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "project", rows=20)
    with pytest.raises(NotFound, match="no model serves"):
        score_batch(opened(root), Batch(out=tmp_path / "out", file=tmp_path / "none.csv"))
