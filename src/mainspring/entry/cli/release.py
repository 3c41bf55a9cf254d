"""`mainspring promote`, `approve`, `rollback`: change what an environment serves."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option
from mainspring.flows.moves import Moved

if TYPE_CHECKING:
    from mainspring.app.proposing import Proposal

_DIGITS = 9
_environment = click.option("--env", "environment", default="local", show_default=True, help="Environment to change.")
_reason = click.option("--reason", default="", help="Why, for the ledger.")


@click.command()
@click.argument("version", required=False)
@click.option("--now", "at_once", is_flag=True, help="Answer everything at once instead of beginning a canary.")
@click.option(
    "--env", "--to", "environment", default="local", show_default=True, metavar="ENV", help="Environment to enter."
)
@click.option("--from", "came_from", default="", metavar="ENV", help="Environment to come from: the one before ENV.")
@click.option("--mode", type=click.Choice(["canary", "shadow", "ab", "bandit"]), default="canary", show_default=True)
@click.option("--weight", type=int, help="Percent of askers that an A/B test or (at most) a bandit gives VERSION.")
@click.option("--floor", type=int, help="Percent of askers that a bandit gives VERSION at least.")
@click.option("--sbom", type=click.Path(path_type=Path), help="SBOM to attach: CycloneDX or SPDX, JSON.")
@click.option(
    "--scan", "scans", type=click.Path(path_type=Path), help="Scan to attach: SARIF, Trivy or pip-audit, JSON."
)
@click.option("--pull-request", "propose", is_flag=True, help="Make a branch and a patch for others to merge instead.")
@click.option("--emergency", default="", metavar="REASON", help="Skip order, soak, approvals and freezes, on record.")
@_reason
@json_option
def promote(*, version: str | None, environment: str, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Bring VERSION (a number or a digest) into an environment: one git commit.

    Without VERSION, what answers in the environment before. The first version of an environment answers everything; a
    later one begins a canary by the project's plan. Refused (exit 3): a version whose gate did not pass, that does not
    answer in the environment before, or that lacks soak time or approvals; anything in a freeze. docs/promotion.md
    """
    from mainspring.app.promotion import alert, promote_onwards, read_reports
    from mainspring.app.workspace import open_workspace
    from mainspring.deliver.release import Share
    from mainspring.flows.entering import Request

    if version is None and environment == "local":
        raise click.UsageError("name the VERSION, or the environment to enter: --to staging")
    share = None
    if given["weight"] is not None or given["floor"] is not None:
        if given["weight"] is None:
            raise click.UsageError("--floor needs --weight")
        share = Share(given["weight"], given["floor"] or 0)
    files = [(kind, here() / given[name]) for kind, name in (("sbom", "sbom"), ("scan", "scans")) if given[name]]
    request = Request(emergency=given["emergency"], came_from=given["came_from"], reports=read_reports(files))
    workspace = open_workspace(here(), environment=environment)
    how = {"request": request, "share": share, "reason": given["reason"]}
    mode = None if given["at_once"] else given["mode"]
    if given["propose"]:
        from mainspring.app.proposing import propose

        _show_proposal(propose(workspace, _which(version), mode=mode, **how), environment, as_json)
        return
    moved = promote_onwards(workspace, _which(version), mode=mode, **how)
    if request.emergency and moved.changed:
        click.echo(f"EMERGENCY, on record: {request.emergency}", err=True)
        for what in alert(workspace, moved, request.emergency):
            click.echo(f"warning: {what}", err=True)
    _show(moved, environment, as_json)


@click.command()
@click.argument("version")
@click.option("--env", "environment", required=True, metavar="ENV", help="Environment that it may enter.")
@click.option(
    "--key", type=click.Path(path_type=Path), help="Your private key (PEM); without it, this machine's signing key."
)
@click.option("--expires", default="14d", show_default=True, metavar="DURATION", help="How long it holds; up to 90d.")
@_reason
@json_option
def approve(*, version: str, environment: str, key: Path | None, expires: str, reason: str, as_json: bool) -> None:
    """Approve VERSION for an environment: a signed file beside its release, one git commit.

    It holds for this digest, this environment and its next entry alone. Your public key must be committed as
    environments/ENV/approvers/NAME.pem.
    """
    from mainspring.app.promotion import approve_version
    from mainspring.app.workspace import open_workspace
    from mainspring.kernel.times import format_time, parse_duration

    workspace, lasts = open_workspace(here(), environment=environment), parse_duration(expires)
    place = None if key is None else here() / key
    found = approve_version(workspace, _which(version) or "", key=place, lasts=lasts, reason=reason)
    approval = found.approval
    if as_json:
        present.emit(
            {"environment": environment, "version": approval.version, "digest": approval.digest, "by": found.name,
             "key": found.key,
             "entry": approval.entry, "expires": format_time(approval.expires), "approved_by": list(found.names),
             "commit": found.commit, "changed": found.changed}
        )  # fmt: skip
        return
    asked = workspace.settings.environments[environment].approvals
    until = present.moment(approval.expires)
    present.say(
        f"{found.name} approves version {approval.version} for {environment} until {until}: "
        f"{len(found.names)} of {asked} (commit {found.commit[:12]}{'' if found.changed else ', nothing to change'})"
    )


@click.command()
@_environment
@_reason
@json_option
def rollback(environment: str, reason: str, as_json: bool) -> None:
    """Go back to the last healthy release: out of a canary, or to the champion before this one."""
    from mainspring.app.releases import roll_back
    from mainspring.app.workspace import open_workspace

    workspace = open_workspace(here(), environment=environment)
    moved = roll_back(workspace, reason)
    _show(moved, environment, as_json)


def _which(version: str | None) -> int | str | None:
    """Return a version number as a number, anything else as it is."""
    return int(version) if version and version.isdecimal() and len(version) <= _DIGITS else version


def _show_proposal(made: "Proposal", environment: str, as_json: bool) -> None:
    if as_json:
        present.emit(
            {"environment": environment, "commit": made.moved.commit, "changed": made.moved.changed,
             "branch": made.branch, "patch": str(made.patch or ""), "opened": made.opened}
        )  # fmt: skip
    elif not made.branch:
        present.say(f"{environment}: nothing to change")
    else:
        present.say(f"{environment}: proposed on branch {made.branch} (patch {made.patch})")
        present.say(f"  {made.opened or 'open the pull request from that branch: no gh or glab is used here'}")
        present.say("  before it is merged, `mainspring audit releases` must let it in; protect the branch at its host")


def _show(moved: Moved, environment: str, as_json: bool) -> None:
    champion, challenger = moved.release.champion, moved.release.challenger
    if as_json:
        present.emit(
            {
                "environment": environment, "commit": moved.commit, "changed": moved.changed,
                "champion": {"version": champion.version, "digest": champion.digest},
                "challenger": challenger and {"version": challenger.version, "weight": challenger.weight},
            }
        )  # fmt: skip
        return
    said = f"{environment}: version {champion.version} answers"
    if challenger:
        said += f", version {challenger.version} on trial at {challenger.weight} %"
    present.say(f"{said} (commit {moved.commit[:12]}{'' if moved.changed else ', nothing to change'})")
