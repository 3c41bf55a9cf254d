"""Wiring of a proposed promotion: a branch, a patch, and a pull request where the host's program is there."""

from dataclasses import dataclass, replace
from pathlib import Path

from mainspring.app.promotion import tested
from mainspring.app.releases import move, publish_version, release_ports, rollout
from mainspring.app.workspace import LOCAL, Workspace
from mainspring.deliver.release import Mode, Share
from mainspring.flows.entering import Request
from mainspring.flows.moves import Moved
from mainspring.flows.release import promote
from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.files import write_atomic


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What was made. branch, patch: "" and None where nothing had to change. opened: what the program said, or ""."""

    moved: Moved
    branch: str
    patch: Path | None
    opened: str


def propose(
    workspace: Workspace, which: int | str | None, *, request: Request, mode: Mode | None, share: Share | None,
    reason: str,
) -> Proposal:  # fmt: skip
    """Propose what `promote_onwards` would do. Approvals and freezes are judged when it is merged, not now."""
    from mainspring.adapters.git.lines import LocalBranch, RemoteBranch
    from mainspring.adapters.git.proposals import ProposedBranch, PullRequest, open_request, patch_of
    from mainspring.adapters.git.releases import ReleaseFiles

    if workspace.environment == LOCAL:
        raise InvalidValue("a release of the local environment is not proposed", fix="promote without --pull-request")
    digest = tested(workspace, which, request)
    publish_version(workspace, digest)
    root, delivery = workspace.paths.root, workspace.settings.delivery
    branch = f"mainspring/{workspace.environment}-{str(digest).removeprefix('sha256:')[:12]}"
    base = RemoteBranch(root, delivery.branch, delivery.remote) if delivery.remote else LocalBranch(root, "main")
    files = ReleaseFiles(root, clock=workspace.clock, line=lambda place, _: ProposedBranch(place, base, branch))
    ports = replace(release_ports(workspace, request), files=files)
    wanted = replace(move(workspace, reason), proposed=True)
    moved = promote(wanted, digest, ports, plan=rollout(workspace), mode=mode, share=share)
    if not moved.changed:
        return Proposal(moved=moved, branch="", patch=None, opened="")
    patch = workspace.paths.state / "proposals" / f"{branch.removeprefix('mainspring/')}.patch"
    patch.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(patch, patch_of(root, moved.commit))
    opened = ""
    if isinstance(base, RemoteBranch):
        version = (moved.release.challenger or moved.release.champion).version
        asked = PullRequest(
            base=delivery.branch, branch=branch, title=f"{workspace.environment}: promote version {version}",
            body=f"{digest}\n\n{reason}".strip(), url=base.url,
        )  # fmt: skip
        opened = open_request(root, asked, delivery.ci)
    return Proposal(moved=moved, branch=branch, patch=patch, opened=opened)
