"""Propose a release instead of making it: a branch, a patch file, and a pull request where `gh` or `glab` is there.

Programs get arguments, never a shell line. What protects a branch is the host's business and cannot be seen from here.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mainspring.adapters.git.commands import GitFailed, checked_branch, run_git
from mainspring.adapters.git.lines import Line, RemoteBranch
from mainspring.adapters.git.repository import Repository
from mainspring.kernel.errors import Conflict, MainspringError

_TIMEOUT_S = 60


class ProposedBranch:
    """A new branch from where `base` stands. base: the line that the release would go to, once merged."""

    def __init__(self, root: Path, base: Line, name: str) -> None:
        self._root, self._base, self._name = root, base, checked_branch(name)

    @property
    def repository(self) -> Repository:
        """Where things lie."""
        return self._base.repository

    def head(self) -> str:
        """Return where the base was last seen."""
        return self._base.head()

    def look(self) -> str:
        """Return where the base stands."""
        return self._base.look()

    def check(self, expected: str) -> None:
        """Raise where the branch exists: somebody proposed the same before."""
        if self.repository.branch_head(self._name):
            raise self._exists()

    def move(self, commit: str, expected: str, identity: Mapping[str, str]) -> None:
        """Push the new branch, if the base is a remote's, and make it here."""
        if isinstance(self._base, RemoteBranch):
            try:
                self._base.sibling(self._name).move(commit, "", identity)
            except Conflict as error:
                raise self._exists() from error
        run_git(self._root, "update-ref", f"refs/heads/{self._name}", commit, "0" * len(commit), env=identity)

    def is_checked_out(self) -> bool:
        """Tell that no work tree follows."""
        return False

    def _exists(self) -> GitFailed:
        what = f"the branch {self._name!r} exists: this was proposed before"
        return GitFailed(what, fix="merge it, or remove it here and at the remote")


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """What is asked of a host. base, branch: names. url: of the remote."""

    base: str
    branch: str
    title: str
    body: str
    url: str


def patch_of(root: Path, commit: str) -> bytes:
    """Return a commit as a patch that `git am` takes."""
    return run_git(
        root, "format-patch", "-1", "--stdout", "--no-signature", "--no-ext-diff", "--no-textconv", "--no-color", commit
    )


def command_for(request: PullRequest, ci: str) -> list[str]:
    """Return the command that opens the request, by the remote's host or else by `ci` (`github`, `gitlab`); or []."""
    host = (urlsplit(request.url).hostname or request.url.partition(":")[0].rpartition("@")[2]).lower()
    kind = next((name for name in ("github", "gitlab") if name in host), ci)
    if kind == "github":
        return [
            "gh", "pr", "create", "--base", request.base, "--head", request.branch, "--title", request.title,
            "--body", request.body,
        ]  # fmt: skip
    if kind == "gitlab":
        return [
            "glab", "mr", "create", "--target-branch", request.base, "--source-branch", request.branch,
            "--title", request.title, "--description", request.body, "--yes",
        ]  # fmt: skip
    return []


def open_request(root: Path, request: PullRequest, ci: str) -> str:
    """Open the request and return what the program said, its address as a rule; "" where there is no such program."""
    command = command_for(request, ci)
    program = shutil.which(command[0]) if command else None
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, *command[1:]], cwd=root, capture_output=True, timeout=_TIMEOUT_S, check=False,
            stdin=subprocess.DEVNULL, env={**os.environ, "GH_PROMPT_DISABLED": "1", "NO_COLOR": "1"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RequestFailed(f"{command[0]} did not end: {error}", fix=_FIX) from error
    said = (done.stdout or done.stderr).decode("utf-8", "replace").strip().splitlines()
    if done.returncode:
        complaint = done.stderr.decode("utf-8", "replace").strip()[:200]
        raise RequestFailed(f"{command[0]} ended with {done.returncode}: {complaint}", fix=_FIX)
    return said[-1][:500] if said else ""


class RequestFailed(MainspringError):
    """The branch and the patch are there, but the host's program could not open a pull request."""

    code = "request.failed"
    exit_code = 1


_FIX = "open it by hand from the branch, or log the program in and ask again after removing the branch"
