"""Where a workspace keeps things: committed files under its root, local state under `.mainspring/`."""

from dataclasses import dataclass
from pathlib import Path

STATE = ".mainspring"
PROJECT_FILE = "mainspring.yaml"


def readings_file(state: Path, environment: str) -> Path:
    """Return where a watch leaves its last readings for the server's metrics."""
    return state / f"watch-{environment}.prom"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Folders and files of one workspace.

    root: the git repository with `environments/`. project: the folder of the project file and its code; the same as
    root, except in a replay. state: ledger, log, keys, models. shared: content store and step cache, which replays
    share with their project.
    """

    root: Path
    project: Path
    state: Path
    shared: Path

    @classmethod
    def of(cls, root: Path) -> "Paths":
        """Return the paths of a project in `root`."""
        root = root.resolve()
        return cls(root=root, project=root, state=root / STATE, shared=root / STATE)

    def replay(self, name: str) -> "Paths":
        """Return the paths of the replay called `name`: its own repository and state, the project's store."""
        root = self.state / "replay" / name
        return Paths(root=root, project=self.project, state=root / STATE, shared=self.shared)

    def at(self, state: Path | None) -> "Paths":
        """Return the paths of the replay whose state folder this is; None for the project itself."""
        return (
            self if state is None else Paths(root=state.parent, project=self.project, state=state, shared=self.shared)
        )

    @property
    def ledger(self) -> Path:
        """The embedded ledger (and version numbers)."""
        return self.state / "ledger.db"

    @property
    def log(self) -> Path:
        """Prediction log segments as the server writes them."""
        return self.state / "log"

    @property
    def posted_labels(self) -> Path:
        """Labels that were posted to the server and wait for a watch."""
        return self.state / "labels"

    @property
    def predictions(self) -> Path:
        """Compacted prediction log: one Parquet file a day."""
        return self.state / "predictions"

    @property
    def server(self) -> Path:
        """Addresses of the running server."""
        return self.state / "server.json"

    @property
    def report(self) -> Path:
        """The report page."""
        return self.state / "report.html"
