"""`mainspring promote`, `rollback`, `audit`: change what an environment serves, and prove the record whole."""

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option
from mainspring.flows.release import Moved

_DIGITS = 9
_environment = click.option("--env", "environment", default="local", show_default=True, help="Environment to change.")
_reason = click.option("--reason", default="", help="Why, for the ledger.")


@click.command()
@click.argument("version")
@click.option("--now", "at_once", is_flag=True, help="Answer everything at once instead of beginning a canary.")
@_environment
@_reason
@json_option
def promote(version: str, at_once: bool, environment: str, reason: str, as_json: bool) -> None:
    """Bring VERSION (a number or a digest) into an environment: one git commit.

    The first version of an environment answers everything; a later one begins a canary by the project's plan. A
    version whose gate did not pass is refused (exit 3).
    """
    from mainspring.app.releases import promote_version
    from mainspring.app.workspace import open_workspace

    workspace = open_workspace(here(), environment=environment)
    which = int(version) if version.isdecimal() and len(version) <= _DIGITS else version
    moved = promote_version(workspace, which, at_once=at_once, reason=reason)
    _show(moved, environment, as_json)


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


@click.command()
@click.argument("action", type=click.Choice(["verify"]))
@_environment
@json_option
def audit(action: str, environment: str, as_json: bool) -> int:
    """Prove that the ledger is whole: nothing deleted, edited, reordered or cut off."""
    from mainspring.app.releases import audit as read_all
    from mainspring.app.workspace import open_workspace

    report = read_all(open_workspace(here(), environment=environment))
    if as_json:
        problems = [{"where": problem.where, "what": problem.what} for problem in report.problems]
        present.emit(
            {"whole": report.whole, "events": report.events, "commits": report.commits, "head": report.head[1],
             "problems": problems}
        )  # fmt: skip
        return 0 if report.whole else 1
    counts = f"{report.events} events, {report.commits} release commits, {report.versions} versions"
    present.say(f"{'whole' if report.whole else 'NOT WHOLE'}: {counts}; head {report.head[0]}:{report.head[1]}")
    for problem in report.problems:
        present.say(f"  {problem.where}: {problem.what}")
    return 0 if report.whole else 1


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
