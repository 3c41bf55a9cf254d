"""`mainspring ci`: what to set, and images brought in: whole or not at all."""

import json
from pathlib import Path

import pytest

from mainspring.entry.cli.group import run
from mainspring.project.new import create

IMAGE = "ghcr.io/ops/flight-delay@sha256:" + "a" * 64
CLUSTER = """\
delivery: {repository: "https://git.example/ops/visits.git", registry: ghcr.io/ops/visits, ci: github}

environments:
  local: {}
  # where it is tried
  dev: {platform: deployment, stores: {ledger: secret://vault/ml/ledger#url, models: s3://models}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    create(tmp_path / "visits", template="blank")
    file = tmp_path / "visits" / "mainspring.yaml"
    text = file.read_text("utf-8").partition("environments:")[0] + CLUSTER
    file.write_text(text, "utf-8")
    return tmp_path / "visits"


def test_needs_are_listed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-C", str(root), "ci", "secrets", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = [need["name"] for need in found["needs"]]
    assert found["provider"] == "github"
    assert {"dev", "MAINSPRING_SIGNING_KEY", "LEDGER_URL", "AWS_SECRET_ACCESS_KEY", "KUBE_SCORE_IMAGE"} <= set(names)
    assert run(["-C", str(root), "ci", "secrets"]) == 0
    assert "LEDGER_URL: secret in dev\n  used by release/promote-dev" in capsys.readouterr().out


def test_a_project_without_pipelines_is_told_how_to_have_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create(tmp_path / "plain", template="blank")
    assert run(["-C", str(tmp_path / "plain"), "ci", "secrets"]) == 2
    assert "[ci.none]" in capsys.readouterr().err


def test_images_are_set_and_files_rendered(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-C", str(root), "ci", "images", "--env", "dev", "--serving", IMAGE, "--steps", IMAGE]) == 0
    text = (root / "mainspring.yaml").read_text("utf-8")
    assert f"image: {IMAGE}" in text
    assert "# where it is tried" in text
    assert run(["-C", str(root), "render", "--check"]) == 0
    assert "runs these" not in capsys.readouterr().out
    assert run(["-C", str(root), "ci", "images", "--env", "dev", "--serving", IMAGE]) == 0
    assert "runs these images already" in capsys.readouterr().out


def test_images_go_on_from_one_environment_to_the_next(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = root / "mainspring.yaml"
    file.write_text(file.read_text("utf-8") + "  production: {platform: deployment}\n", "utf-8")
    onwards = ["-C", str(root), "ci", "images", "--env", "production", "--from", "dev"]
    assert run(onwards) == 2
    assert "dev names no images" in capsys.readouterr().err
    assert run(["-C", str(root), "ci", "images", "--env", "dev", "--serving", IMAGE]) == 0
    assert run(onwards) == 0
    assert f"production: {{image: {IMAGE}, platform: deployment}}" in file.read_text("utf-8")
    assert run([*onwards, "--steps", IMAGE]) == 2


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--env", "dev", "--serving", "ghcr.io/ops/visits:latest"), "project."),
        (("--env", "nowhere", "--serving", IMAGE), "not_found"),
        (("--env", "dev", "--serving", "x: y"), "[value.invalid]"),
        (("--env", "dev"), "--serving"),
    ],
)
def test_bad_images_change_nothing(
    root: Path, given: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (root / "mainspring.yaml").read_bytes()
    assert run(["-C", str(root), "ci", "images", *given]) == 2
    assert told in capsys.readouterr().err
    assert (root / "mainspring.yaml").read_bytes() == before


@pytest.mark.parametrize("words", [("snapshot",), ("train",), ("gate", "1")])
def test_a_mistyped_environment_means_nothing(
    root: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["-C", str(root), *words, "--env", "prodution"]) == 2
    assert "no environment 'prodution' [not_found]\n  fix: use one of: local, dev" in capsys.readouterr().err
