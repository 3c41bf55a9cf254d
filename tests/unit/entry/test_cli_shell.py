"""What holds for every command: lazy imports, errors in words, exit codes, pipes, projects elsewhere."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mainspring import __version__
from mainspring.entry.cli import group, present
from mainspring.entry.cli.commands import COMMANDS
from mainspring.kernel.errors import Conflict
from mainspring.project.new import create


def run(*arguments: str) -> int:
    return group.run(arguments)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"mainspring {__version__}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)


def test_a_misspelt_command_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("chekc") == 2
    assert "did you mean `check`?" in capsys.readouterr().err
    assert run("qqqqq") == 2
    assert "no command is called 'qqqqq'" in capsys.readouterr().err


def test_an_unknown_option_is_the_users_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "--jsn") == 2
    assert "--json" in capsys.readouterr().err


def test_an_expected_failure_is_told_with_its_own_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise Conflict("another writer was first", fix="run it again")

    monkeypatch.setattr(group.group, "main", fail)
    assert run("check") == 75
    assert capsys.readouterr().err == "another writer was first [conflict]\n  fix: run it again\n"


def test_an_unexpected_failure_is_one_line_and_a_way_to_see_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(group.group, "main", fail)
    monkeypatch.delenv("MAINSPRING_DEBUG", raising=False)
    assert run("check") == 1
    told = capsys.readouterr().err
    assert told.startswith("unexpected ZeroDivisionError: by zero\n")
    assert "MAINSPRING_DEBUG=1" in told
    assert "Traceback" not in told
    monkeypatch.setenv("MAINSPRING_DEBUG", "1")
    assert run("check") == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(group.group, "main", interrupted)
    assert run("check") == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_closed_pipe_is_quiet() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "mainspring", "schema"]
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="file descriptors are closed by a POSIX shell")
@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-"])
def test_no_stdout_at_all_is_no_failure(closed: str) -> None:
    command = f'"{sys.executable}" -m mainspring --version {closed}'
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_result_that_cannot_be_written_is_told() -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "mainspring", "--version"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[0] == "cannot write: No space left on device"
    assert b"Traceback" not in done.stderr
    assert b"unexpected" not in done.stderr


@pytest.mark.parametrize("extra", [{"LANG": "C", "LC_ALL": "C"}, {"COLUMNS": "20"}, {"NO_COLOR": "1", "TERM": "dumb"}])
def test_a_poor_terminal_is_served(extra: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mainspring", "--help"], env={**os.environ, **extra}, capture_output=True, check=False
    )
    assert done.returncode == 0
    assert b"Commands" in done.stdout
    assert b"\x1b" not in done.stdout


def test_check_names_mistakes_with_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create(tmp_path / "p")
    file = tmp_path / "p" / "mainspring.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("owner:", "ownr:"), encoding="utf-8")
    assert run("-C", str(tmp_path / "p"), "check", "--file-only") == 2
    told = capsys.readouterr().err
    assert told.startswith("mainspring.yaml:5: ownr: there is no key 'ownr' in a project file [project.unknown]\n")
    assert run("-C", str(tmp_path / "p"), "check", "--file-only", "--json") == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert [(one["line"], one["path"], one["code"]) for one in answer["mistakes"]] == [(5, "ownr", "project.unknown")]


def test_check_counts_what_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create(tmp_path / "p")
    assert run("-C", str(tmp_path / "p"), "check", "--file-only") == 0
    assert "mainspring.yaml is right: p, 3 sources" in capsys.readouterr().out
    assert run("-C", str(tmp_path / "p"), "check", "--file-only", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["project"], answer["sources"]) == (True, "p", 3)


def test_check_looks_for_code_and_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create(tmp_path / "p")
    assert run("-C", str(tmp_path / "p"), "check") == 2
    assert "there is no file data/flights.parquet [project.reference]" in capsys.readouterr().err


def test_check_without_a_project_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-C", str(tmp_path), "check") == 2
    assert "[project.none]" in capsys.readouterr().err


def test_init_writes_a_project_and_can_make_it_a_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-C", str(tmp_path), "init", "new", "--git", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert "mainspring.yaml" in answer["files"]
    assert (tmp_path / "new" / ".git" / "HEAD").read_text() == "ref: refs/heads/main\n"
    assert run("-C", str(tmp_path), "init", "new") == 2
    assert "[project.not_empty]" in capsys.readouterr().err


def test_schema_prints_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("schema") == 0
    assert json.loads(capsys.readouterr().out)["title"] == "mainspring project file"


def test_words_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert [present.size(n) for n in (0, 999, 1_234_567, 5 * 10**13)] == ["0 B", "999 B", "1.2 MB", "50.0 TB"]
    assert [present.seconds(n) for n in (850_000, 12_300_000, 245_000_000)] == ["850 ms", "12.3 s", "4 min 05 s"]
    assert present.moment(1_367_366_400_000_000) == "2013-05-01 00:00"
    assert present.short("sha256:" + "ab" * 32) == "abababababab"
    present.table(["version", "loss", "live"], [[12_345, 0.47421, True], [2, None, False]])
    shown = capsys.readouterr().out
    assert "12,345" in shown
    assert "0.4742" in shown
    assert "yes" in shown


def test_every_option_of_serve_is_explained_where_serving_is() -> None:
    from mainspring.entry.cli.serve import serve

    told = (Path(__file__).parents[3] / "docs" / "serving.md").read_text("utf-8")
    shown = [option for option in serve.params if isinstance(option, click.Option) and not option.hidden]
    names = [name for option in shown for name in option.opts if name.startswith("--") and name != "--help"]
    assert len(names) > 20
    assert [name for name in names if not re.search(f"[` ]{name}[` ]", told)] == []
