"""A clone in a place without one, such as a pod: made once, brought up to date on every later use."""

import os
from pathlib import Path

from mainspring.adapters.git.commands import GitBusy, GitFailed, checked_branch, run_git
from mainspring.adapters.git.lines import PASSED, TRANSPORTS, RemoteUnreachable

REMOTE = "origin"


def keep_clone(url: str, branch: str, folder: Path) -> None:
    """Make `folder` a clone of `url` whose work tree is the branch as it stands there now; ignored files stay.

    Access comes from the caller's environment, as git reads it. Raises `RemoteUnreachable`, which may be tried again.
    """
    checked_branch(branch)
    given = {name: os.environ[name] for name in PASSED if name in os.environ}
    try:
        if not (folder / ".git").is_dir():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            run_git(folder, "init", "--quiet", f"--initial-branch={branch}")
            run_git(folder, "remote", "add", "--", REMOTE, url)
        ref = f"+refs/heads/{branch}:refs/remotes/{REMOTE}/{branch}"
        run_git(folder, "fetch", "--quiet", "--no-tags", REMOTE, ref, env=given, settings=TRANSPORTS)
    except GitBusy as error:
        raise RemoteUnreachable(error.what, fix="try again") from error
    except GitFailed as error:
        what = f"{url} cannot be cloned: {error.what}"
        raise RemoteUnreachable(what, fix="check delivery.repository and the access, then try again") from error
    run_git(folder, "checkout", "--quiet", "--force", "-B", branch, f"refs/remotes/{REMOTE}/{branch}")
