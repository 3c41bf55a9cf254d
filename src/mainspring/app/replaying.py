"""Wiring of a replay: for each policy its own repository, ledger, log, keys and server; one store and step cache."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mainspring.app.ahead import Wanted
from mainspring.app.observing import open_observations, watch_plan, watch_ports
from mainspring.app.releases import move, release_ports, rollout
from mainspring.app.server_process import ServerProcess
from mainspring.app.serving import REPLAY_MARK
from mainspring.app.training import Trainer
from mainspring.app.workspace import Workspace
from mainspring.flows.compare import PolicyRun
from mainspring.flows.memory import Memory, remember
from mainspring.flows.release import promote
from mainspring.flows.replay import Progress, Replayed, ReplayPorts, Stream, replay
from mainspring.flows.snapshot import TAKEN, find_snapshot
from mainspring.flows.train import TrainResult
from mainspring.flows.watch import look
from mainspring.flows.watch_ports import WatchPlan, WatchPorts
from mainspring.kernel.errors import InvalidValue, RunFailed
from mainspring.kernel.events import Draft
from mainspring.kernel.times import DAY, FixedClock, format_time
from mainspring.observe.plans import RetrainPolicy
from mainspring.observe.ports import Observations
from mainspring.stats.columns import Columns, length

if TYPE_CHECKING:
    from mainspring.adapters.process.worker import KeptWorker

_EVER = 253_402_300_799_000_000
_MONTH = 30 * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The replayed time, UTC microseconds: [start, end)."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise InvalidValue(
                f"a replay cannot end at {format_time(self.end)}: it begins at {format_time(self.start)}",
                fix="give --to a later day than --from",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a look in a replay may use beyond looking: drills inject candidates here."""

    plan: WatchPlan
    memory: Memory
    ports: WatchPorts
    trainer: Trainer
    now: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyReplay:
    """What a policy's replay left: its scored rows and events, and the counts that must agree."""

    run: PolicyRun
    replayed: Replayed
    server: dict[str, Any]


Before = Callable[[Room], None]


def _nothing(_: Room) -> None:
    """Do nothing before a look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is replayed: a policy over a period.

    before: called at every tick, before the look (drills inject there). candidates: what it will train, as far as
    that is known before it starts: (moment, parameters).
    """

    name: str
    title: str
    policy: RetrainPolicy
    period: Period
    before: Before = _nothing
    candidates: tuple[Wanted, ...] = ()


def first_run(workspace: Workspace, period: Period, worker: "KeptWorker | None" = None) -> TrainResult:
    """Train the model that every policy starts with, as of the period's start; later replays reuse its steps."""
    with Trainer(workspace, mirror=False, worker=worker) as trainer:
        return trainer.train(trainer.run_of(at=period.start, reason="first model of a replay"))


def open_stream(workspace: Workspace, first: TrainResult) -> Stream:
    """Return history with features joined once: the tables that fetch-data made for `first`."""
    from mainspring.adapters.frames.parquet import ParquetFrames

    files = {name: digest for outcome in first.outcomes for name, digest in outcome.outputs.items()}
    frames = ParquetFrames()
    asks = frames.read(workspace.store.path(files["features"]))
    labels = frames.read(workspace.store.path(files["targets"]))
    order = np.argsort(labels["known_at"], kind="stable")
    return Stream(asks=asks, labels={name: values[order] for name, values in labels.items()})


def replay_policy(
    workspace: Workspace, stream: Stream, scenario: Scenario, progress: Progress, worker: "KeptWorker | None" = None
) -> PolicyReplay:
    """Run one scenario over `stream` through a real server; `worker`: a step process to share, or None."""
    clock = FixedClock(scenario.period.start)
    room = _fresh(workspace, scenario.name, clock)
    with Trainer(room, mirror=False, worker=worker) as trainer, open_observations(room) as observations:
        commit = _first(room, trainer, scenario.period)
        plan, ports = watch_plan(room, scenario.policy), watch_ports(room, trainer, observations)
        memory = remember(room.ledger, room.environment)

        def turn() -> str:
            scenario.before(Room(plan=plan, memory=memory, ports=ports, trainer=trainer, now=clock.now()))
            return look(plan, memory, ports, now=clock.now()).commit

        with ServerProcess(room.paths.root, room.settings.name, replay_clock=True) as server:
            server.set_clock(clock.now())
            server.settle(commit)
            driving = ReplayPorts(
                server=server, clock=clock, add_labels=observations.add_labels, look=turn, progress=progress
            )
            period = scenario.period
            replayed = replay(stream, start=period.start, end=period.end, every=plan.monitoring.every, ports=driving)
            state = server.state()
        observations.add_labels(stream.labels_known(period.end, _EVER, asked_from=period.start))
        return PolicyReplay(run=_scored(room, observations, scenario), replayed=replayed, server=state)


def check_counts(done: PolicyReplay) -> dict[str, int]:
    """Return the counts of a replay; raise `RunFailed` unless client, server and log agree on every row."""
    counts = {
        "requests": done.replayed.requests, "rows": done.replayed.rows, "server_requests": done.server["requests"],
        "server_rows": done.server["rows"], "logged_rows": done.server["logged"], "dropped": done.server["dropped"],
        "labelled": length(done.run.scored),
    }  # fmt: skip
    same = counts["requests"] == counts["server_requests"] and counts["rows"] == counts["server_rows"]
    if not same or counts["rows"] != counts["logged_rows"]:
        raise RunFailed(f"client, server and log disagree: {counts}", fix="look at the replay's server.log")
    return counts


def _fresh(workspace: Workspace, name: str, clock: FixedClock) -> Workspace:
    """Make the replay's folder anew: marker, ignore file, repository, and the project's last snapshot in its ledger."""
    from mainspring.adapters.git.repository import init_repository

    paths = workspace.paths.replay(name)
    shutil.rmtree(paths.root, ignore_errors=True)
    room = Workspace(paths, workspace.project, clock=clock, environment=workspace.environment)
    room.actor = "replay"
    (paths.root / REPLAY_MARK).write_text(json.dumps({"schema": 1, "policy": name}), encoding="utf-8")
    (paths.root / ".gitignore").write_text(".mainspring/\n", encoding="utf-8")
    init_repository(paths.root, at=clock.now())
    taken = find_snapshot(workspace.ledger)
    room.ledger.append(
        [Draft(kind=TAKEN, subject=taken.subject, actor="replay", body=dict(taken.body))], at=clock.now()
    )
    return room


def _first(room: Workspace, trainer: Trainer, period: Period) -> str:
    result = trainer.train(trainer.run_of(at=period.start, reason="first model of a replay"))
    moved = promote(
        move(room, "first model of a replay"), result.version, release_ports(room), plan=rollout(room), mode=None
    )
    return moved.commit


def _scored(room: Workspace, observations: Observations, scenario: Scenario) -> PolicyRun:
    events = room.ledger.read()
    trained = [event for event in events if event.kind == "run.finished" and event.at > scenario.period.start]
    seconds = sum(_seconds(event.body.get("seconds", {})) for event in trained)
    scored = _answers(observations, scenario.period)
    return PolicyRun(name=scenario.name, title=scenario.title, scored=scored, events=events, train_seconds=seconds)


def _answers(observations: Observations, period: Period) -> Columns:
    """Return what was answered and came true, read a month at a time: a year of joined rows is large."""
    starts = range(period.start, period.end, _MONTH)
    parts = [observations.matured(start, min(start + _MONTH, period.end), _EVER) for start in starts]
    names = {"key": "key", "asked_at": "asked_at", "value": "value", "served": "score"}
    return {name: np.concatenate([part[column] for part in parts]) for name, column in names.items()}


def _seconds(steps: dict[str, Any]) -> float:
    return sum(float(value) for value in steps.values())


def policies(
    settings: RetrainPolicy, names: Sequence[str], period: Period, *, trainings: int, every: int
) -> dict[str, tuple[str, RetrainPolicy]]:
    """Return name -> (title, policy). `scheduled_equal` trains `trainings` times, evenly spread over the period."""
    step = (period.end - period.start) // (trainings + 1)
    even = tuple((period.start + (place + 1) * step) // every * every for place in range(trainings))
    known = {
        "mainspring": ("mainspring's policy", settings),
        "never": ("never retrained", RetrainPolicy()),
        "scheduled": ("retrained monthly", RetrainPolicy(at=month_starts(period))),
        "scheduled_equal": (f"scheduled, {trainings} trainings", RetrainPolicy(at=even)),
    }
    return {name: known[name] for name in names}


def month_starts(period: Period) -> tuple[int, ...]:
    """Return the first moments of the months inside a period, UTC microseconds."""
    first, last = (np.datetime64(at, "us").astype("datetime64[M]") for at in (period.start, period.end))
    months = np.arange(first, last + 1)
    found = months.astype("datetime64[us]").astype(np.int64).tolist()
    return tuple(at for at in found if period.start < at < period.end)
