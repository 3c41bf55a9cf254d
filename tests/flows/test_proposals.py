"""`promote --pull-request`: a branch and a patch, gh or glab where there is one, and nothing moved before the merge."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.flows.rungs import RUNGS, Rungs, git, make_rungs

from mainspring.adapters.git.commands import GitFailed
from mainspring.adapters.git.proposals import PullRequest, command_for
from mainspring.app.entries import audit_entries
from mainspring.app.proposing import Proposal, propose
from mainspring.entry.cli.group import run
from mainspring.flows.entering import Request
from mainspring.kernel.errors import InvalidValue

REQUEST = PullRequest(base="main", branch="b", title="t; rm -rf /", body="$(x)", url="https://github.com/a/b")


@pytest.mark.parametrize(
    ("url", "ci", "program"),
    [
        ("https://github.com/a/b.git", "", "gh"),
        ("git@github.example.org:a/b.git", "gitlab", "gh"),
        ("ssh://git@gitlab.example.org/a/b", "", "glab"),
        ("https://code.example.org/a/b", "gitlab", "glab"),
        ("https://code.example.org/a/b", "", ""),
        ("/srv/git/a.git", "", ""),
    ],
)
def test_the_host_says_which_program_opens_it(url: str, ci: str, program: str) -> None:
    asked = PullRequest(base="main", branch="b", title="t", body="x", url=url)
    assert command_for(asked, ci)[:1] == ([program] if program else [])


def test_a_title_is_one_argument_whatever_it_holds() -> None:
    command = command_for(REQUEST, "")
    assert command[command.index("--title") + 1] == "t; rm -rf /"
    assert command[command.index("--body") + 1] == "$(x)"


def proposed(rungs: Rungs) -> Proposal:
    return propose(rungs.at("production"), None, request=Request(), mode=None, share=None, reason="ready")


@pytest.mark.slow
def test_a_proposal_moves_nothing_until_it_is_merged_with_its_approvals(tmp_path: Path) -> None:
    rungs = make_rungs(tmp_path / "small")
    digest = rungs.soaked(1)
    base = git(rungs.root, "rev-parse", "main").strip()
    made = proposed(rungs)
    assert made.branch == f"mainspring/production-{digest[7:19]}"
    assert git(rungs.root, "rev-parse", "main").strip() == base
    assert git(rungs.root, "status", "--porcelain") == ""
    assert rungs.at("production").releases.read("production")[0] is None
    (event,) = rungs.at("production").ledger.read(kind="promotion.proposed")
    assert event.body["commit"] == made.moved.commit
    assert made.patch is not None
    assert b"Subject: [PATCH] production: promote version 1" in made.patch.read_bytes()
    with pytest.raises(GitFailed, match="this was proposed before"):
        proposed(rungs)
    git(rungs.root, "merge", "-q", "--no-ff", "-m", "merge", made.branch, at=rungs.clock.at)
    (early,) = audit_entries(rungs.root, base, "main")
    assert early.refused
    git(rungs.root, "reset", "-q", "--hard", base)
    for who in ("ann", "bob"):
        rungs.approve(who, 1)
    git(rungs.root, "merge", "-q", "--no-ff", "-m", "merge", made.branch, at=rungs.clock.at)
    (entry,) = audit_entries(rungs.root, base, "main")
    assert (entry.refused, entry.how) == (False, "approved by ann, bob")
    assert rungs.promote("production").changed is False
    assert [
        event.kind for event in rungs.at("production").ledger.read(kind="release.*", subject="environment:production")
    ]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for gh is a shell script")
def test_with_a_remote_the_branch_is_pushed_and_gh_gets_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rungs = make_rungs(
        tmp_path / "small", f"delivery: {{remote: origin, ci: github, registry: r.example.org/a}}{RUNGS}"
    )
    subprocess.run(["git", "clone", "-q", "--bare", "small", "there.git"], cwd=tmp_path, check=True)
    git(rungs.root, "remote", "add", "origin", str(tmp_path / "there.git"))
    rungs.soaked(1)
    base = git(tmp_path / "there.git", "rev-parse", "main")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "gh").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/said\necho https://example.org/pull/7\n')
    (tools / "gh").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    assert run(["-C", str(rungs.root), "promote", "--to", "production", "--pull-request", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["opened"] == "https://example.org/pull/7"
    assert (tmp_path / "said").read_text().splitlines()[:6] == [
        "pr",
        "create",
        "--base",
        "main",
        "--head",
        told["branch"],
    ]
    assert git(tmp_path / "there.git", "rev-parse", told["branch"]).strip() == told["commit"]
    assert git(tmp_path / "there.git", "rev-parse", "main") == base
    (tools / "gh").write_text("#!/bin/sh\necho not logged in >&2\nexit 4\n")
    git(rungs.root, "update-ref", "-d", f"refs/heads/{told['branch']}")
    git(tmp_path / "there.git", "update-ref", "-d", f"refs/heads/{told['branch']}")
    assert run(["-C", str(rungs.root), "promote", "--to", "production", "--pull-request"]) == 1
    assert "gh ended with 4: not logged in [request.failed]" in capsys.readouterr().err


def test_local_is_not_proposed(tmp_path: Path) -> None:
    rungs = make_rungs(tmp_path / "small")
    with pytest.raises(InvalidValue, match="local"):
        propose(rungs.at("local"), 1, request=Request(), mode=None, share=None, reason="")
