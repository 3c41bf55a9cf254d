"""Wiring of deliver: moving versions through an environment, and proving the record whole."""

import json
import os
from collections.abc import Callable

from mainspring.app.doors import door_of, entrance_of
from mainspring.app.workspace import LOCAL, Workspace
from mainspring.deliver.release import Plan, Release, plan_of
from mainspring.develop.errors import MirrorFailed
from mainspring.flows.audit import AuditPorts, AuditReport, verify
from mainspring.flows.entering import EVIDENCE, Request
from mainspring.flows.moves import Admitted, Candidate, Move, Moved, ReleasePorts
from mainspring.flows.publish import Published, publish
from mainspring.flows.release import promote, rollback
from mainspring.kernel.files import write_atomic
from mainspring.security.statements import signer_of_statement

_PLAIN = Request()


def release_ports(workspace: Workspace, request: Request = _PLAIN) -> ReleasePorts:
    """Return what a move needs. Whoever enters another environment than `local`, the watch too, passes its door."""

    def admit(move: Move, candidate: Candidate) -> Admitted:
        return Admitted() if workspace.environment == LOCAL else door_of(workspace, request)(move, candidate)

    return ReleasePorts(
        ledger=workspace.ledger, files=workspace.releases, models=workspace.models, versions=workspace.versions,
        keys=workspace.keys, checkpoints=workspace.checkpoints, admit=admit,
    )  # fmt: skip


def catch_up(workspace: Workspace) -> None:
    """Let the work tree follow a move that was interrupted after its commit; where none follows, nothing."""
    from mainspring.adapters.git.releases import ReleaseFiles

    if isinstance(workspace.releases, ReleaseFiles):
        workspace.releases.catch_up(workspace.environment)


def move(workspace: Workspace, reason: str, *, actor: str = "") -> Move:
    """Return who moves what, now."""
    return Move(
        environment=workspace.environment, model=workspace.settings.name, actor=actor or workspace.actor,
        at=workspace.clock.now(), reason=reason,
    )  # fmt: skip


def promote_version(workspace: Workspace, which: int | str, *, at_once: bool, reason: str) -> Moved:
    """Begin a version's canary by the project's plan, or let it answer everything at once.

    A model that only this machine has is brought to the environment's store first: a release names nothing absent.
    """
    publish_version(workspace, which)
    ports = release_ports(workspace)
    return promote(move(workspace, reason), which, ports, plan=rollout(workspace), mode=None if at_once else "canary")


def publish_version(workspace: Workspace, which: int | str) -> Published | None:
    """Bring a version (number or digest) to the environment's store; None where it has none of its own.

    It comes from this machine, or from where the environment before it keeps its models.
    """
    digest = next((d for v, d in workspace.versions.list(workspace.settings.name) if which in (v, d)), "")
    if not digest or not workspace.has_own_store:
        return None
    before = entrance_of(workspace, workspace.environment).earlier
    sources = [workspace.models_here, *([workspace.at(before).models] if before else [])]
    source = next((store for store in sources if store.has(digest)), None)
    trusted = workspace.keys.trusted(workspace.environment)
    return None if source is None else publish(digest, source, workspace.models, trusted)


def show_aliases(workspace: Workspace, release: Release, say: Callable[[str], None] = lambda _: None) -> None:
    """Point the tracking server's aliases at what serves. A mirror: a failure is told and changes nothing."""
    if not _is_mirrored(workspace):
        return
    from mainspring.adapters.mlflow.mirror import MlflowMirror, tracking_uri

    mirror = MlflowMirror(tracking_uri(workspace.paths.state), workspace.paths.state / "mlartifacts")
    try:
        mirror.set_alias(release.model, "champion", release.champion.version)
        if release.challenger is None:
            mirror.drop_alias(release.model, "challenger")
        else:
            mirror.set_alias(release.model, "challenger", release.challenger.version)
    except MirrorFailed as error:
        say(f"warning: {error.what}")


def follow_aliases(workspace: Workspace, release: Release, say: Callable[[str], None]) -> None:
    """Show the aliases of a release if they were not shown yet: MLflow takes seconds to import, and may be away.

    Tried once a change; `mainspring tracking sync` tries again.
    """
    challenger = release.challenger
    wanted = json.dumps({"champion": release.champion.digest, "challenger": challenger.digest if challenger else ""})
    shown = workspace.paths.state / f"aliases-{workspace.environment}.json"
    if _is_mirrored(workspace) and (not shown.exists() or shown.read_text("utf-8") != wanted):
        write_atomic(shown, wanted.encode(), durable=False)
        show_aliases(workspace, release, say)


def _is_mirrored(workspace: Workspace) -> bool:
    from mainspring.adapters.mlflow.mirror import URI_VARIABLE

    return bool(os.environ.get(URI_VARIABLE)) or (workspace.paths.state / "mlflow.db").exists()


def roll_back(workspace: Workspace, reason: str) -> Moved:
    """Go back to the last healthy release."""
    return rollback(move(workspace, reason), release_ports(workspace))


def rollout(workspace: Workspace) -> Plan:
    """Return the project's rollout plan as release files keep it."""
    return plan_of(workspace.settings.rollout)


def audit(workspace: Workspace) -> AuditReport:
    """Read everything that must hold and say what does not."""
    ports = AuditPorts(
        ledger=workspace.ledger, files=workspace.releases, versions=workspace.versions, keys=workspace.keys,
        checkpoints=workspace.checkpoints, sealed=lambda environment: _sealed(workspace, environment),
        private=workspace.has_private_ledger,
    )  # fmt: skip
    return verify(workspace.settings.name, (workspace.environment,), ports)


def _sealed(workspace: Workspace, environment: str) -> bool:
    """Tell whether this machine's key has moved an environment: the evidence in git says so; `local` is its own."""
    from mainspring.app.features import known_keys

    own = next((key.id for key in known_keys(workspace) if key.where == "own"), "")
    if not own or environment == LOCAL:
        return bool(own)
    return own in {signer_of_statement(data) for data in workspace.releases.folder(environment, EVIDENCE).values()}
