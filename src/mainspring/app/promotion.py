"""Wiring of promotion through environments: what each asks, whose keys count, and where release commits go."""

from collections.abc import Iterable
from pathlib import Path

from mainspring.app.doors import entrance_of
from mainspring.app.releases import catch_up, move, publish_version, release_ports, rollout
from mainspring.app.secrets import resolved
from mainspring.app.workspace import LOCAL, Workspace
from mainspring.deliver.promotion import PromotionRefused
from mainspring.deliver.release import Mode, Share
from mainspring.deliver.reports import MAX_BYTES, ReportFile, read_report
from mainspring.flows.approving import Approved, ApprovePorts, approve
from mainspring.flows.entering import Request
from mainspring.flows.moves import Moved
from mainspring.flows.release import promote
from mainspring.kernel.errors import InvalidValue, MainspringError, NotFound
from mainspring.kernel.times import DAY

LONGEST_APPROVAL = 90 * DAY


def promote_onwards(
    workspace: Workspace, which: int | str | None, *, request: Request, mode: Mode | None, share: Share | None,
    reason: str,
) -> Moved:  # fmt: skip
    """Promote what was tested: `which`, or what answers in the environment before."""
    digest = tested(workspace, which, request)
    _check_clean(workspace)
    publish_version(workspace, digest)
    ports = release_ports(workspace, request)
    return promote(move(workspace, reason), digest, ports, plan=rollout(workspace), mode=mode, share=share)


def approve_version(workspace: Workspace, which: int | str, *, key: Path | None, lasts: int, reason: str) -> Approved:
    """Record an approval by this machine's key, or by the private key in a file."""
    asked = entrance_of(workspace, workspace.environment)
    if asked.environment == LOCAL:
        raise InvalidValue("the local environment needs no approvals", fix="name another: --env production")
    if lasts > LONGEST_APPROVAL:
        raise InvalidValue("an approval that lasts longer than 90d", fix="approve again when it has ended")
    pem = workspace.keys.signing_key() if key is None else _bytes(key, 16 << 10)
    ports = ApprovePorts(
        ledger=workspace.ledger, files=workspace.releases, versions=workspace.versions, key=pem, earlier=asked.earlier
    )
    return approve(move(workspace, reason), which, ports, lasts=lasts)


def alert(workspace: Workspace, moved: Moved, reason: str) -> list[str]:
    """Tell every webhook of `alerts.to` of an emergency; return what went wrong with each that could not be told."""
    from mainspring.adapters.http.webhook import tell

    release = moved.release
    version = (release.challenger or release.champion).version
    text = f"EMERGENCY: {workspace.actor} promoted version {version} of {release.model} to {workspace.environment}"
    facts = {"reason": reason, "environment": workspace.environment, "commit": moved.commit}
    failed = []
    for reference in workspace.settings.alerts.to:
        try:
            tell(resolved(reference), f"{text}: {reason}", facts)
        except MainspringError as error:
            failed.append(error.what)
    return failed


def read_reports(files: Iterable[tuple[str, Path]]) -> tuple[ReportFile, ...]:
    """Return SBOMs and scans, as (kind, file), in the order given."""
    return tuple(read_report(kind, path.name, _bytes(path, MAX_BYTES)) for kind, path in files)


def tested(workspace: Workspace, which: int | str | None, request: Request) -> int | str:
    """Return the digest of what answers in the environment before, numbered here too; else what was asked for.

    Environments with ledgers of their own number versions of their own: a number means the one that answers there.
    """
    asked = entrance_of(workspace, workspace.environment)
    before = request.came_from or asked.earlier
    if before != asked.earlier and not request.emergency:
        raise PromotionRefused(
            f"{workspace.environment} is entered from {asked.earlier or 'no other environment'}, not from {before}",
            fix="follow the order of the project file; only --emergency leaves it",
        )
    release = workspace.releases.read(before)[0] if before else None
    if which is None and not before:
        raise PromotionRefused(
            f"no environment stands before {workspace.environment}", fix="name the version: mainspring promote 3"
        )
    if which is None and release is None:
        raise PromotionRefused(f"nothing serves in {before} yet", fix="promote there first")
    if release is None or which not in (None, release.champion.version, release.champion.digest):
        return which or ""
    if release.model == workspace.settings.name:
        workspace.versions.assign(release.model, release.champion.digest)
    return release.champion.digest


def _check_clean(workspace: Workspace) -> None:
    """Raise where the checked-out release file has edits of somebody's own: the promotion would pass them by."""
    from mainspring.adapters.git.commands import GitFailed
    from mainspring.adapters.git.history import read_at
    from mainspring.adapters.git.repository import find_repository

    root, name = workspace.paths.root, f"environments/{workspace.environment}/release.yaml"
    pushed = workspace.settings.delivery.remote and workspace.environment != LOCAL
    if pushed or not (root / name).is_file() or not find_repository(root).is_checked_out("main"):
        return  # no work tree follows
    catch_up(workspace)
    head = workspace.releases.head(workspace.environment)
    known = read_at(root, head, name) if head else None
    if (root / name).read_bytes().replace(b"\r\n", b"\n") != known:
        raise GitFailed(f"{name} has edits that are not committed", fix=f"commit them, or: git checkout HEAD -- {name}")


def _bytes(path: Path, at_most: int) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(at_most + 1)
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}", fix="give a file that exists") from error
