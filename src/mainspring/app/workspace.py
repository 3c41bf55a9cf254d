"""One opened workspace: a project (or a replay of it) with the ports that every layer needs, made when first used."""

import os
import re
from functools import cached_property
from pathlib import Path

from mainspring.app.clock import SystemClock
from mainspring.app.mounted import NOTHING, Mounted, models_at, release_files
from mainspring.app.paths import STATE, Paths
from mainspring.app.stores import Stores, address, stores_of
from mainspring.data.ports import SourceReader
from mainspring.deliver.ports import Checkpoints, Keys, ModelStore, Versions
from mainspring.flows.entering import Committed
from mainspring.kernel.events import Ledger
from mainspring.kernel.files import make_private
from mainspring.kernel.stores import Store
from mainspring.kernel.times import Clock
from mainspring.project.load import Project, load
from mainspring.project.settings import Settings

LOCAL = "local"
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


class Workspace:
    """Opens adapters by name, once each.

    actor: who acts, for the ledger. environment: whose release file counts here. mounted: that file and the keys it
    trusts where they are mounted into a pod, instead of a repository.
    """

    def __init__(
        self, paths: Paths, project: Project, *, clock: Clock, environment: str = LOCAL, mounted: Mounted = NOTHING
    ) -> None:  # fmt: skip
        self.paths, self.project, self.clock, self.environment = paths, project, clock, environment
        self.mounted = mounted
        self.actor = f"user:{os.environ.get('USER') or os.environ.get('USERNAME') or 'unknown'}"
        make_private(paths.state)

    @property
    def is_replay(self) -> bool:
        """Tell whether this is a replay of a project: it can be run again, so nothing in it is flushed to disk."""
        return self.paths.root != self.paths.project

    @property
    def settings(self) -> Settings:
        """The project's settings."""
        return self.project.settings

    @cached_property
    def stores(self) -> Stores:
        """Where this environment keeps its state."""
        return stores_of(self.paths, self.settings.environments.get(self.environment), self.mounted)

    @cached_property
    def store(self) -> Store:
        """Content-addressed blobs."""
        return self.stores.content()

    @cached_property
    def ledger(self) -> Ledger:
        """What happened."""
        from mainspring.adapters.sql.ledger import Ledger as SqlLedger

        return SqlLedger(self.ledger_url, durable=not self.is_replay)

    @property
    def has_private_ledger(self) -> bool:
        """Whether the ledger is this clone's own file, which no other clone sees."""
        return self.ledger_url == f"sqlite:///{self.paths.ledger.as_posix()}"

    @property
    def ledger_url(self) -> str:
        """The database of the ledger and the version numbers: embedded unless the environment names another."""
        return address("ledger", self.named_store("ledger")) or f"sqlite:///{self.paths.ledger.as_posix()}"

    def named_store(self, name: str) -> str:
        """Return the address that the environment names for a store, or ""."""
        chosen = self.settings.environments.get(self.environment)
        return chosen.stores.get(name, "") if chosen else ""

    @cached_property
    def versions(self) -> Versions:
        """Dense version numbers."""
        from mainspring.adapters.sql.versions import Versions as SqlVersions

        return SqlVersions(self.ledger_url)

    @cached_property
    def models(self) -> ModelStore:
        """Signed models: the environment's store where it names one, else this machine's."""
        return self.stores.signed()

    @cached_property
    def models_here(self) -> ModelStore:
        """Signed models of this machine, whatever the environment."""
        return models_at("", self.paths.state / "models")

    @property
    def has_own_store(self) -> bool:
        """Tell whether the environment keeps signed models elsewhere than on this machine."""
        return bool(self.stores.models)

    @cached_property
    def keys(self) -> Keys:
        """The signing key of this machine and whom environments trust."""
        from mainspring.adapters.files.keys import Keys as FileKeys

        return FileKeys(self.paths.state, self.paths.root, self.mounted.keys)

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """The signed end of the ledger, as last seen in each environment."""
        from mainspring.adapters.files.checkpoints import Checkpoints as FileCheckpoints

        return FileCheckpoints(self.paths.state / "checkpoints", durable=not self.is_replay)

    @cached_property
    def releases(self) -> Committed:
        """Release files: the one that is mounted, those on the local branch, or on that of `delivery.remote`.

        The environment `local` and replays are this machine's own and never pushed.
        """
        if self.mounted.release is not None:
            return release_files(self.mounted, self.paths.root)
        from mainspring.adapters.git.lines import RemoteBranch
        from mainspring.adapters.git.releases import ReleaseFiles as GitReleases

        delivery = self.settings.delivery
        remote = self.mounted.remote or delivery.remote
        if not remote or self.environment == LOCAL or self.is_replay:
            return GitReleases(self.paths.root, clock=self.clock)
        return GitReleases(
            self.paths.root, delivery.branch, clock=self.clock,
            line=lambda root, branch: RemoteBranch(root, branch, remote),
        )  # fmt: skip

    def at(self, environment: str) -> "Workspace":
        """Return the same project as another environment sees it: its ledger, its trust."""
        return Workspace(self.paths, self.project, clock=self.clock, environment=environment)

    @cached_property
    def reader(self) -> SourceReader:
        """Reads the project's sources."""
        from mainspring.adapters.duckdb.reader import SourceReader as DuckReader

        return DuckReader(self.paths.project, cache=self.paths.shared / "fingerprints")

    @cached_property
    def code(self) -> tuple[str, bool]:
        """The commit of the project's code ("" without one) and whether the work tree differs from it.

        In an image, which has no repository: the commit that it was built from, as its build said.
        """
        from mainspring.adapters.git.commands import GitFailed
        from mainspring.adapters.git.repository import describe_code

        try:
            return describe_code(self.paths.project)
        except GitFailed:
            built_from = os.environ.get("MAINSPRING_COMMIT", "")
            return (built_from, False) if _COMMIT.fullmatch(built_from) else ("", True)


def open_workspace(
    root: Path, *, environment: str = LOCAL, clock: Clock | None = None, mounted: Mounted = NOTHING
) -> Workspace:  # fmt: skip
    """Open the project in `root` (or above it). mounted: what a pod has instead of a repository."""
    project = load(_project_root(root))
    paths = Paths.of(project.root)
    return Workspace(paths, project, clock=clock or SystemClock(), environment=environment, mounted=mounted)


def _project_root(start: Path) -> Path:
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / "mainspring.yaml").is_file():
            return folder
        if (folder / STATE).is_dir():
            break
    return start
