"""`mainspring demo` and `replay`: the whole loop on real data; what a retraining policy would have won."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option

_NAMES = ("mainspring", "never", "scheduled", "scheduled_equal")


@click.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path), default="flight-delay-demo", show_default=True,
              help="Folder of the demo project; made if it is not there.")  # fmt: skip
@click.option(
    "--policy", "names", multiple=True, type=click.Choice(_NAMES), help="Replay only these; default: all four."
)
@json_option
def demo(*, folder: Path, names: tuple[str, ...], as_json: bool) -> None:
    """Run the whole loop on 336,776 real flights, start to report.

    Builds, signs, releases and serves a model, then replays May to December 2013 under four retraining policies through
    the real server, with a virtual clock, and tells what retraining was worth.
    """
    from mainspring.app.demo import run_demo

    found = run_demo(here() / folder, present.progress, names=names or _NAMES)
    page = _write_report(found.report, found.folder / ".mainspring" / "report.html")
    if as_json:
        present.emit({**found.summary, "report": str(page)})
        return
    _show(found.report, page)
    present.say(f"lineage of one prediction: mainspring -C {folder} lineage {found.summary['prediction_id']}")


@click.command()
@click.option("--from", "start", required=True, metavar="DATE", help="First day replayed.")
@click.option("--to", "end", required=True, metavar="DATE", help="Day after the last one replayed.")
@click.option("--policy", "names", multiple=True, type=click.Choice(_NAMES), help="Policies; default: all four.")
@json_option
def replay(*, start: str, end: str, names: tuple[str, ...], as_json: bool) -> None:
    """Replay history under several retraining policies through the real server, with a virtual clock."""
    from mainspring.app.comparison import Rig, replay_policies, report_of
    from mainspring.app.replaying import Period, first_run, open_stream
    from mainspring.app.stages import Stages
    from mainspring.app.training import step_worker
    from mainspring.app.workspace import open_workspace
    from mainspring.kernel.times import parse_time

    workspace = open_workspace(here())
    period = Period(start=parse_time(start), end=parse_time(end))
    stages = Stages(say=present.progress)
    with step_worker(workspace) as worker:
        with stages.stage("train", "the model that every policy starts with"):
            first = first_run(workspace, period, worker)
        rig = Rig(workspace=workspace, stream=open_stream(workspace, first), worker=worker, stages=stages)
        done = replay_policies(rig, names or _NAMES, period)
    report = report_of(workspace, done, period, seconds=stages.seconds)
    page = _write_report(report, workspace.paths.report)
    if as_json:
        policies = {policy["name"]: policy for policy in report["policies"]}
        present.emit({"policies": policies, "comparison": report["comparison"], "report": str(page)})
        return
    _show(report, page)


def _write_report(report: Mapping[str, Any], page: Path) -> Path:
    from mainspring.entry.console.report import render
    from mainspring.kernel.files import write_atomic

    write_atomic(page, render(report).encode("utf-8"))
    return page


def _show(report: Mapping[str, Any], page: Path) -> None:
    rows = [
        (
            policy["name"], f"{policy['log_loss']:.4f}", f"{policy['low']:.4f} to {policy['high']:.4f}",
            f"{policy['roc_auc']:.4f}", policy["trainings"], _against(policy["vs_never"]),
        )
        for policy in report["policies"]
    ]  # fmt: skip
    present.table(("policy", "log loss", "95 % interval", "ROC AUC", "trainings", "against never"), rows)
    drill = report.get("drill")
    if drill:
        present.say(f"drill: {drill['refused']} refused by the gate, {drill['rolled_back']} rolled back on the canary")
    present.say(f"report: {page}")


def _against(difference: Mapping[str, float] | None) -> str:
    if difference is None:
        return ""
    return f"{difference['difference']:+.4f} ({difference['low']:+.4f} to {difference['high']:+.4f})"
