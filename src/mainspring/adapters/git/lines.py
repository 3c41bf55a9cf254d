"""Where release commits go: a branch of this repository, of a remote, or one made to be proposed.

A line moves from one commit to the next only if it still stands where the writer looked: the compare-and-set. The
local branch does it by `update-ref <new> <old>`. A remote does it by a push that is no fast-forward when somebody else
was first; nothing is ever forced, and nothing of this repository changes but new objects.
"""

import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Protocol

from mainspring.adapters.git.commands import GitBusy, GitFailed, run_git
from mainspring.adapters.git.repository import OID, Repository, find_repository
from mainspring.kernel.errors import Conflict, MainspringError

TRANSPORTS = tuple(f"protocol.{name}.allow=always" for name in ("file", "https", "ssh"))
PASSED = ("GIT_ASKPASS", "GIT_SSH_COMMAND", "HTTPS_PROXY", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "https_proxy", "no_proxy")
_LOOKS = 5
_FETCH = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap=")
_PUSH = ("--no-verify", "--no-follow-tags", "--no-signed", "--recurse-submodules=no")
_LOST = re.compile(r"fetch first|non-fast-forward|stale info|cannot lock|failed to update ref|incorrect old value")


class RemoteUnreachable(MainspringError):
    """The git remote did not answer; nothing was changed, here or there."""

    code = "git.remote"
    exit_code = 75


class Line(Protocol):
    """A branch that release commits are read from and added to."""

    @property
    def repository(self) -> Repository:
        """Where things lie."""

    def head(self) -> str:
        """Return the commit that the branch was last seen at, cheaply; "" if it has none."""

    def look(self) -> str:
        """Return the commit that the branch stands at now; "" if it has none."""

    def check(self, expected: str) -> None:
        """Raise `Conflict` or `GitBusy` early, before anything is written, where a move is bound to fail."""

    def move(self, commit: str, expected: str, identity: Mapping[str, str]) -> None:
        """Move the branch to `commit` if it stands at `expected`, else raise `Conflict`."""

    def is_checked_out(self) -> bool:
        """Tell whether the project's work tree follows this line."""


class LocalBranch:
    """The repository's own branch."""

    def __init__(self, root: Path, branch: str) -> None:
        self._root, self._branch = root, branch

    @cached_property
    def repository(self) -> Repository:
        """Where things lie."""
        return find_repository(self._root)

    def head(self) -> str:
        """Return the branch's commit, or "": one small file is read."""
        return self.repository.branch_head(self._branch)

    def look(self) -> str:
        """Return the same; a branch that a repository with branches lacks is an error."""
        commit = self.head()
        if not commit and run_git(self._root, "for-each-ref", "--count=1", "refs/heads"):
            what = f"the repository has no branch called {self._branch!r}"
            raise GitFailed(what, fix=f"make it: git branch {self._branch}")
        return commit

    def check(self, expected: str) -> None:
        """Raise where the branch has moved on, or where the work tree on it is in the middle of something."""
        if self.head() != expected:
            raise moved(self._branch)
        if self.is_checked_out():
            self.repository.check_quiet()
        self.repository.check_elsewhere(self._branch)

    def move(self, commit: str, expected: str, identity: Mapping[str, str]) -> None:
        """Move the branch in one step."""
        old = expected or "0" * len(commit)
        try:
            run_git(
                self._root, "update-ref", "-m", "mainspring: release", f"refs/heads/{self._branch}", commit, old,
                env=identity,
            )  # fmt: skip
        except MainspringError as error:
            if self.head() != expected:
                raise moved(self._branch) from error
            raise

    def is_checked_out(self) -> bool:
        """Tell whether the work tree of this folder stands on the branch."""
        return self.repository.is_checked_out(self._branch)


class RemoteBranch:
    """The branch of a remote, which many clones push to. The clone's own branches and work tree stay as they are."""

    def __init__(self, root: Path, branch: str, remote: str) -> None:
        self._root, self._branch, self._remote, self._seen = root, branch, remote, ""

    @cached_property
    def repository(self) -> Repository:
        """Where things lie."""
        return find_repository(self._root)

    def head(self) -> str:
        """Return where the branch stood at the last look."""
        return self._seen or self.look()

    def look(self) -> str:
        """Ask the remote, and fetch what is missing; no ref of this repository moves."""
        ref = f"refs/heads/{self._branch}"
        for _ in range(_LOOKS):
            listed = self._talk("ls-remote", self.url, ref).decode("utf-8", "replace").split()
            self._seen = listed[0] if listed and OID.fullmatch(listed[0]) else ""
            if not self._seen or self._has(self._seen):
                return self._seen
            self._talk("fetch", *_FETCH, self.url, ref)
            if self._has(self._seen):  # else it moved on between the two questions
                return self._seen
        raise RemoteUnreachable(f"the remote {self._remote!r} keeps moving, or hides its commits", fix="try again")

    def check(self, expected: str) -> None:
        """Nothing is known before the push."""

    def move(self, commit: str, expected: str, identity: Mapping[str, str]) -> None:
        """Push `commit`; refused where the branch no longer stands at its parent."""
        try:
            self._talk("push", *_PUSH, self.url, f"{commit}:refs/heads/{self._branch}")
        except MainspringError as error:
            if self.look() == commit:
                return  # the answer was lost, not the push
            if self._seen != expected or isinstance(error, RemoteUnreachable) or _LOST.search(error.what):
                raise moved(f"{self._remote}/{self._branch}") from error
            raise GitFailed(
                f"the remote {self._remote!r} does not take the commit: {error.what}",
                fix="if the branch is protected: --pull-request; else see who may push",
            ) from error
        self._seen = commit

    def is_checked_out(self) -> bool:
        """Tell that no work tree follows: `git pull` does."""
        return False

    def sibling(self, branch: str) -> "RemoteBranch":
        """Return another branch of the same remote."""
        return RemoteBranch(self._root, branch, self._remote)

    @cached_property
    def url(self) -> str:
        """The address; by it, and not by name, so that no ref that mirrors the remote is touched."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", self._remote):
            raise GitFailed(f"{self._remote[:60]!r} cannot name a remote", fix="see: git remote")
        try:
            url = run_git(self._root, "remote", "get-url", "--push", self._remote).decode("utf-8").strip()
        except GitFailed as error:
            what = f"the repository has no remote called {self._remote!r}"
            raise GitFailed(what, fix="git remote add, or mend delivery.remote") from error
        if url.startswith("-") or "::" in url:
            raise GitFailed(f"the remote {self._remote!r} runs a program of its own", fix="use https, ssh or a path")
        return url

    def _has(self, commit: str) -> bool:
        try:
            run_git(self._root, "cat-file", "-e", f"{commit}^{{commit}}")
        except MainspringError:
            return False
        return True

    def _talk(self, *args: str) -> bytes:
        """Run git with the transports that may carry releases, and the access that the user gave git."""
        given = {name: os.environ[name] for name in PASSED if name in os.environ}
        try:
            return run_git(self._root, *args, env=given, settings=TRANSPORTS)
        except GitBusy as error:
            raise RemoteUnreachable(error.what, fix="try again; no release was changed") from error
        except GitFailed as error:
            if args[0] == "push":
                raise
            what = f"the remote {self._remote!r} cannot be read: {error.what}"
            raise RemoteUnreachable(what, fix="check its address and your access, then try again") from error


def moved(branch: str) -> Conflict:
    """Return the error of a branch that somebody else moved first."""
    return Conflict(f"the branch {branch!r} has moved on", fix="read it again, then decide again")
