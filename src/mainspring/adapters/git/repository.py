"""Facts about a repository, and making one: where its refs lie, what HEAD is, whether a merge is under way."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from mainspring.adapters.git.commands import GitBusy, GitFailed, checked_branch, run_git
from mainspring.kernel.times import SECOND

OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply", "index.lock")
AUTHOR = ("mainspring", "mainspring@localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Where things lie. prefix: the project's folder inside the repository, "" or ending in /."""

    root: Path
    git_dir: Path
    common_dir: Path
    bare: bool
    prefix: str

    def branch_head(self, branch: str) -> str:
        """Return the commit of a branch, or "": a file read, no process, but for unusual ref storage."""
        if (self.common_dir / "reftable").exists():
            return self._ask(branch)
        try:
            text = (self.common_dir / "refs" / "heads" / branch).read_text("ascii").strip()
        except (FileNotFoundError, NotADirectoryError):
            return self._packed(branch)
        except (OSError, UnicodeDecodeError):
            text = ""
        found = text if OID.fullmatch(text) else self._ask(branch)
        if not found and not text.startswith("ref: "):
            raise GitFailed(f"the branch {branch!r} is broken: it names no commit", fix="see `git fsck`, `git reflog`")
        return found

    def is_checked_out(self, branch: str) -> bool:
        """Tell whether the work tree of this folder stands on `branch`."""
        if self.bare:
            return False
        return (self.git_dir / "HEAD").read_text("utf-8").strip() == f"ref: refs/heads/{branch}"

    def check_quiet(self) -> None:
        """Raise `GitBusy` while a merge, a rebase or another git command is under way in the work tree.

        Moving the branch under it would make its commit undo ours.
        """
        for name in _UNDER_WAY:
            if (self.git_dir / name).exists():
                what = "another git command is running" if name == "index.lock" else "a merge or rebase is under way"
                raise GitBusy(
                    f"{what} in the project's work tree ({name})",
                    fix="finish or abort it, then try again"
                    if name != "index.lock"
                    else "wait for it; if none runs, remove .git/index.lock",
                )

    def check_elsewhere(self, branch: str) -> None:
        """Raise `GitBusy` where another work tree of this repository stands on `branch`.

        A commit made there afterwards would undo ours, for its index would still hold the old file.
        """
        here = self.git_dir.resolve()
        for place in (self.common_dir, *sorted((self.common_dir / "worktrees").glob("*"))):
            head = place / "HEAD"
            if place.resolve() == here or (place == self.common_dir and self._is_bare()) or not head.is_file():
                continue
            if head.read_text("utf-8").strip() == f"ref: refs/heads/{branch}":
                raise GitBusy(
                    f"the branch {branch!r} is checked out in another work tree of this repository",
                    fix="run the command there, or let that work tree change to another branch",
                )

    def _is_bare(self) -> bool:
        asked = ("config", "--type=bool", "--default=false", "core.bare")
        return run_git(self.root, *asked).strip() == b"true"

    def _packed(self, branch: str) -> str:
        try:
            text = (self.common_dir / "packed-refs").read_text("utf-8")
        except FileNotFoundError:
            return ""
        wanted = f" refs/heads/{branch}"
        found = [line.split(" ")[0] for line in text.splitlines() if line.endswith(wanted)]
        return found[0] if found and OID.fullmatch(found[0]) else ""

    def _ask(self, branch: str) -> str:
        listed = run_git(self.root, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        return listed.decode("ascii").strip()


def find_repository(root: Path) -> Repository:
    """Return the repository that `root` lies in; `GitFailed` if there is none."""
    asked = ("--absolute-git-dir", "--git-common-dir", "--is-bare-repository", "--show-prefix")
    lines = run_git(root, "rev-parse", *asked).decode("utf-8").splitlines()
    git_dir, common, bare = Path(lines[0]), Path(lines[1]), lines[2] == "true"
    prefix = lines[3] if len(lines) > 3 else ""
    return Repository(root=root, git_dir=git_dir, common_dir=(root / common).resolve(), bare=bare, prefix=prefix)


def init_repository(
    root: Path, *, branch: str = "main", at: int | None = None, author: tuple[str, str] = AUTHOR
) -> str:
    """Make a repository in `root` with one commit of every file not ignored; return the commit. Again: the same.

    at: the commit's time, UTC microseconds (git keeps seconds); None: now.
    """
    checked_branch(branch)
    alone = {"GIT_CONFIG_GLOBAL": "/dev/null"}
    if not (root / ".git").exists():
        run_git(root, "init", "--quiet", "--template=", f"--initial-branch={branch}", env=alone)
    head = find_repository(root).branch_head(branch)
    if head:
        return head
    run_git(root, "add", "--all", env=alone)
    tree = run_git(root, "write-tree", env=alone).decode("ascii").strip()
    identity = commit_environment(author, at)
    made = run_git(root, "commit-tree", tree, "-F", "-", stdin=b"Begin the project\n", env=alone | identity)
    commit = made.decode("ascii").strip()
    run_git(root, "update-ref", f"refs/heads/{branch}", commit, "0" * len(commit), env=alone | identity)
    return commit


def describe_code(root: Path) -> tuple[str, bool]:
    """Return (commit of HEAD or "", whether the work tree differs from it). No filter of the repository runs.

    A submodule is dirty by its commit or by its own work tree. It is looked at by itself, for git's own look into it
    would run the filters that its configuration names.
    """
    asked = ("status", "--porcelain=v2", "--branch", "--ignore-submodules=dirty")
    state = run_git(root, *asked, settings=filterless(root)).decode("utf-8", "replace")
    head = next((line.split(" ")[2] for line in state.splitlines() if line.startswith("# branch.oid")), "")
    dirty = any(line and not line.startswith("#") for line in state.splitlines())
    return (head if OID.fullmatch(head) else ""), dirty or any(describe_code(inner)[1] for inner in _submodules(root))


def _submodules(root: Path) -> list[Path]:
    """Return the folders of the checked-out submodules of the whole repository."""
    top = root
    for _ in Path(find_repository(root).prefix).parts:
        top = top.parent
    listed = run_git(root, "ls-files", "--stage", "-z", "--full-name", "--", ":/").split(b"\0")
    paths = [os.fsdecode(line.partition(b"\t")[2]) for line in listed if line.startswith(b"160000 ")]
    found = [top / path for path in paths if (top / path / ".git").exists()]
    return [path for path in found if not path.is_symlink()]  # one that leads back here would have no end


def commit_environment(author: tuple[str, str], at: int | None) -> dict[str, str]:
    """Return the variables that fix who commits, and when (UTC microseconds; None: now)."""
    found = {
        "GIT_AUTHOR_NAME": author[0], "GIT_AUTHOR_EMAIL": author[1],
        "GIT_COMMITTER_NAME": author[0], "GIT_COMMITTER_EMAIL": author[1],
    }  # fmt: skip
    if at is not None:
        found["GIT_AUTHOR_DATE"] = found["GIT_COMMITTER_DATE"] = f"@{at // SECOND} +0000"
    return found


def filterless(root: Path) -> tuple[str, ...]:
    """Return the settings that switch off every filter a repository configures.

    Commands that look at work files need them, also `update-index`: git re-reads files as young as its index.
    """
    listed = run_git(root, "config", "--list", "--name-only", "-z").decode("utf-8", "replace")
    names = sorted({name for name in listed.split("\x00") if name.startswith("filter.")})
    return tuple(f"{name}=false" if name.endswith(".required") else f"{name}=" for name in names)
