"""Replay several policies over one stream and put what they scored into the report's shape."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version as version_of
from typing import Any

from mainspring import __version__
from mainspring.app.replaying import Period, PolicyReplay, Scenario, check_counts, policies, replay_policy
from mainspring.app.stages import Stages
from mainspring.app.workspace import Workspace
from mainspring.flows.compare import compare, policy_numbers
from mainspring.flows.replay import Stream
from mainspring.kernel.errors import NotFound
from mainspring.kernel.events import Event

POLICIES = ("mainspring", "never", "scheduled", "scheduled_equal")
PACKAGES = ("duckdb", "numpy", "onnxruntime", "pandas", "scikit-learn", "skl2onnx")
Replays = dict[str, PolicyReplay]


def replay_policies(
    workspace: Workspace, stream: Stream, names: Sequence[str], period: Period, stages: Stages
) -> Replays:
    """Replay policies by name; `scheduled_equal` needs `mainspring`, whose number of trainings it copies."""
    unknown = sorted(set(names) - set(POLICIES))
    if unknown:
        raise NotFound(f"no policy is called {unknown[0]!r}", fix=f"use one of: {', '.join(POLICIES)}")
    wanted = [name for name in POLICIES if name in names or (name == "mainspring" and "scheduled_equal" in names)]
    done: Replays = {}
    for name in wanted:
        trainings = _trainings(done["mainspring"].run.events, period) if "mainspring" in done else 0
        known = policies(
            workspace.settings.retraining,
            (name,),
            period,
            trainings=trainings,
            every=workspace.settings.monitoring.every,
        )
        title, policy = known[name]
        with stages.stage(f"replay {name}", title):
            scenario = Scenario(name=name, title=title, policy=policy, period=period)
            done[name] = replay_policy(workspace, stream, scenario, stages.bar())
        counts = check_counts(done[name])
        stages.say(f"  {counts['requests']} requests, {counts['rows']} rows: client, server and log agree")
    return done


def _trainings(events: Sequence[Event], period: Period) -> int:
    return sum(event.kind == "run.finished" and event.at > period.start for event in events)


def report_of(
    workspace: Workspace, done: Mapping[str, PolicyReplay], period: Period, *, seconds: Mapping[str, float]
) -> dict[str, Any]:
    """Return the report of replayed policies (`entry.console.report_data.Report`)."""
    settings = workspace.settings
    return {
        "schema": 1,
        "project": settings.name,
        "question": settings.description,
        "period": asdict(period),
        "generated_at": workspace.clock.now(),
        "versions": {"mainspring": __version__, **{name: version_of(name) for name in PACKAGES}},
        **compare([replayed.run for replayed in done.values()], start=period.start),
        "drill": None,
        "stages": dict(seconds),
        "lineage": [],
        "notes": _notes(done),
    }


def drill_report(replayed: PolicyReplay, period: Period, story: Sequence[str]) -> dict[str, Any]:
    """Return the drill's part of the report."""
    return {**policy_numbers(replayed.run, None, period.start), "story": list(story)}


def _notes(done: Mapping[str, PolicyReplay]) -> list[str]:
    rows = next(iter(done.values())).replayed.rows if done else 0
    return [
        f"Each policy answered the same {rows:,} questions once, one binary V2 request a tick of the project's "
        "monitoring, through its own server process; request, row and log counts were checked to agree.",
        "Features were joined once, point in time, and sent with the requests. Equal trainings are run once and shared "
        "through the step cache; every policy is charged the seconds that they took.",
    ]
