"""`mainspring cluster`: shown by default, run with --apply.

What runs are real programs on the PATH: each writes its arguments to a file and ends as it is told to. They stand where
gcloud, az, eksctl, kind, kubectl and helm would; nothing of ours is replaced.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mainspring.entry.cli.group import run
from mainspring.project.new import create

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the recording programs are shell scripts")
RECORDER = """\
#!/bin/sh
printf '%s\\0' "$0" "$@" >> "{log}"
printf '\\n' >> "{log}"
echo "{name} was here"
exit {code}
"""
EKS = ["cluster", "create", "--provider", "eks", "--name", "models", "--region", "us-west-2"]
AKS = ["cluster", "create", "--provider", "aks", "--name", "m", "--resource-group", "g", "--region", "eastus"]
Install = Callable[..., None]


class Log:
    def __init__(self, path: Path) -> None:
        self.path = path

    def argv(self) -> list[list[str]]:
        text = self.path.read_text("utf-8") if self.path.exists() else ""
        found = [line.split("\0")[:-1] for line in text.split("\n") if line]
        return [[os.path.basename(words[0]), *words[1:]] for words in found]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


@pytest.fixture
def install(tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put recording programs on a PATH that has nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(*names: str, code: int = 0) -> None:
        for name in names:
            (folder / name).write_text(RECORDER.format(log=log.path, name=name, code=code), "utf-8")
            (folder / name).chmod(0o755)

    return put


def test_nothing_runs_unasked(tmp_path: Path, install: Install, log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    install("eksctl")
    assert run(["-C", str(tmp_path), *EKS]) == 0
    said = capsys.readouterr().out
    assert "eksctl create cluster --config-file clusters/models.eksctl.yaml" in said
    assert "kind: ClusterConfig" in said
    assert log.argv() == []
    assert not (tmp_path / "clusters").exists()


def test_apply_writes_the_file_and_runs_the_command(
    tmp_path: Path, install: Install, log: Log, capfd: pytest.CaptureFixture[str]
) -> None:
    install("eksctl")
    assert run(["-C", str(tmp_path), *EKS, "--apply", "--json"]) == 0
    out, told = capfd.readouterr()
    assert json.loads(out)["ran"] == 1
    assert "1 of 1: make the cluster models" in told
    assert "eksctl was here" in told  # stdout is for JSON
    assert log.argv() == [["eksctl", "create", "cluster", "--config-file", "clusters/models.eksctl.yaml"]]
    assert "us-west-2" in (tmp_path / "clusters" / "models.eksctl.yaml").read_text("utf-8")


def test_what_is_run_is_what_was_shown(
    tmp_path: Path, install: Install, log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    install("az", "gcloud", "kind", "aws", "kubectl")
    asked = [
        AKS, ["cluster", "create", "--provider", "kind", "--name", "lab"], ["cluster", "admin", "rotate"],
        ["cluster", "create", "--provider", "gke", "--name", "m", "--zone", "us-central1-c"],
        ["cluster", "credentials", "--provider", "eks", "--name", "m", "--region", "us-west-2"],
    ]  # fmt: skip
    shown: list[list[str]] = []
    for words in asked:
        assert run(["-C", str(tmp_path), *words, "--json"]) == 0
        shown += [command["argv"] for command in json.loads(capsys.readouterr().out)["commands"]]
        assert run(["-C", str(tmp_path), *words, "--apply"]) == 0
        capsys.readouterr()
    assert log.argv() == shown
    assert len(shown) == 10


def test_the_first_failure_stops_and_says_what_is_left(
    tmp_path: Path, install: Install, log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    install("az", code=3)
    assert run(["-C", str(tmp_path), *AKS, "--apply"]) == 1
    told = capsys.readouterr().err
    assert "az ended with 3 (make the resource group g); 0 done, 2 left" in told
    assert "[command.failed]" in told
    assert "az login" in told
    assert len(log.argv()) == 1


def test_a_missing_program_is_told_before_anything_runs(
    tmp_path: Path, install: Install, log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    create(tmp_path / "visits", template="blank")
    file = tmp_path / "visits" / "mainspring.yaml"
    text = file.read_text("utf-8").partition("environments:")[0]
    file.write_text(
        f'{text}delivery: {{repository: "https://git.example/ops/visits.git"}}\n'
        "environments: {local: {}, dev: {platform: deployment}}\n", "utf-8",
    )  # fmt: skip
    install("helm")
    assert run(["-C", str(file.parent), "cluster", "bootstrap", "--apply"]) == 2
    assert "is not rendered yet" in capsys.readouterr().err
    assert run(["-C", str(file.parent), "render"]) == 0
    assert run(["-C", str(file.parent), "cluster", "bootstrap", "--apply"]) == 2
    assert "kubectl is not on the PATH [command.missing]\n  fix: install kubectl" in capsys.readouterr().err
    assert log.argv() == []
    install("kubectl")
    assert run(["-C", str(file.parent), "cluster", "bootstrap", "--apply"]) == 0
    assert [words[0] for words in log.argv()][:2] == ["helm", "kubectl"]
    assert run(["-C", str(tmp_path / "nowhere"), *AKS, "--apply"]) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_bad_names_reach_no_program(
    tmp_path: Path, install: Install, log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    install("gcloud", "kubectl")
    for name in ("--foo", "a;b", "C:\\x", ""):
        words = ["cluster", "create", "--provider", "gke", f"--name={name}", "--zone", "us-central1-c", "--apply"]
        assert run(["-C", str(tmp_path), *words]) == 2
        assert "[cluster.invalid]" in capsys.readouterr().err
    assert run(["cluster", "admin", "show", "--context=--foo", "--apply"]) == 2
    assert log.argv() == []
