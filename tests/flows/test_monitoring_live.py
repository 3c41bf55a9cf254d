"""The whole way, live: our server and a watch's findings, scraped by Prometheus, judged by the rendered rules, told.

Every panel of every dashboard is asked before and after its fault is injected, and must have moved. Drift that a real
watch finds (in the ledger of the watch's own story) must arrive at the project's webhook and at the one that trains.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.flows.monitored import TOKEN, Hooks, Prometheus, stack, until
from tests.flows.workflow_engine import triggered
from tests.unit.deliver.render_subject import place, subject
from tests.unit.flows.story import ENVIRONMENT, MODEL, TICK, Watched, good, reversed_score
from tests.unit.serve.serving_kit import Parts, RealClock, RunningServer, TinyEngine, body, fleet_of

from mainspring.adapters.files.logs import SegmentWriter
from mainspring.adapters.files.tokens import TokenFile
from mainspring.adapters.prometheus.exposition import ReadingsFile, shown
from mainspring.app.access import TokenDesk
from mainspring.deliver.render import alerting, monitoring, workflows
from mainspring.deliver.render.content import Objects
from mainspring.deliver.render.panels import boards
from mainspring.deliver.render.subject import Subject
from mainspring.entry.inference.access import KeyRing
from mainspring.entry.inference.binding import Addresses, Listening
from mainspring.entry.inference.server import Stop, run
from mainspring.flows.readings import Freshness, readings
from mainspring.kernel.errors import RunFailed
from mainspring.kernel.events import Draft
from mainspring.kernel.times import DAY, HOUR
from mainspring.observe.plans import RetrainPolicy
from mainspring.observe.windows import tick_of
from mainspring.security.tokens import Wanted
from mainspring.serve.cache import ScoreCache
from mainspring.serve.log import LogLimits, PredictionLog
from mainspring.serve.log_sinks import LOCAL, Sink
from mainspring.serve.ports import Chunk
from mainspring.serve.reconciler import Reconciler
from mainspring.stats.columns import Columns, Floats

STORES = {name: f"s3://{name}" for name in ("ledger", "models", "tables")}
PLACE = place(ENVIRONMENT, "deployment", scheduler="cronworkflow", stores=STORES)
SUBJECT = replace(subject(PLACE), name=MODEL, model=MODEL, retrains_on=("output_drift", "quality"))
FIRED_ONCE = 'max_over_time(ALERTS{{alertname="{}",alertstate="firing"}}[5m])'
BUDGET = (6, 30 * DAY)


class Moody(TinyEngine):
    """Well, until told to be slow or to answer nonsense."""

    mood = "well"

    def __call__(self, columns: Columns, /) -> Floats:
        scores = super().__call__(columns)
        if self.mood == "slow":
            time.sleep(0.12)
        return np.full(len(scores), np.nan) if self.mood == "mad" else scores


class Breakable:
    """A log's writer that fails while `broken`."""

    broken = False

    def __init__(self, root: Path) -> None:
        self._inner = SegmentWriter(root)

    def write(self, chunks: Sequence[Chunk], /) -> None:
        if self.broken:
            time.sleep(0.3)  # a disk that ends is a slow one, too
            raise OSError(28, "No space left on device")
        self._inner.write(chunks)

    def sync(self) -> None:
        self._inner.sync()

    def close(self) -> None:
        self._inner.close()


class World:
    """A server with traffic, and what a watch says of it."""

    def __init__(self, root: Path) -> None:
        self.champion, self.challenger, self.slow = Moody(), Moody(1.0), Moody(2.0)
        self.readings = ReadingsFile(root / "watch-local.prom")
        self.disk = Breakable(root / "log")
        self.sink = Breakable(root / "sink")
        self.log = PredictionLog(
            self.disk, LogLimits(rows=3_000), sinks=[Sink(name="copy", writer=self.sink, cadence=LOCAL)]
        )
        self.parts = parts = Parts(log=self.log, clock=RealClock())
        parts.reconciler = Reconciler(parts.plane, parts.releases, parts.models, cache=ScoreCache())
        for number, engine in ((1, self.champion), (2, self.challenger), (4, self.slow)):
            parts.models.add(number, engine)
        parts.releases.set(1, 2, weight=20)
        self.secret = TokenDesk(root).create(Wanted(name="caller", roles=("predict",))).secret
        self.ring = KeyRing(TokenFile(root / ".mainspring"), parts.clock)
        self.rows, self.shown_key, self.fresh_rows, self.busy = 20, True, False, 1
        self.kept: list[bytearray] = []

    @contextlib.contextmanager
    def served(self) -> Iterator[RunningServer]:
        ready, stop, at = threading.Event(), Stop.new(), list[Addresses]()
        listening = Listening(drain_s=0.1, poll_s=0.05, retry_s=0.2, beside=shown([self.readings.path]))

        def announced(addresses: Addresses) -> None:
            at.append(addresses)
            ready.set()

        thread = threading.Thread(
            target=lambda: run(
                fleet_of(self.parts, self.log), self.ring, listening=listening, ready=announced, stop=stop
            )
        )
        thread.start()
        assert ready.wait(20)
        try:
            yield RunningServer(self.parts, at[0])
        finally:
            stop.asked.set()
            thread.join(20)

    @contextlib.contextmanager
    def traffic(self, server: RunningServer) -> Iterator[None]:
        """Ask all the time, with as many clients as `busy` says."""
        over = threading.Event()

        def ask(number: int) -> None:
            count = 0
            while not over.wait(0.05):
                if number >= self.busy:
                    continue
                count += 1
                asked = body(self.rows)
                if self.fresh_rows:
                    asked["inputs"][0]["data"][0] = count + number / 100
                headers = {"Authorization": f"Bearer {self.secret}"} if self.shown_key else {}
                server.infer(asked, **headers)

        clients = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
        for client in clients:
            client.start()
        try:
            yield
        finally:
            over.set()
            for client in clients:
                client.join()

    def tell(self, watched: Watched, *fresh: Freshness, ago: int = 0) -> None:
        """Have the watch of a story say what it found."""
        now = RealClock().now() - ago
        self.readings.put(readings(watched.plan, watched.ledger.read(), fresh, now=now))


def step_of(seconds: float) -> Draft:
    """Return the event of a step that ran."""
    body = {
        "model": MODEL, "step": "train-model", "key": str(seconds), "reused": False, "made_by": "r", "seconds": seconds
    }  # fmt: skip
    return Draft(kind="step.finished", subject="run:r", actor="watch", body=body)


def story(skill: Callable[[Floats], Floats]) -> Watched:
    """A model watched for a week, up to now."""
    watched = Watched(policy=RetrainPolicy(budget=BUDGET), now=tick_of(RealClock().now(), TICK) - 80 * TICK)
    watched.begin(skill)
    watched.run(30)
    watched.ledger.append([step_of(60.0)], at=watched.now)
    return watched


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is done, how it is undone, and the panels that it must move; falls: those that go down. fires: alerts."""

    name: str
    inject: Callable[[], object]
    moves: Sequence[str]
    undo: Callable[[], object] = lambda: None
    falls: Sequence[str] = ()
    fires: Sequence[str] = ()


def sets(thing: object, **found: object) -> Callable[[], None]:
    """Return what sets attributes."""

    def act() -> None:
        for name, value in found.items():
            setattr(thing, name, value)

    return act


def break_log(world: World, broken: bool) -> None:
    world.disk.broken = world.sink.broken = broken
    world.busy, world.rows = (8, 100) if broken else (1, 20)


def be_slow(world: World, slow: bool) -> None:
    world.slow.mood, world.busy = ("slow", 12) if slow else ("well", 1)
    world.parts.releases.set(4 if slow else 1)


def go_mad(world: World, engine: Moody, mad: bool) -> None:
    engine.mood, world.fresh_rows = ("mad", True) if mad else ("well", False)  # what is kept needs no engine


def work_hard(world: World) -> None:
    world.kept.append(bytearray(b"\1") * (300 << 20))
    world.busy, world.rows, world.fresh_rows = 8, 1, True


def try_out(world: World, sick: Watched) -> None:
    sick.slow()
    sick.try_out(reversed_score)
    sick.run(3)
    world.tell(sick)


def change_inputs(world: World, sick: Watched) -> None:
    sick.run(12, larger=2.0, rows=150)
    world.tell(sick)


def break_inputs(world: World, sick: Watched) -> None:
    sick.run(12, broken=True, rows=150)
    world.tell(sick)


def train_badly(world: World, sick: Watched) -> None:
    sick.wants(every=DAY, budget=BUDGET)
    sick.fails = RunFailed("no memory", fix="buy some")
    sick.run(10)
    world.tell(sick)


def skip_rules(world: World, sick: Watched) -> None:
    last = sick.ledger.read(kind="release.*")[-1]
    body = {**last.body, "challenger": None, "emergency": "the champion was wrong"}
    draft = Draft(kind="release.promoted", subject=f"environment:{ENVIRONMENT}", actor="user:test", body=body)
    sick.ledger.append([draft], at=sick.now)
    world.tell(sick)


def take_long(world: World, sick: Watched) -> None:
    sick.ledger.append([step_of(900.0)], at=sick.now)
    world.tell(sick)


def faults(world: World, well: Watched, sick: Watched) -> list[Fault]:
    releases, parts, stale = world.parts.releases, world.parts, RealClock().now() - 3 * HOUR
    return [
        Fault(name="many small questions that are all new", inject=partial(work_hard, world), undo=world.kept.clear,
              moves=["service: Answers a second", "cost: CPU time of 1,000 rows", "cost: CPU in use",
                     "cost: Memory in use"], falls=["cost: Share answered from the cache"]),
        Fault(name="calm again", inject=sets(world, busy=1, rows=20, fresh_rows=False), moves=[]),
        Fault(name="answers that are no numbers", inject=partial(go_mad, world, world.champion, True),
              undo=partial(go_mad, world, world.champion, False),
              moves=["service: Share of failures", "service: Refused a second, by code"]),
        Fault(name="no key", inject=sets(world, shown_key=False), undo=sets(world, shown_key=True),
              moves=["service: Keys refused a second, by code"]),
        Fault(name="a challenger that fails", inject=partial(go_mad, world, world.challenger, True),
              moves=["rollout: Challenger failures a second, by reason", "rollout: Challenger given up"],
              undo=partial(go_mad, world, world.challenger, False)),
        Fault(name="another weight", inject=lambda: releases.set(1, 2, weight=90),
              moves=["rollout: Share of the challenger", "rollout: Rows a second, by version"]),
        Fault(name="a version that cannot be loaded", inject=lambda: releases.set(1, 9, weight=10),
              moves=["service: Versions that may not serve"]),
        Fault(name="a slow model", inject=partial(be_slow, world, True), undo=partial(be_slow, world, False),
              moves=["service: Time to answer", "service: Share of slow answers", "service: Requests under way",
                     "rollout: Versions loaded"]),
        Fault(name="a full disk", inject=partial(break_log, world, True),
              undo=partial(break_log, world, False),
              moves=["service: Log rows lost a second", "service: Log rows waiting"],
              falls=["cost: Rows logged a second"], fires=["MainspringLogDrops"]),
        Fault(name="nothing is served", inject=parts.reconciler.unload, undo=parts.reconciler.load, moves=[],
              falls=["service: Servers"]),
        Fault(name="a model that is wrong", inject=lambda: world.tell(sick),
              moves=["quality: Loss of matured answers", "quality: Loss above what was expected",
                     "quality: Quality is worse", "drift: Drift of the 10 most drifted columns",
                     "drift: Scores drifted"], fires=["MainspringQualityWorse", "MainspringOutputDrift"]),
        Fault(name="another world", inject=partial(change_inputs, world, sick),
              moves=["drift: Columns that drifted", "quality: Rows judged"],
              fires=["MainspringInputDrift"]),
        Fault(name="broken inputs", inject=partial(break_inputs, world, sick),
              moves=["drift: Broken inputs"], fires=["MainspringDataFault"]),
        Fault(name="a watch that stopped", inject=lambda: world.tell(well, ago=DAY),
              moves=["quality: Age of the verdicts", "drift: Age of the verdicts"], fires=["MainspringWatchStale"]),
        Fault(name="features that are old", moves=["drift: Age of features"],
              inject=lambda: world.tell(sick, Freshness(view="lately", until=stale, limit=2 * HOUR))),
        Fault(name="a trial", inject=partial(try_out, world, sick),
              moves=["rollout: Time at this step", "rollout: Share of rows the challenger failed",
                     "rollout: Loss, challenger minus champion", "rollout: Moves of a day, by kind"]),
        Fault(name="trainings that fail", inject=partial(train_badly, world, sick),
              moves=["cost: Trainings of a day, by kind", "cost: Retraining budget"],
              fires=["MainspringTrainingFailed"]),
        Fault(name="an emergency", inject=partial(skip_rules, world, sick), moves=["rollout: Emergency in force"],
              fires=["MainspringEmergency"]),
        Fault(name="a step that takes long", inject=partial(take_long, world, sick),
              moves=["cost: Training time of a day"]),
    ]  # fmt: skip


def asked(project: Subject) -> dict[str, list[str]]:
    """Return the queries of every panel as Grafana sends them, by "board: title"."""
    return {
        f"{board.name}: {panel.title}": [
            expr.replace("$__rate_interval", "4s").replace("$environment", ENVIRONMENT) for _, expr in panel.asks
        ]
        for board in boards(project)
        for panel in board.panels
    }


def lines(prometheus: Prometheus, queries: Sequence[str]) -> dict[str, float]:
    """Return the present end of every line that a panel draws."""
    found = [(f"{place} {name}", v) for place, q in enumerate(queries) for name, v in prometheus.ask(q).items()]
    return {name: value for name, value in found if np.isfinite(value)}


def moved(before: Mapping[str, float], after: Mapping[str, float], *, down: bool) -> bool:
    """Tell whether a panel shows its fault: a line that was not there, or one that rose (or fell) by a third."""
    if down:
        return any(after[name] < before[name] / 1.3 for name in before.keys() & after)
    return any(name not in before or value > 1.3 * before[name] + 1e-9 for name, value in after.items())


@pytest.mark.tools
def test_every_panel_moves_with_its_fault_and_drift_reaches_those_who_must_know(tmp_path: Path) -> None:
    world, hooks = World(tmp_path), Hooks()
    well, sick = story(good), story(reversed_score)
    routes = alerting.files(SUBJECT)[f"monitoring/prometheus/alerting-{ENVIRONMENT}.yaml"]
    assert isinstance(routes, Objects)
    panels = asked(SUBJECT)
    world.tell(well)
    with (
        contextlib.closing(hooks),
        world.served() as server,
        world.traffic(server),
        stack(
            tmp_path / "stack", f"127.0.0.1:{server.metrics_port}", monitoring.rule_file(SUBJECT, PLACE),
            routes.documents, hooks,
        ) as prometheus,
    ):  # fmt: skip
        until(lambda: len(lines(prometheus, panels["service: Share of failures"])) == 3, "recorded shares")
        until(lambda: bool(lines(prometheus, panels["cost: Share answered from the cache"])), "rates")
        assert prometheus.firing() == set()
        before = {name: lines(prometheus, queries) for name, queries in panels.items()}
        empty = {name for name, seen in before.items() if not seen}
        seen = set()
        for fault in faults(world, well, sick):
            base = {name: lines(prometheus, panels[name]) for name in (*fault.moves, *fault.falls)}
            fault.inject()
            for name, start in base.items():
                until(
                    lambda n=name, s=start, f=fault: moved(s, lines(prometheus, panels[n]), down=n in f.falls),  # type: ignore[misc]
                    f"{fault.name}: {name} moves from {start}",
                )
            for alert in fault.fires:
                until(lambda a=alert: bool(prometheus.ask(FIRED_ONCE.format(a))), f"{fault.name}: {alert} fires")  # type: ignore[misc]
            fault.undo()
            seen |= set(base)
        assert seen == set(panels)
        assert empty == {
            "service: Keys refused a second, by code", "drift: Age of features", "rollout: Time at this step",
            "rollout: Share of rows the challenger failed", "rollout: Loss, challenger minus champion",
        } | (empty & {"rollout: Challenger failures a second, by reason"})  # fmt: skip
        until(lambda: "MainspringOutputDrift" in hooks.named("/ALERT_WEBHOOK"), "the drift alert at the webhook")
        until(lambda: "MainspringOutputDrift" in hooks.named("/events/"), "the drift alert at the training's webhook")
        told = hooks.named("/ALERT_WEBHOOK")["MainspringOutputDrift"]
        assert told["labels"]["severity"] == "warning"
        assert told["labels"]["namespace"] == "m-local"
        assert told["annotations"]["runbook_url"].endswith("#mainspringoutputdrift")
        started = hooks.named("/events/m-local/m-drift")
        assert set(started) <= {"MainspringOutputDrift", "MainspringQualityWorse"}
        assert hooks.shown["/events/m-local/m-drift"] == f"Bearer {TOKEN}"
        written = workflows.files(SUBJECT)[f"workflows/{ENVIRONMENT}.yaml"]
        assert isinstance(written, Objects)
        (binding,) = [dict(one) for one in written.documents if one["kind"] == "WorkflowEventBinding"]
        payload = hooks.posted["/events/m-local/m-drift"]
        asks = triggered(binding, "m-drift", payload)
        assert asks == {"reason": f"alert {payload['commonLabels']['alertname']}", "trigger": "alert"}
        assert asks["reason"].partition(" ")[2] in started
        assert "MainspringDataFault" not in hooks.named("/")  # the project file names it nowhere: nobody is told
