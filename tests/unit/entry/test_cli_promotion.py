"""`promote --to`, `approve`: what they say, as JSON too, and what they exit with."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.flows.rungs import Rungs, git, make_rungs

from mainspring.entry.cli.group import run

Out = pytest.CaptureFixture[str]
ENVIRONMENTS = """
environments:
  local: {}
  staging: {}
  production: {approvals: 1}
"""


@pytest.fixture
def rungs(tmp_path: Path) -> Rungs:
    found = make_rungs(tmp_path / "small", ENVIRONMENTS)
    for name, key in found.keys.items():
        (tmp_path / f"{name}.pem").write_bytes(key)
    return found


def said(rungs: Rungs, out: Out, *arguments: str, code: int = 0) -> str:
    assert run(["-C", str(rungs.root), *arguments]) == code
    shown = out.readouterr()
    assert "Traceback" not in shown.err
    return shown.out or shown.err


def test_a_version_is_promoted_approved_and_promoted_on(rungs: Rungs, capsys: Out, tmp_path: Path) -> None:
    digest = rungs.model(1)
    base = git(rungs.root, "rev-parse", "main").strip()
    sbom = tmp_path / "sbom.json"
    sbom.write_text('{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}')
    told = said(rungs, capsys, "promote", "1", "--to", "staging", "--sbom", str(sbom))
    assert told.startswith("staging: version 1 answers (commit ")
    refused = said(rungs, capsys, "promote", "--to", "production", code=3)
    assert "version 1 may not enter production: it has 0 of 1 approvals: mainspring approve 1 --env" in refused
    assert "[promotion.refused]" in refused
    approval: dict[str, Any] = json.loads(
        said(rungs, capsys, "approve", "1", "--env", "production", "--key", "../ann.pem", "--json")
    )
    assert (approval["by"], approval["digest"], approval["approved_by"]) == ("ann", digest, ["ann"])
    again = said(rungs, capsys, "approve", digest, "--env", "production", "--key", "../ann.pem")
    assert again.startswith("ann approves version 1 for production until ")
    assert "1 of 1 (commit " in again
    assert again.endswith(", nothing to change)\n")
    moved: dict[str, Any] = json.loads(said(rungs, capsys, "promote", "--to", "production", "--json"))
    assert moved["champion"] == {"version": 1, "digest": digest}
    assert moved["changed"] is True
    judged = said(rungs, capsys, "audit", "releases", "--since", base).splitlines()
    assert [line.split(" ", 1)[0] for line in judged] == ["ok", "ok", "2"]
    assert judged[1].endswith("production: version 1 approved by ann")
    (rungs.root / "environments" / "production" / "approvals" / f"{digest[7:19]}-{approval['key'][:12]}.json").unlink()
    git(rungs.root, "rm", "-q", "-r", "--cached", "environments/production/approvals")
    tree, parent = git(rungs.root, "write-tree").strip(), git(rungs.root, "rev-parse", "main~2").strip()
    forged = git(rungs.root, "commit-tree", tree, "-p", parent, "-m", "sneak in").strip()
    told = json.loads(said(rungs, capsys, "audit", "releases", "--since", base, "--until", forged, "--json", code=3))
    assert [entry["refused"] for entry in told["entries"]] == [False, True]
    assert told["entries"][1]["against"][0].startswith("it has 0 of 1 approvals")


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (("promote",), 2, "name the VERSION, or the environment to enter"),
        (("promote", "--to", "staging"), 3, "no environment stands before staging"),
        (("promote", "--to", "nowhere"), 2, "no environment 'nowhere'"),
        (("promote", "1", "--to", "production"), 3, "version 1 is not the champion of staging"),
        (("promote", "1", "--to", "production", "--from", "local"), 3, "is entered from staging, not from local"),
        (("promote", "1", "--to", "staging", "--sbom", "absent.json"), 2, "absent.json cannot be read"),
        (("promote", "1", "--to", "staging", "--scan", "mainspring.yaml"), 2, "is not a SARIF, Trivy or pip-audit"),
        (("promote", "1", "--to", "production", "--emergency", " "), 2, "an emergency without a reason"),
        (("promote", "1", "--to", "staging", "--floor", "5"), 2, "--floor needs --weight"),
        (("promote", "1", "--to", "staging", "--mode", "turbo"), 2, "turbo"),
        (("audit", "releases"), 2, "--since origin/main"),
        (("audit", "releases", "--since", "nowhere"), 2, "no commit 'nowhere'"),
        (("audit", "releases", "--since", "--output=x"), 2, "no commit '--output=x'"),
        (("approve", "1"), 2, "--env"),
        (("approve", "1", "--env", "local"), 2, "the local environment needs no approvals"),
        (("approve", "1", "--env", "production"), 3, "is not an approver's of production"),
        (("approve", "9", "--env", "production", "--key", "../ann.pem"), 3, "has no version 9"),
        (("approve", "1", "--env", "production", "--key", "absent"), 2, "absent cannot be read"),
        (("approve", "1", "--env", "production", "--key", "mainspring.yaml"), 2, "the private key cannot be read"),
        (("approve", "1", "--env", "production", "--expires", "91d"), 2, "longer than 90d"),
        (("approve", "1", "--env", "production", "--expires", "soon"), 2, "is not a duration"),
    ],
)
def test_what_cannot_be_is_said(small: Rungs, capsys: Out, arguments: tuple[str, ...], code: int, what: str) -> None:
    before = (small.root / ".git/refs/heads/main").read_text()
    assert what in said(small, capsys, *arguments, code=code)
    assert (small.root / ".git/refs/heads/main").read_text() == before


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Rungs:
    """One project for whatever changes nothing."""
    folder = tmp_path_factory.mktemp("refused")
    found = make_rungs(folder / "small", ENVIRONMENTS)
    (folder / "ann.pem").write_bytes(found.keys["ann"])
    found.model(1)
    return found
