"""Wiring of `check`: the project file against its data, rendered files against the project, the tree against policy."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mainspring import __version__
from mainspring.app.paths import Paths
from mainspring.app.workspace import Workspace, open_workspace
from mainspring.data.snapshots import from_json
from mainspring.data.views import Types
from mainspring.flows.snapshot import find_snapshot
from mainspring.kernel.errors import MainspringError
from mainspring.project.load import Project, load
from mainspring.project.lower import lower
from mainspring.security.leaks import leaks
from mainspring.security.lint import RULES, Finding, Severity, lint, sarif

_PARQUET = ".parquet"


class PolicyRefused(MainspringError):
    """A manifest, workflow or script is unsafe, or a rendered file is stale."""

    code = "policy.refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a check found. about: facts of the project file; {} where only a tree was checked. stale: rendered files."""

    findings: Sequence[Finding]
    about: Mapping[str, Any] = field(default_factory=dict)
    stale: Sequence[str] = ()
    files: int = 0

    def errors(self) -> int:
        """Return how many things must be mended; warnings do not count."""
        return sum(item.rule.severity is Severity.ERROR for item in self.findings) + len(self.stale)

    def summary(self) -> str:
        """Return the last line."""
        counts = {name: self.about[name] for name in ("sources", "features", "gates") if name in self.about}
        words = ", ".join(f"{count} {name if count != 1 else name[:-1]}" for name, count in counts.items())
        project = f"{self.about['file']} is right: {self.about['project']}, {words}; " if self.about else ""
        return f"{project}policy: {len(self.findings)} findings in {self.files} files"

    def to_json(self) -> dict[str, Any]:
        """Return the report for scripts."""
        listed = [
            {"rule": f.rule.id, "severity": f.rule.severity.value, "path": f.path, "line": f.line, "what": f.what,
             "fix": f.rule.fix, "kube_score": f.rule.kube_score}
            for f in self.findings
        ]  # fmt: skip
        return {
            "ok": not self.errors(),
            **self.about,
            "files": self.files,
            "findings": listed,
            "stale": list(self.stale),
        }

    def sarif(self) -> dict[str, Any]:
        """Return the findings as SARIF."""
        return sarif(self.findings, __version__)

    def require(self) -> None:
        """Raise `PolicyRefused` unless nothing must be mended."""
        if self.errors():
            raise PolicyRefused(
                f"{self.errors()} things must be mended",
                fix="mend them, or excuse a line: # mainspring: allow RULE because REASON",
            )


def check_policy(tree: Path) -> Report:
    """Return the policy findings of a folder or file."""
    from mainspring.adapters.yaml.read import read_tree

    sources = read_tree(tree)
    return Report(findings=lint(sources), files=len(sources))


def check_history(root: Path, since: str = "") -> Report:
    """Return the credentials that any commit of the repository holds, also where a later one removed them.

    Each is told once a file, with the first commit that brought it in.
    """
    from mainspring.adapters.git.contents import every_content, first_commit_with

    found: dict[tuple[str, str], Finding] = {}
    files = 0
    for oid, path, data in every_content(root, since):
        files += data is not None
        for line, what in leaks(data or b""):
            if (path, what) not in found:
                told = f"commit {first_commit_with(root, oid)[:12]} holds a credential: renew it where it was made"
                found[path, what] = Finding(rule=RULES["secret-inline"], path=path, line=line, what=told)
    return Report(findings=sorted(found.values(), key=lambda item: (item.path, item.line)), files=files)


def check_project(root: Path, *, file_only: bool = False) -> Report:
    """Return what is wrong with a project; raise `InvalidProject` for the file's own mistakes."""
    from mainspring.project.presence import check_presence

    project = load(root)
    definitions = project.settings.definitions
    about = {
        "file": project.file.name, "project": project.settings.name, "digest": project.digest,
        "sources": len(definitions.sources), "features": len(definitions.feature_names()),
        "gates": len(project.settings.gates),
    }  # fmt: skip
    if file_only:
        return Report(findings=(), about=about)
    check_presence(project)
    check_features(project)
    policy = check_policy(project.root)
    return Report(findings=policy.findings, about=about, stale=_stale(project.root), files=policy.files)


def _stale(root: Path) -> tuple[str, ...]:
    """Return rendered files that differ from what the project renders now; none where nothing was rendered yet."""
    from mainspring.app.rendering import render_ports, subject_of
    from mainspring.flows.render import INDEX, compare, expected

    if not (root / INDEX).is_file():
        return ()
    ports = render_ports(root)
    found = compare(expected(subject_of(open_workspace(root)), ports), ports.tree)
    return (*found.missing, *found.stale, *found.edited, *found.extra)


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
