"""`mainspring audit`: prove that the ledger is whole, and that release commits keep the rules."""

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option


@click.command()
@click.argument("action", type=click.Choice(["verify", "releases"]))
@click.option("--env", "environment", default="local", show_default=True, help="Environment, for `verify`.")
@click.option("--since", default="", metavar="REV", help="For `releases`: the commit before the range.")
@click.option("--until", default="HEAD", show_default=True, metavar="REV", help="For `releases`: its last commit.")
@json_option
def audit(action: str, *, environment: str, since: str, until: str, as_json: bool) -> int:
    """Prove that the ledger is whole (`verify`), or that release commits keep the rules (`releases`).

    `verify`: nothing deleted, edited, reordered or cut off; exit 1 otherwise. Where this machine signed no checkpoints,
    as in a fresh clone, it says what it could not compare. `releases`, for pipelines: every version that the commits
    after REV bring into an environment has its evidence, approvals, order and soak by the rules and keys that stand
    at REV; exit 3 otherwise. It reads git alone and needs the whole history.
    """
    if action == "releases":
        return _releases(since, until, as_json)
    from mainspring.app.releases import audit as read_all
    from mainspring.app.workspace import open_workspace

    report = read_all(open_workspace(here(), environment=environment))
    if as_json:
        problems = [{"where": problem.where, "what": problem.what} for problem in report.problems]
        present.emit(
            {"whole": report.whole, "events": report.events, "commits": report.commits, "head": report.head[1],
             "problems": problems, "notes": list(report.notes)}
        )  # fmt: skip
        return 0 if report.whole else 1
    counts = f"{report.events} events, {report.commits} release commits, {report.versions} versions"
    word = "NOT WHOLE" if not report.whole else "whole but for its end" if report.notes else "whole"
    present.say(f"{word}: {counts}; head {report.head[0]}:{report.head[1]}")
    for note in report.notes:
        present.say(f"  note: {note}")
    for problem in report.problems:
        present.say(f"  {problem.where}: {problem.what}")
    return 0 if report.whole else 1


def _releases(since: str, until: str, as_json: bool) -> int:
    from dataclasses import asdict

    from mainspring.app.entries import audit_entries

    if not since:
        raise click.UsageError("name the commit before the range: --since origin/main")
    found = audit_entries(here(), since, until)
    refused = [entry for entry in found if entry.refused]
    if as_json:
        present.emit({"ok": not refused, "entries": [{**asdict(entry), "refused": entry.refused} for entry in found]})
        return 3 if refused else 0
    for entry in found:
        word = "REFUSED" if entry.refused else "EMERGENCY" if entry.emergency else "ok"
        version = f"version {entry.version} " if entry.version else ""
        present.say(f"{word:<9} {entry.commit[:12]} {entry.environment}: {version}{entry.how}")
        for what in (entry.emergency, *entry.against):
            if what:
                present.say(f"  {what}")
    present.say(f"{len(found)} entries, {len(refused)} refused")
    return 3 if refused else 0
