"""`snapshot`, `train`, `step` and `serve` as far as nothing is fitted or served: answers, mistakes, exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.app.small_workspace import make_workspace

from mainspring.entry.cli.group import run

Out = pytest.CaptureFixture[str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "small", rows=60)


def said(root: Path, out: Out, *arguments: str) -> dict[str, Any]:
    assert run(["-C", str(root), *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(out.readouterr().out)
    return found


def refused(root: Path, out: Out, *arguments: str, code: int = 2) -> str:
    assert run(["-C", str(root), *arguments]) == code
    return out.readouterr().err


def test_a_snapshot_is_taken_once(root: Path, capsys: Out) -> None:
    first = said(root, capsys, "snapshot")
    assert (first["version"], first["new"], first["rows"]) == (1, True, {"visits": 60})
    again = said(root, capsys, "snapshot")
    assert (again["version"], again["new"], again["digest"]) == (1, False, first["digest"])
    assert run(["-C", str(root), "snapshot"]) == 0
    assert capsys.readouterr().out == "snapshot 1 still holds, nothing changed: visits 60 rows\n"


def test_data_that_is_gone_is_said(root: Path, capsys: Out) -> None:
    (root / "data" / "visits.parquet").unlink()
    told = refused(root, capsys, "snapshot")
    assert "visits.parquet" in told
    assert "unexpected" not in told


def test_explain_says_that_every_step_would_run(root: Path, capsys: Out) -> None:
    said(root, capsys, "snapshot")
    steps = said(root, capsys, "train", "--explain", "--set", "alpha=0.5", "--at", "2024-02-20")["steps"]
    assert [step["step"] for step in steps] == [
        "fetch-data", "preprocess", "train-model", "validate-model", "register-model",
    ]  # fmt: skip
    assert all(step["reused_from"] == "" for step in steps)
    assert run(["-C", str(root), "train", "--explain"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "fetch-data: will run, it has not run for these inputs"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--at", "yesterday"), "is not a time"),
        (("--at", "2024-02-20T00:00"), "has no time zone"),
        (("--set", "alpha"), "sets nothing"),
        (("--set", "=1"), "sets nothing"),
        (("--run", "r-unknown"), "no run is called"),
        (("--run", "../../../etc"), ""),
    ],
)
def test_what_train_cannot_do_is_said(root: Path, capsys: Out, arguments: tuple[str, ...], what: str) -> None:
    said(root, capsys, "snapshot")
    told = refused(root, capsys, "train", *arguments)
    assert what in told
    assert "unexpected" not in told


def test_training_needs_a_snapshot(root: Path, capsys: Out) -> None:
    assert "snapshot" in refused(root, capsys, "train")


@pytest.mark.parametrize("command", ["snapshot", "train"])
def test_outside_a_project_nothing_is_done(tmp_path: Path, capsys: Out, command: str) -> None:
    assert "[project.none]" in refused(tmp_path, capsys, command)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [(), ("preprocess",), ("--run", "r1"), ("--worker", "preprocess")])
def test_a_step_is_named_with_its_run_or_served(root: Path, capsys: Out, arguments: tuple[str, ...]) -> None:
    assert "step's name and --run" in refused(root, capsys, "step", *arguments)


def test_a_replay_clock_is_refused_outside_a_replay(root: Path, capsys: Out) -> None:
    assert "replay clock" in refused(root, capsys, "serve", "--clock", "replay")


@pytest.mark.parametrize("command", ["snapshot", "train", "step", "serve", "up"])
def test_help_tells_how(command: str, capsys: Out) -> None:
    assert run([command, "--help"]) == 0
    assert f"Usage: mainspring {command}" in capsys.readouterr().out
