"""`mainspring watch`, `up`, `status`, `label` and `lineage`: keep it running, and know what it did."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option

if TYPE_CHECKING:
    from mainspring.flows.status import Status
    from mainspring.flows.watch import Looked

_environment = click.option("--env", "environment", default="local", show_default=True, help="Environment.")


@click.command()
@click.option("--once", is_flag=True, help="Look once and end: what a scheduler calls.")
@_environment
@click.option(
    "--repository", default="", metavar="URL", help="Work in a clone of this, and push release commits to it."
)
@click.option("--branch", default="main", show_default=True, help="Of that repository.")
@click.option("--keys", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the signing key, if mounted.")
@click.option(
    "--ask", type=click.Path(path_type=Path), metavar="DIR",
    help="With --once: where the policy wants a training, write here what to train instead of training.",
)  # fmt: skip
@click.option(
    "--log", default="", metavar="URL", help="With --once: bring the log of servers elsewhere from this object store."
)
@json_option
def watch(  # noqa: PLR0913 - click's options
    *, once: bool, environment: str, repository: str, branch: str, keys: Path | None, ask: Path | None,
    log: str, as_json: bool
) -> None:  # fmt: skip
    """Take in the log, judge windows and rollouts, retrain when the policy says so. Runs until Ctrl-C."""
    from mainspring.app.mounted import Mounted
    from mainspring.app.watching import bring_log, watch_forever, watch_once
    from mainspring.app.workspace import open_workspace

    if (ask is not None or log) and not once:
        raise click.UsageError("--ask and --log go with --once")
    if repository:
        from mainspring.app.clones import open_clone

        workspace = open_clone(here(), repository, branch, environment=environment, keys=keys)
    else:
        workspace = open_workspace(here(), environment=environment, mounted=Mounted(keys=keys))

    def tell(looked: "Looked") -> None:
        _tell(looked, as_json)

    if log:
        present.progress(f"{present.size(bring_log(workspace, log))} of the log brought")
    if once:
        tell(watch_once(workspace, progress=present.progress, ask=ask))
    else:
        watch_forever(workspace, tell, progress=present.progress)


@click.command()
@_environment
@json_option
def status(*, environment: str, as_json: bool) -> None:
    """Show the present at a glance: versions and traffic, last windows, last decisions, next check."""
    from mainspring.app.watching import present_status
    from mainspring.app.workspace import open_workspace

    found = present_status(open_workspace(here(), environment=environment))
    if as_json:
        present.emit(found.to_json())
    else:
        _show(found)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def label(*, file: Path, as_json: bool) -> int:
    """Take in labels from FILE (.csv or .jsonl): prediction_id, or key and asked_at; value; known_at."""
    from mainspring.app.watching import label_file
    from mainspring.app.workspace import open_workspace

    found = label_file(open_workspace(here()), here() / file)
    if as_json:
        refused = [{"row": one.row, "what": one.what} for one in found.refused]
        present.emit({"kept": found.kept, "refused": refused})
    else:
        present.say(f"{found.kept} labels kept, {len(found.refused)} refused")
        for one in found.refused[:20]:
            present.say(f"  row {one.row}: {one.what}")
    return 2 if found.refused else 0


@click.command()
@click.argument("prediction_id")
@json_option
def lineage(*, prediction_id: str, as_json: bool) -> None:
    """Say where a prediction came from: release, model, run, code, snapshot, sources."""
    from dataclasses import asdict

    from mainspring.app.observing import lineage_ports
    from mainspring.app.workspace import open_workspace
    from mainspring.flows.lineage import lineage as walk

    links = walk(prediction_id, lineage_ports(open_workspace(here())))
    if as_json:
        present.emit({"prediction_id": prediction_id, "links": [asdict(link) for link in links]})
        return
    for link in links:
        present.say(f"{link.kind:<10} {link.id}")
        present.say(f"{'':<10} {link.detail}")


def _tell(looked: "Looked", as_json: bool) -> None:
    from dataclasses import asdict

    window, rollout, retrained = looked.window, looked.rollout, looked.retrained
    damage = [{"segment": gap.segment, "offset": gap.offset, "bytes": gap.size} for gap in looked.ingested.damage]
    if as_json:
        present.emit(
            {
                "rows": looked.ingested.rows, "damage": damage, "commit": looked.commit,
                "labels": asdict(looked.posted),
                "signals": list(window.draft("").body["signals"]) if window else None,
                "rollout": {"action": rollout.action.value, "reason": rollout.reason} if rollout else None,
                "retrain": {"act": retrained.decision.act, "reason": retrained.decision.reason} if retrained else None,
            }
        )  # fmt: skip
        return
    present.say(f"{looked.ingested.rows} new rows in {looked.ingested.requests} requests")
    for gap in damage[:20]:
        present.say(f"the log is damaged: {gap['bytes']} bytes of {gap['segment']} at {gap['offset']} are no record")
    if looked.posted.kept or looked.posted.refused:
        refused = ", ".join(f"{count} {code}" for code, count in sorted(looked.posted.refused.items())) or "none"
        present.say(f"posted labels: {looked.posted.kept} kept, refused: {refused}")
    if rollout:
        present.say(f"rollout: {rollout.action.value}: {rollout.reason}")
    if window and retrained:
        drifted = ", ".join(window.drift.drifted) or "none"
        present.say(f"window to {present.moment(window.end)}: {window.drift.rows} rows, drifted inputs: {drifted}")
        present.say(f"retrain: {retrained.decision.reason}")


def _show(found: "Status") -> None:
    release = found.release
    present.say(f"{found.model} in {found.environment}" + (f" (commit {found.commit[:12]})" if found.commit else ""))
    if release is None:
        present.say("  nothing is released yet: mainspring snapshot, train, promote 1")
        return
    if found.emergency:
        present.say(f"  WARNING: what serves came by an emergency, without the rules: {found.emergency}")
    challenger = release.challenger
    rest = 100 - (challenger.weight if challenger else 0)
    present.say(f"  version {release.champion.version} answers {rest} %  {present.short(release.champion.digest)}")
    if challenger:
        share = f"answers {challenger.weight} %"
        present.say(f"  version {challenger.version} {share}  {present.short(challenger.digest)} ({challenger.mode})")
    for window in found.windows:
        signals = ", ".join(window["signals"]) or "quiet"
        present.say(
            f"  window to {present.moment(window['end'])}: {window['rows']} rows, {signals}; {window['decision']}"
        )
    if found.next_check:
        present.say(f"  next check {present.moment(found.next_check)}")
    for told in found.decisions:
        present.say(f"  {present.moment(told['at'])}  {told['title']}: {told['detail']}"[:160])
