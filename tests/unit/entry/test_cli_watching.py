"""`watch`, `status`, `label` and `lineage` on a project: answers, mistakes, exit codes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.flows.small_project import START
from tests.unit.app.small_workspace import add_model, make_workspace, opened
from tests.unit.flows.story import request

from mainspring.adapters.files.logs import SegmentWriter
from mainspring.app.serving import ServerRoom, watch_readings
from mainspring.entry.cli.group import run

Out = pytest.CaptureFixture[str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "small", rows=20)


def said(root: Path, out: Out, *arguments: str, code: int = 0) -> dict[str, Any]:
    assert run(["-C", str(root), *arguments, "--json"]) == code
    found: dict[str, Any] = json.loads(out.readouterr().out)
    return found


def refused(root: Path, out: Out, *arguments: str, code: int = 2) -> str:
    assert run(["-C", str(root), *arguments]) == code
    told = out.readouterr().err
    assert "unexpected" not in told
    return told


def shown(root: Path, out: Out, *arguments: str) -> str:
    assert run(["-C", str(root), *arguments]) == 0
    return out.readouterr().out


def logged(root: Path, digest: str, rows: int = 3) -> str:
    """Log one request as a server would; return its id."""
    record = request([f"k{n}" for n in range(rows)], [START] * rows, {digest: np.linspace(0.2, 0.8, rows)})
    writer = SegmentWriter(opened(root).paths.log)
    writer.append([record])
    writer.close()
    return record.request_id


def test_before_a_release_status_and_watch_say_so(root: Path, capsys: Out) -> None:
    assert "nothing is released yet" in shown(root, capsys, "status")
    found = said(root, capsys, "status")
    assert (found["release"], found["events"], found["windows"]) == (None, 0, [])
    looked = said(root, capsys, "watch", "--once")
    assert (looked["rows"], looked["signals"], looked["retrain"]) == (0, None, None)


def test_damage_in_the_log_is_told_once_and_stays_in_the_ledger(root: Path, capsys: Out) -> None:
    logged(root, add_model(root, 1))
    (segment,) = opened(root).paths.log.glob("*.log")
    whole = segment.read_bytes()
    segment.write_bytes(b"lost" * 5 + whole)
    found = said(root, capsys, "watch", "--once")
    assert (found["rows"], found["damage"]) == (3, [{"segment": segment.name, "offset": 0, "bytes": 20}])
    assert said(root, capsys, "watch", "--once")["damage"] == []
    (event,) = opened(root).ledger.read(kind="log.damaged")
    assert (event.body["places"], event.body["bytes"]) == (1, 20)
    told = said(root, capsys, "status")["decisions"]
    assert [one["detail"] for one in told] == [f"20 bytes in 1 places, first in {segment.name} at 0"]
    shows = watch_readings(ServerRoom(root=root, environment="local"))().decode()
    assert 'events_total{environment="local",kind="log.damaged",model="small"} 1.0' in shows


def test_a_look_leaves_its_readings_where_the_server_shows_them(root: Path, capsys: Out) -> None:
    add_model(root, 1)
    said(root, capsys, "watch", "--once")
    found = watch_readings(ServerRoom(root=root, environment="local"))().decode()
    assert 'mainspring_watch_look_timestamp_seconds{environment="local",model="small"}' in found
    assert 'mainspring_watch_events_total{environment="local",kind="window.judged",model="small"} 0.0' in found


def test_a_pushgateway_that_is_away_does_not_stop_a_look(root: Path, capsys: Out) -> None:
    project = root / "mainspring.yaml"
    stores = "{local: {stores: {metrics: 'http://127.0.0.1:1'}}}"
    project.write_text(project.read_text("utf-8").replace("{local: {}}", stores))
    assert run(["-C", str(root), "watch", "--once", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["rows"] == 0
    assert "readings were not told: the Pushgateway at 127.0.0.1:1 did not answer" in told.err


def test_a_look_is_told_and_shown_in_the_status(root: Path, capsys: Out) -> None:
    digest = add_model(root, 1)
    assert run(["-C", str(root), "promote", "1"]) == 0
    logged(root, digest)
    capsys.readouterr()
    looked = said(root, capsys, "watch", "--once")
    assert (looked["rows"], looked["signals"], looked["rollout"]) == (3, [], None)
    assert looked["retrain"] == {"act": False, "reason": "no signal (watching output_drift, quality)"}
    assert shown(root, capsys, "watch", "--once") == "0 new rows in 0 requests\n"
    add_model(root, 2)
    assert run(["-C", str(root), "promote", "2"]) == 0
    capsys.readouterr()
    lines = shown(root, capsys, "status").splitlines()
    assert lines[0].startswith("small in local (commit ")
    assert "version 1 answers 95 %" in lines[1]
    assert "version 2 answers 5 %" in lines[2]
    assert "0 rows, quiet; no signal" in lines[3]
    assert any("next check" in line for line in lines)
    assert "rollout: hold:" in shown(root, capsys, "watch", "--once")


def test_labels_are_kept_and_bad_ones_named(root: Path, capsys: Out, tmp_path: Path) -> None:
    name = logged(root, "sha256:" + "a" * 64)
    rows = [{"prediction_id": f"{name}.0", "value": 1}, {"prediction_id": f"{name}.9", "value": 1}, {"value": 0}]
    (root / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    told = said(root, capsys, "label", "labels.jsonl", code=2)
    assert told["kept"] == 1
    assert [one["row"] for one in told["refused"]] == [2, 3]
    assert run(["-C", str(root), "label", str(root / "labels.jsonl")]) == 2
    assert capsys.readouterr().out.splitlines()[0] == "1 labels kept, 2 refused"
    (tmp_path / "one.csv").write_text(f"prediction_id,value\n{name}.1,0\n", "utf-8")
    assert said(root, capsys, "label", str(tmp_path / "one.csv")) == {"kept": 1, "refused": []}


@pytest.mark.parametrize(("name", "what"), [("none.csv", "cannot be read"), ("mainspring.yaml", "neither .csv")])
def test_a_label_file_that_is_none_is_said(root: Path, capsys: Out, name: str, what: str) -> None:
    assert what in refused(root, capsys, "label", name)


@pytest.mark.parametrize(
    ("name", "what"), [("p-2024010100-zzzzzzzzzzzzzzzz.0", "is not in the log"), ("1; drop", "is not a prediction id")]
)
def test_lineage_of_an_unknown_prediction_is_said(root: Path, capsys: Out, name: str, what: str) -> None:
    assert what in refused(root, capsys, "lineage", name)


def test_lineage_says_what_is_missing(root: Path, capsys: Out) -> None:
    name = logged(root, add_model(root, 1))
    assert "no run is recorded beside model" in refused(root, capsys, "lineage", f"{name}.2")
    assert "has 3 rows, not row 3" in refused(root, capsys, "lineage", f"{name}.3")


@pytest.mark.parametrize("arguments", [("watch", "--once"), ("status",), ("label", "x.csv"), ("lineage", "p-1")])
def test_outside_a_project_nothing_is_written(tmp_path: Path, capsys: Out, arguments: tuple[str, ...]) -> None:
    assert "[project.none]" in refused(tmp_path, capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["watch", "status", "label", "lineage"])
def test_help_tells_how(command: str, capsys: Out) -> None:
    assert run([command, "--help"]) == 0
    assert f"Usage: mainspring {command}" in capsys.readouterr().out
