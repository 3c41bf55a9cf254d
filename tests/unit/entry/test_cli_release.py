"""`promote`, `rollback` and `audit verify`: what they change, say and exit with."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from tests.unit.app.small_workspace import add_model, make_workspace

from mainspring.entry.cli.group import run

Out = pytest.CaptureFixture[str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "small", rows=20)


def said(root: Path, out: Out, *arguments: str, code: int = 0) -> dict[str, Any]:
    assert run(["-C", str(root), *arguments, "--json"]) == code
    found: dict[str, Any] = json.loads(out.readouterr().out)
    return found


def refused(root: Path, out: Out, *arguments: str, code: int) -> str:
    assert run(["-C", str(root), *arguments]) == code
    shown = out.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    return shown.err


def test_a_version_by_number_or_digest_goes_out_and_back(root: Path, capsys: Out) -> None:
    first, second = add_model(root, 1), add_model(root, 2)
    told = said(root, capsys, "promote", "1", "--reason", "first")
    assert told["champion"] == {"version": 1, "digest": first}
    assert (told["environment"], told["changed"], told["challenger"]) == ("local", True, None)
    again = said(root, capsys, "promote", first)
    assert (again["changed"], again["commit"]) == (False, told["commit"])
    trial = said(root, capsys, "promote", second)
    assert trial["challenger"] == {"version": 2, "weight": 5}
    back = said(root, capsys, "rollback", "--reason", "enough")
    assert (back["champion"]["version"], back["challenger"]) == (1, None)
    at_once = said(root, capsys, "promote", "2", "--now")
    assert at_once["champion"]["version"] == 2
    log = subprocess.run(["git", "log", "--format=%s"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert log.splitlines()[0] == "local: promote version 2"
    whole = said(root, capsys, "audit", "verify")
    assert (whole["whole"], whole["commits"], whole["problems"]) == (True, 4, [])


def test_people_are_told_in_a_line(root: Path, capsys: Out) -> None:
    for number in (1, 2):
        add_model(root, number)
        assert run(["-C", str(root), "promote", str(number)]) == 0
    assert run(["-C", str(root), "promote", "2"]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith("local: version 1 answers (commit ")
    assert second.startswith("local: version 1 answers, version 2 on trial at 5 % (commit ")
    assert third.endswith(", nothing to change)")
    assert run(["-C", str(root), "audit", "verify"]) == 0
    assert capsys.readouterr().out.startswith("whole: 2 events, 2 release commits, 2 versions; head 2:sha256:")


@pytest.mark.parametrize("version", ["7", "0", "²", "9" * 5_000, "sha256:" + "0" * 64, "v1", "../../x", ""])
def test_an_unknown_version_is_refused(root: Path, capsys: Out, version: str) -> None:
    add_model(root, 1)
    assert "has no version" in refused(root, capsys, "promote", version, code=3)


def test_a_version_that_failed_its_gate_is_refused(root: Path, capsys: Out) -> None:
    add_model(root, 1)
    add_model(root, 2, passed=False)
    said(root, capsys, "promote", "1")
    told = refused(root, capsys, "promote", "2", "--now", code=3)
    assert "version 2 did not pass its gate [release.refused]" in told


def test_a_second_trial_and_a_roll_back_too_far_are_refused(root: Path, capsys: Out) -> None:
    for number in (1, 2, 3):
        add_model(root, number)
    said(root, capsys, "promote", "1")
    assert "no earlier version" in refused(root, capsys, "rollback", code=3)
    said(root, capsys, "promote", "2")
    assert "a rollout of version 2 is running" in refused(root, capsys, "promote", "3", code=3)
    said(root, capsys, "rollback")
    assert "no earlier version" in refused(root, capsys, "rollback", code=3)


def test_nothing_to_roll_back_is_said(root: Path, capsys: Out) -> None:
    assert "nothing serves in local yet [not_found]" in refused(root, capsys, "rollback", code=2)


@pytest.mark.parametrize("environment", ["../../etc", "/tmp", "a b", ""])
def test_an_environment_is_a_name_not_a_path(root: Path, capsys: Out, environment: str) -> None:
    add_model(root, 1)
    assert "cannot name a" in refused(root, capsys, "promote", "1", "--env", environment, code=2)


@pytest.mark.parametrize("arguments", [("promote", "1"), ("rollback",), ("audit", "verify")])
def test_outside_a_project_nothing_is_written(tmp_path: Path, capsys: Out, arguments: tuple[str, ...]) -> None:
    assert "[project.none]" in refused(tmp_path, capsys, *arguments, code=2)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_ledger_is_found(root: Path, capsys: Out) -> None:
    for number in (1, 2):
        add_model(root, number)
        said(root, capsys, "promote", str(number), "--now")
    engine = create_engine(f"sqlite:///{root}/.mainspring/ledger.db")
    with engine.begin() as connection:
        for (trigger,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            connection.execute(text(f'DROP TRIGGER "{trigger}"'))
        connection.execute(text("UPDATE events SET actor = 'user:nobody' WHERE seq = 1"))
    engine.dispose()
    told = said(root, capsys, "audit", "verify", code=1)
    assert not told["whole"]
    assert told["problems"][0] == {"where": "event 1", "what": "event 1 was changed after it was written"}
    assert run(["-C", str(root), "audit", "verify"]) == 1
    assert "NOT WHOLE" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["promote", "rollback", "audit"])
def test_help_tells_how(command: str, capsys: Out) -> None:
    assert run([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Usage: mainspring {command}" in shown
    assert "--json" in shown
    assert "--env" in shown


def test_promote_needs_a_version_and_audit_an_action(capsys: Out) -> None:
    assert run(["promote"]) == 2
    assert "VERSION" in capsys.readouterr().err
    assert run(["audit", "repair"]) == 2
