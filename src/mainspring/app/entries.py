"""Wiring of the audit of release commits: rules from the base of the range, everything else from its commits."""

import tempfile
from functools import lru_cache
from pathlib import Path

from mainspring.app.doors import entrance_in
from mainspring.app.workspace import LOCAL
from mainspring.flows.audit_entries import Entered, EntryPorts, Step, judge_entries
from mainspring.flows.entering import Committed
from mainspring.kernel.errors import NotFound
from mainspring.project.load import FILE_NAME, load
from mainspring.project.settings import Settings


def audit_entries(root: Path, since: str, until: str) -> list[Entered]:
    """Judge every entry into an environment in the commits after `since` up to `until`."""
    from mainspring.adapters.git.history import files_at, find_commit, first_parents

    base, tip = find_commit(root, since), find_commit(root, until)

    @lru_cache(maxsize=64)
    def at(commit: str) -> Committed:
        return files_at(root, commit)

    environments = _settings_at(root, base).environments
    entrances = [entrance_in(environments, name) for name in environments if name != LOCAL]
    steps = [Step(commit=commit, parent=parent, at=when) for commit, parent, when in first_parents(root, base, tip)]
    return judge_entries(entrances, EntryPorts(base=base, steps=steps, at=at))


def _settings_at(root: Path, commit: str) -> Settings:
    """Return the rules of the project file as it stood at a commit."""
    from mainspring.adapters.git.history import read_at

    data = read_at(root, commit, FILE_NAME)
    if data is None:
        raise NotFound(f"commit {commit[:12]} has no {FILE_NAME}", fix="name a later commit: --since")
    with tempfile.TemporaryDirectory(prefix="mainspring-") as folder:
        place = Path(folder) / FILE_NAME
        place.write_bytes(data)
        return load(place).settings
