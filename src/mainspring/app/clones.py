"""Wiring of a place without a repository: a clone in its state folder, from which release commits go to the remote."""

from pathlib import Path

from mainspring.app.mounted import Mounted
from mainspring.app.paths import Paths
from mainspring.app.workspace import Workspace, open_workspace

CLONE = "repository"


def open_clone(
    project: Path, url: str, branch: str, *, environment: str, keys: Path | None = None
) -> Workspace:  # fmt: skip
    """Open the project as the branch has it now, in a clone below the state folder of `project`.

    The clone has state of its own, kept as long as that folder; release commits are pushed before they count.
    keys: folder of the signing key, if it is mounted.
    """
    from mainspring.adapters.git.clone import REMOTE, keep_clone

    folder = Paths.of(project).state / CLONE
    keep_clone(url, branch, folder)
    return open_workspace(folder, environment=environment, mounted=Mounted(remote=REMOTE, keys=keys))
