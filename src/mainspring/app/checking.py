"""Wiring of the checks that need data: do features read columns that exist, of the right type, known in time?"""

import json

from mainspring.app.paths import Paths
from mainspring.app.workspace import Workspace
from mainspring.data.snapshots import from_json
from mainspring.data.views import Types
from mainspring.flows.snapshot import find_snapshot
from mainspring.project.load import Project
from mainspring.project.lower import lower

_PARQUET = ".parquet"


def check_features(project: Project) -> bool:
    """Judge the definitions against the sources' columns; raise `InvalidProject` with every problem and its line.

    Reads the schema of Parquet sources, not their rows. Returns False where a source is of another format: then
    `mainspring train` judges it by the snapshot's columns.
    """
    sources = project.settings.definitions.sources
    if not all(source.uri.endswith(_PARQUET) for source in sources):
        return False
    from mainspring.adapters.duckdb.training_sets import TrainingSets

    root = Paths.of(project.root).project
    lower(project, TrainingSets({source.name: [root / source.uri] for source in sources}).types)
    return True


def check_against_snapshot(workspace: Workspace) -> None:
    """Judge the definitions against the last snapshot's columns; raise `InvalidProject`, or `NotFound` without one."""
    lower(workspace.project, snapshot_types(workspace))


def snapshot_types(workspace: Workspace) -> Types:
    """Return source -> column -> type of the last snapshot."""
    document = json.loads(workspace.store.get(str(find_snapshot(workspace.ledger).body["digest"])))
    return from_json(document).types()
