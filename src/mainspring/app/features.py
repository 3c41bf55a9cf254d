"""Wiring of features and keys as people use them."""

import json

from mainspring.adapters.files.keys import KeyInfo, Keys
from mainspring.app.online import online_of
from mainspring.app.training import end_of_data, take_snapshot
from mainspring.app.workspace import Workspace
from mainspring.data.snapshots import from_json
from mainspring.flows.snapshot import find_snapshot, table_paths


def materialise_features(workspace: Workspace, *, until: int = 0, online: str = "") -> int:
    """Bring the environment's online store up to `until`; return the rows written.

    until: UTC microseconds; 0: the end of the data in the last snapshot. online: another Redis than the environment's.
    """
    from mainspring.adapters.duckdb.training_sets import TrainingSets
    from mainspring.flows.materialise import materialise

    document = json.loads(workspace.store.get(str(find_snapshot(workspace.ledger).body["digest"])))
    sets = TrainingSets(table_paths(from_json(document), workspace.store))
    with online_of(workspace, online) as store:
        return materialise(workspace.settings.definitions, sets, store, until or end_of_data(workspace))


def refresh_features(workspace: Workspace) -> int:
    """Take what is new in the sources and bring the environment's online store up to it; return the rows written."""
    take_snapshot(workspace)
    return materialise_features(workspace)


def known_keys(workspace: Workspace) -> list[KeyInfo]:
    """Return this machine's own key and every trusted one."""
    return Keys(workspace.paths.state, workspace.paths.root).list()


def create_key(workspace: Workspace) -> str:
    """Make a new signing key and return its id."""
    return Keys(workspace.paths.state, workspace.paths.root).create()


def trust_key(workspace: Workspace, environment: str, pem: bytes) -> str:
    """Let a public key vouch for models in an environment; return its id."""
    return Keys(workspace.paths.state, workspace.paths.root).trust(environment, pem)
