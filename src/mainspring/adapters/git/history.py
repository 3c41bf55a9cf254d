"""A range of history, and the repository as it stood at one commit of it. Reads only."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from mainspring.adapters.git.commands import GitFailed, run_git
from mainspring.adapters.git.releases import ReleaseFiles
from mainspring.adapters.git.repository import Repository, find_repository
from mainspring.kernel.errors import Refused
from mainspring.kernel.times import SECOND


class FixedCommit:
    """A line that stands at one commit and never moves."""

    def __init__(self, root: Path, commit: str) -> None:
        self._root, self._commit = root, commit

    @cached_property
    def repository(self) -> Repository:
        """Where things lie."""
        return find_repository(self._root)

    def head(self) -> str:
        """Return the commit."""
        return self._commit

    def look(self) -> str:
        """Return the commit."""
        return self._commit

    def check(self, expected: str) -> None:
        """Refuse: history is read."""
        raise Refused("a past commit is not written to", fix="write to a branch")

    def move(self, commit: str, expected: str, identity: Mapping[str, str]) -> None:
        """Refuse: history is read."""
        self.check(expected)

    def is_checked_out(self) -> bool:
        """Tell that nothing follows it."""
        return False


def files_at(root: Path, commit: str) -> ReleaseFiles:
    """Return the release files as they stood at a commit."""
    return ReleaseFiles(root, line=lambda place, _: FixedCommit(place, commit))


def find_commit(root: Path, name: str) -> str:
    """Return the commit that a revision names, such as `origin/main` or a hash."""
    try:
        found = run_git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except GitFailed as error:
        what = f"the repository has no commit {name[:80]!r}"
        raise GitFailed(what, fix="name one that is here; a pipeline must fetch the whole history") from error
    return found.decode("ascii").strip()


def first_parents(root: Path, since: str, until: str) -> list[tuple[str, str, int]]:
    """Return (commit, first parent or "", commit time in UTC microseconds) from `since`, not included, oldest first."""
    asked = ("log", "--first-parent", "--reverse", "--no-color", "--format=%H %ct %P", f"{since}..{until}", "--")
    lines = [line.split(" ") for line in run_git(root, *asked).decode("ascii").splitlines()]
    return [(line[0], line[2] if len(line) > 2 else "", int(line[1]) * SECOND) for line in lines]


def read_at(root: Path, commit: str, name: str) -> bytes | None:
    """Return the project's file `name` as committed, or None."""
    path = f"{find_repository(root).prefix}{name}"
    listed = run_git(root, "ls-tree", "-z", "--full-tree", commit, "--", path)
    return run_git(root, "cat-file", "blob", listed.split()[2].decode("ascii")) if listed else None
