"""Run git so that nothing a repository configures can run: no hooks, file monitors, pagers, filters or transports."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from mainspring.kernel.errors import InvalidValue, MainspringError

_TIMEOUT_S = 60
_KEPT = ("HOME", "PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "USERPROFILE")
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.\-]*)*")
_SAFE = (
    f"core.hooksPath={os.devnull}",
    "core.fsmonitor=false",
    "core.pager=cat",
    "core.untrackedCache=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "log.showSignature=false",
    "protocol.allow=never",
)


class GitFailed(MainspringError):
    """The repository cannot do what was asked in the state that it is in."""

    code = "git.failed"


class GitBusy(MainspringError):
    """Another git command, a merge or a rebase is under way; nothing was changed."""

    code = "git.busy"
    exit_code = 75


def run_git(
    root: Path, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None, settings: tuple[str, ...] = ()
) -> bytes:
    """Return what git printed; raise `GitFailed` with its first line of complaint otherwise."""
    flags = [part for setting in (*_SAFE, *settings) for part in ("-c", setting)]
    try:
        done = subprocess.run(
            ["git", "--no-pager", *flags, *args],  # noqa: S607 - git is found on the PATH on purpose
            cwd=root,
            input=stdin,
            env=_environment() | dict(env or {}),
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        what = f"the folder {root.name!r} does not exist" if not root.is_dir() else "git is not installed"
        raise GitFailed(what, fix="install git 2.30 or newer, and give an existing folder") from error
    except NotADirectoryError as error:
        raise GitFailed(f"{root.name!r} is not a folder", fix="give the project's folder") from error
    except subprocess.TimeoutExpired as error:
        raise GitBusy(f"git {args[0]} did not end in {_TIMEOUT_S} s", fix="see what holds the repository") from error
    if done.returncode != 0:
        raise _failed(args[0], done.stderr.decode("utf-8", "replace"))
    return done.stdout


def checked_branch(branch: str) -> str:
    """Return `branch` if git accepts it as a branch and no command line can misread it."""
    unsafe = ".." in branch or branch.endswith((".", ".lock")) or ".lock/" in branch or "/." in branch
    if len(branch) > 200 or unsafe or not _BRANCH.fullmatch(branch):
        raise InvalidValue(f"{branch[:80]!r} cannot name a branch", fix="use letters, digits, _, -, . and /")
    return branch


def _environment() -> dict[str, str]:
    """Return a clean environment: no GIT_* variable of the caller, no system configuration, no prompt."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def _failed(command: str, complaint: str) -> MainspringError:
    lines = [line for line in complaint.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith((" ! ", "fatal:"))]
    first = " ".join((told or lines or ["no reason given"])[0].split())[:200]
    if "not a git repository" in complaint:
        return GitFailed("the project is not in a git repository", fix="run `git init`, then commit the project")
    if "dubious ownership" in complaint:
        return GitFailed(
            "the repository belongs to another user, so git refuses it",
            fix="run as its owner, or `git config --global --add safe.directory <folder>`",
        )
    if ".lock" in complaint and "File exists" in complaint:
        return GitBusy(
            f"git {command}: another git command holds a lock",
            fix="wait for it; if none runs, remove the .lock file that git names",
        )
    return GitFailed(f"git {command}: {first}", fix="see `git status` and `git fsck`")
