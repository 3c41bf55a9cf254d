"""`demo` and `replay`: their options and mistakes; what they run is told in tests/flows."""

from pathlib import Path

import pytest
from tests.unit.app.small_workspace import make_workspace

from mainspring.entry.cli.group import run

Out = pytest.CaptureFixture[str]


@pytest.mark.parametrize("command", ["demo", "replay"])
def test_help_tells_how(command: str, capsys: Out) -> None:
    assert run([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Usage: mainspring {command}" in shown
    assert "--policy" in shown
    assert "scheduled_equal" in shown


@pytest.mark.parametrize("command", [("demo",), ("replay", "--from", "2024-01-01", "--to", "2024-01-02")])
def test_a_policy_that_is_not_known_is_refused(command: tuple[str, ...], capsys: Out, tmp_path: Path) -> None:
    assert run(["-C", str(tmp_path), *command, "--policy", "weekly"]) == 2
    assert "'weekly'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_replay_needs_its_days(capsys: Out) -> None:
    assert run(["replay"]) == 2
    assert "--from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("start", "end", "what"),
    [
        ("2024-02-01", "2024-01-01", "cannot end at 2024-01-01"),
        ("2024-02-01", "2024-02-01", "cannot end at 2024-02-01"),
        ("soon", "2024-02-01", "is not a time"),
    ],
)
def test_days_that_cannot_be_replayed_are_refused_first(
    tmp_path: Path, capsys: Out, start: str, end: str, what: str
) -> None:
    root = make_workspace(tmp_path / "small", rows=20)
    assert run(["-C", str(root), "replay", "--from", start, "--to", end]) == 2
    shown = capsys.readouterr()
    assert what in shown.err
    assert "train:" not in shown.err


def test_a_replay_outside_a_project_is_refused(tmp_path: Path, capsys: Out) -> None:
    assert run(["-C", str(tmp_path), "replay", "--from", "2024-01-01", "--to", "2024-01-02"]) == 2
    assert "[project.none]" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
