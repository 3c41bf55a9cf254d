"""The whole loop on real data: what `mainspring demo` runs, stage by stage.

First the project itself, with the real clock: data, snapshot, training, gate, signature, release commit, server,
a prediction, a label, lineage. Then history: every policy is replayed through the real server with a virtual clock,
and a drill with two bad challengers. Start at `run_demo`.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mainspring.app import drill
from mainspring.app.comparison import POLICIES, Replays, Rig, drill_report, replay_policies, report_of
from mainspring.app.observing import label_ports, lineage_ports, open_observations
from mainspring.app.releases import promote_version, show_aliases
from mainspring.app.replaying import Period, PolicyReplay, open_stream
from mainspring.app.server_process import ServerProcess
from mainspring.app.stages import Say, Stages
from mainspring.app.training import Trainer, step_worker, take_snapshot
from mainspring.app.workspace import Workspace, open_workspace
from mainspring.flows.labels import add_labels
from mainspring.flows.lineage import Link, lineage
from mainspring.flows.replay import Stream
from mainspring.flows.train import TrainResult
from mainspring.kernel.errors import NotFound
from mainspring.kernel.times import parse_time
from mainspring.project.new import create
from mainspring.stats.columns import take

if TYPE_CHECKING:
    from mainspring.adapters.process.worker import KeptWorker

PERIOD = Period(start=parse_time("2013-05-01"), end=parse_time("2014-01-01"))
_ROWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What the demo found: `summary` for scripts, `report` for the page, the folder of the project."""

    summary: dict[str, Any]
    report: dict[str, Any]
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The first model's first predictions, in the project itself."""

    prediction_id: str
    links: list[Link]


def run_demo(folder: Path, say: Say, *, names: tuple[str, ...] = POLICIES, period: Period = PERIOD) -> Demo:
    """Run the loop in `folder` (made if need be). Running it again goes on where it stopped and replays anew."""
    stages = Stages(say=say)
    with stages.stage("data", "flights, weather and planes of 2013 as Parquet"):
        workspace = make_project(folder)
    with step_worker(workspace) as worker:
        worker.start()
        with stages.stage("snapshot", "every source, judged and stored by digest"):
            taken = take_snapshot(workspace)
        with stages.stage("train", "five steps, a gate, a signature, a version"):
            first = _train_first(workspace, period, say, worker)
        stream = open_stream(workspace, first)
        with stages.stage("serve", "release commit, server, predictions, labels, lineage"):
            live = _live(workspace, first, stream, period, say)
        rig = Rig(workspace=workspace, stream=stream, worker=worker, stages=stages)
        done = replay_policies(rig, names, period, extra=[drill.scenario()])
    drilled = done.pop("drill")
    report = report_of(workspace, done, period, seconds=stages.seconds)
    told = {"drill": drill_report(drilled, drill.PERIOD, drill.STORY), "lineage": [asdict(link) for link in live.links]}
    rows = int(sum(taken.rows.values()))
    return Demo(summary=_summary(report | told, done, drilled, live, rows), report=report | told, folder=folder)


def make_project(folder: Path) -> Workspace:
    """Make the demo project, its data and its repository, unless they are there."""
    from mainspring.adapters.git.repository import init_repository

    if not (folder / "mainspring.yaml").exists():
        create(folder, template="flights", name="flight-delay")
        with (folder / ".gitignore").open("a", encoding="utf-8") as stream:
            stream.write("data/\n")
    if not (folder / "data" / "flights.parquet").exists():
        _data_script(folder).write(folder / "data")
    init_repository(folder)
    return open_workspace(folder)


def _data_script(folder: Path) -> Any:  # noqa: ANN401 - a module of the project
    place = folder / "src" / "flight_delay" / "data.py"
    spec = importlib.util.spec_from_file_location("flight_delay_data", place)
    if spec is None or spec.loader is None:
        raise NotFound("the demo project has no data script", fix="remove its folder and run the demo again")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _train_first(workspace: Workspace, period: Period, say: Say, worker: "KeptWorker") -> TrainResult:
    with Trainer(workspace, progress=lambda step: say(f"  {step}"), worker=worker) as trainer:
        result = trainer.train(trainer.run_of(at=period.start, reason="first model"))
    for reason in result.verdict.reasons:
        say(f"  gate {reason.gate}: {'passed' if reason.passed else 'REFUSED'}: {reason.what}")
    return result


def _live(workspace: Workspace, first: TrainResult, stream: Stream, period: Period, say: Say) -> Live:
    """Release the first model, ask it, label what it said, and walk one answer back to the sources."""
    moved = promote_version(workspace, first.version, at_once=True, reason="first model")
    show_aliases(workspace, moved.release, say)
    rows = take(stream.asks_between(period.start, period.end), np.arange(_ROWS))
    keys = rows["key"].tolist()
    with ServerProcess(workspace.paths.root, workspace.settings.name) as server:
        server.settle(moved.commit)
        ids = server.infer(rows, keys, rows["asked_at"].tolist())
        server.flush()
    say(f"  release {moved.commit[:12]} serves version {moved.release.champion.version}; {len(ids)} predictions")
    truth = dict(zip(stream.labels["key"].tolist(), stream.labels["value"].tolist(), strict=True))
    labels = [{"prediction_id": i, "value": truth[key]} for i, key in zip(ids, keys, strict=True) if key in truth]
    with open_observations(workspace) as observations:
        labelled = add_labels(labels, label_ports(workspace, observations), now=workspace.clock.now())
    say(f"  {labelled.kept} labels by prediction id; lineage of {ids[0]}:")
    links = lineage(ids[0], lineage_ports(workspace))
    for link in links:
        say(f"    {link.kind:<10} {link.id[:27]:<27} {link.detail[:60]}")
    return Live(prediction_id=ids[0], links=links)


def _summary(report: Mapping[str, Any], done: Replays, drilled: PolicyReplay, live: Live, rows: int) -> dict[str, Any]:
    """Return the one object of `mainspring demo --json`."""
    told = [*report["policies"], report["drill"]]
    ours = next((policy for policy in told if policy["name"] == "mainspring"), None)
    shown = ("log_loss", "low", "high", "roc_auc", "trainings", "vs_never")
    versions = {name: sum(p[key] for p in told) for name, key in _VERSIONS}
    return {
        "rows": rows,
        "predictions": sum(replay.replayed.rows for replay in (*done.values(), drilled)),
        "versions": versions,
        "drift_windows": sum(event["kind"] == "drift_found" for event in ours["events"]) if ours else 0,
        "policies": {policy["name"]: {name: policy[name] for name in shown} for policy in report["policies"]},
        "seconds": report["stages"],
        "report": "",
        "prediction_id": live.prediction_id,
    }


_VERSIONS = (("trained", "trainings"), ("promoted", "promoted"), ("refused", "refused"), ("rolled_back", "rolled_back"))
