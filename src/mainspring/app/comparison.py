"""Replay several policies over one stream and put what they scored into the report's shape."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any

from mainspring import __version__
from mainspring.app.ahead import Ahead
from mainspring.app.replaying import Period, PolicyReplay, Scenario, check_counts, policies, replay_policy
from mainspring.app.stages import Stages
from mainspring.app.training import Params, Trainer
from mainspring.app.workspace import Workspace
from mainspring.flows.compare import compare, policy_numbers
from mainspring.flows.replay import Stream
from mainspring.kernel.errors import NotFound
from mainspring.kernel.events import Event

if TYPE_CHECKING:
    from mainspring.adapters.process.worker import KeptWorker

POLICIES = ("mainspring", "never", "scheduled", "scheduled_equal")
PACKAGES = ("duckdb", "numpy", "onnxruntime", "pandas", "scikit-learn", "skl2onnx")
_AT_ONCE = 2
_AS_DECLARED: Params = {}
Replays = dict[str, PolicyReplay]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """What replays of one project share: history, a step process, and who is told."""

    workspace: Workspace
    stream: Stream
    worker: "KeptWorker"
    stages: Stages

    def run(self, scenario: Scenario) -> PolicyReplay:
        """Replay one scenario and check that client, server and log agree on every row."""
        with self.stages.stage(f"replay {scenario.name}", scenario.title):
            done = replay_policy(self.workspace, self.stream, scenario, self.stages.bar(scenario.name), self.worker)
        counts = check_counts(done)
        agree = f"{counts['requests']} requests, {counts['rows']:,} rows"
        self.stages.say(f"  {scenario.name}: client, server and log agree on {agree}")
        return done


def replay_policies(rig: Rig, names: Sequence[str], period: Period, extra: Sequence[Scenario] = ()) -> Replays:
    """Replay policies by name, and `extra` scenarios, two at a time.

    `scheduled_equal` needs `mainspring`, whose number of trainings it copies, and so comes last.
    """
    unknown = sorted(set(names) - set(POLICIES))
    if unknown:
        raise NotFound(f"no policy is called {unknown[0]!r}", fix=f"use one of: {', '.join(POLICIES)}")
    wanted = [name for name in POLICIES if name in names or (name == "mainspring" and "scheduled_equal" in names)]
    scenarios = [_scenario(rig.workspace, name, period, 0) for name in wanted if name != "scheduled_equal"]
    ahead = Ahead(_fitting(rig))
    with _quick_turns(), ahead, ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:

        def begin(scenario: Scenario) -> "Future[PolicyReplay]":
            ahead.ask(scenario.candidates)
            return pool.submit(rig.run, scenario)

        waiting = {scenario.name: begin(scenario) for scenario in (*scenarios, *extra)}
        if "scheduled_equal" in wanted:
            trainings = _trainings(waiting["mainspring"].result().run.events, period)
            waiting["scheduled_equal"] = begin(_scenario(rig.workspace, "scheduled_equal", period, trainings))
        return {name: waiting[name].result() for name in (*wanted, *(scenario.name for scenario in extra))}


def _fitting(rig: Rig) -> Callable[[int, Params], None]:
    trainer = Trainer(rig.workspace, mirror=False, worker=rig.worker, patient=True)
    return lambda at, params: trainer.prepare(trainer.run_of(at=at, reason="ahead of a replay", params=params))


@contextmanager
def _quick_turns() -> Iterator[None]:
    """Let threads take turns ten times as often: each waits for servers and disks some ten times a tick.

    With the usual 5 ms a thread that comes back from such a wait stands behind the other's whole turn.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(before / 10)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _scenario(workspace: Workspace, name: str, period: Period, trainings: int) -> Scenario:
    settings = workspace.settings
    known = policies(settings.retraining, (name,), period, trainings=trainings, every=settings.monitoring.every)
    title, policy = known[name]
    every = settings.monitoring.every
    candidates = tuple((-(-at // every) * every, _AS_DECLARED) for at in policy.at)  # trained at the next tick
    return Scenario(name=name, title=title, policy=policy, period=period, candidates=candidates)


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
        "through the step cache, and those of a calendar are fitted beside the replays before; every policy is charged "
        "the seconds that they took.",
    ]
