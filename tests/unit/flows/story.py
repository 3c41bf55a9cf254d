"""A watched model in memory: real flows and records, a small world in which scores are the true chances."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from mainspring.adapters.memory.checkpoints import Checkpoints
from mainspring.adapters.memory.ledger import Ledger
from mainspring.adapters.memory.observations import Observations
from mainspring.adapters.memory.registry import Keys, ModelStore, Versions
from mainspring.adapters.memory.releases import ReleaseFiles
from mainspring.deliver.gates import Reason, Verdict
from mainspring.deliver.ports import GATE
from mainspring.deliver.registry import Registry, register
from mainspring.deliver.release import Plan
from mainspring.develop.runs import Run, TrainingPlan
from mainspring.flows.ingest import Gap
from mainspring.flows.memory import Memory, remember
from mainspring.flows.moves import Move, ReleasePorts
from mainspring.flows.release import promote
from mainspring.flows.steps.chapters import Chapters
from mainspring.flows.train import TrainResult
from mainspring.flows.watch import Looked, look
from mainspring.flows.watch_ports import Candidate, WatchPlan, WatchPorts
from mainspring.kernel.digests import canonical_json
from mainspring.kernel.errors import MainspringError, NotFound, RunFailed
from mainspring.kernel.ids import request_id
from mainspring.kernel.records import Label, LoggedRequest
from mainspring.kernel.times import DAY, HOUR, FixedClock, parse_time
from mainspring.observe.plans import DriftRule, MonitoringPlan, RetrainPolicy
from mainspring.observe.ports import Position
from mainspring.observe.profiles import Reference
from mainspring.observe.references import reference_profile
from mainspring.stats.columns import Array, Columns, Floats

START = parse_time("2024-01-01")
TICK = 6 * HOUR
MODEL, ENVIRONMENT = "m", "local"
Skill = Callable[[Floats], Floats]
MONITORING = MonitoringPlan(every=TICK, window=7 * DAY, label_delay=12 * HOUR, drift=DriftRule())
PLAN = Plan(steps=(5, 100), hold=TICK, abort={"min_requests": 50, "error_rate": 0.01, "quality": True})


def good(chance: Floats) -> Floats:
    return chance


def reversed_score(chance: Floats) -> Floats:
    return 1 - chance


def silent(chance: Floats) -> Floats:
    return np.full(len(chance), np.nan)


def request(
    keys: Sequence[str],
    asked_at: Sequence[int],
    scores: Mapping[str, Array],
    *,
    served: Sequence[str] = (),
    number: int = 0,
    logged_at: int = 0,
    columns: Columns | None = None,
) -> LoggedRequest:
    """One logged request. served: digests, one a row; by default the first that scored."""
    at = logged_at or (max(asked_at, default=START))
    versions = list(scores)
    given = served or versions[:1] * len(keys)
    return LoggedRequest(
        request_id=request_id(at, number.to_bytes(10, "big")), logged_at=at, took_us=900 + number % 1_000,
        release="c" * 40, keys=list(keys), asked_at=np.array(asked_at, "<i8").tobytes(),
        numbers={n: v.astype("<f8").tobytes() for n, v in (columns or {}).items() if v.dtype != object},
        strings={n: v.tolist() for n, v in (columns or {}).items() if v.dtype == object},
        versions=versions, scores={n: np.asarray(v, "<f8").tobytes() for n, v in scores.items()},
        served=bytes(versions.index(name) for name in given),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    records: Sequence[LoggedRequest]
    position: Position
    damage: Sequence[Gap] = ()


class Log:
    """The prediction log as a list; a position counts records."""

    def __init__(self, *records: LoggedRequest) -> None:
        self.records = list(records)

    def read(self, after: Position, limit: int) -> Stretch:
        found = self.records[after[1] :][: limit or None]
        return Stretch(records=found, position=("2024.log", after[1] + len(found)))


@cache
def reference() -> Reference:
    """How 40 days of the world look to a good model."""
    columns, at, chance = world(np.random.default_rng(1), START - 40 * DAY, START, 4_000)
    return reference_profile(columns, at, chance)


def world(random: np.random.Generator, start: int, end: int, rows: int) -> tuple[Columns, Array, Floats]:
    at = np.sort(random.integers(start, end, rows))
    kind = random.choice(np.array(["bus", "car", None], dtype=object), rows)
    return {"visit.size": random.normal(3, 1, rows), "visit.kind": kind}, at, random.beta(2, 6, rows)


@dataclass
class Watched:
    """One environment with its server's log, its watcher and a trainer that makes what it is told to make."""

    policy: RetrainPolicy = field(default_factory=RetrainPolicy)
    skills: dict[str, Skill] = field(default_factory=dict)
    next_skill: Skill = good
    passes: bool = True
    fails: MainspringError | None = None
    now: int = START

    def __post_init__(self) -> None:
        self.ledger, self.observations, self.log = Ledger(), Observations(), Log()
        self.clock = FixedClock(self.now)
        self.random = np.random.default_rng(7)
        self.release = ReleasePorts(
            ledger=self.ledger, files=ReleaseFiles(), models=ModelStore(), versions=Versions(), keys=Keys(),
            checkpoints=Checkpoints(),
        )  # fmt: skip
        self.ports = WatchPorts(
            ledger=self.ledger, log=self.log, observations=self.observations, references=lambda _: reference(),
            release=self.release, train=self.train, resume=self.resume, compact=lambda: 0,
        )  # fmt: skip
        self.plan = WatchPlan(
            model=MODEL, environment=ENVIRONMENT, monitoring=MONITORING, retraining=self.policy, rollout=PLAN
        )
        self.made = 0
        self.results: dict[str, TrainResult] = {}
        self.memory = Memory()

    def make(self, skill: Skill, *, passed: bool = True) -> str:
        """Register a model that scores with `skill`."""
        self.made += 1
        ports = Registry(models=self.release.models, keys=self.release.keys, versions=self.release.versions)
        digest = register(MODEL, {"contract.json": b"%d" % self.made}, ports).digest
        self.release.models.attest(digest, GATE, canonical_json({"passed": passed}))
        self.skills[digest] = skill
        return digest

    def begin(self, skill: Skill = good) -> str:
        """Release a first model and remember the ledger, as a watcher that starts does."""
        digest = self.make(skill)
        promote(self.move("first"), digest, self.release, plan=PLAN, mode=None)
        self.memory = remember(self.ledger, ENVIRONMENT)
        return digest

    def try_out(self, skill: Skill) -> str:
        """Put another model on trial."""
        digest = self.make(skill)
        moved = promote(self.move("a trial"), digest, self.release, plan=self.plan.rollout)
        if moved.event:
            self.memory.released(moved.event)
        return digest

    def move(self, reason: str) -> Move:
        return Move(environment=ENVIRONMENT, model=MODEL, actor="user:test", at=self.now, reason=reason)

    def train(self, asked: Candidate) -> TrainResult:
        """Make the next candidate, telling the ledger what a real training tells it."""
        if self.fails and not isinstance(self.fails, RunFailed):
            raise self.fails
        run = Run(
            id=f"r{self.made + 1}", model=MODEL, at=asked.at, snapshot="s", definitions={}, code="c",
            training=TrainingPlan(function="a:b", window=None, holdout=DAY), champion=asked.champion,
            reason=asked.reason,
        )  # fmt: skip
        chapters = Chapters(run=run, actor="watch", ledger=self.ledger, clock=self.clock)
        started = chapters.started(asked.cause)
        if self.fails:
            chapters.failed(self.fails)
            raise self.fails
        verdict = Verdict(passed=self.passes, reasons=(Reason(gate="floor", passed=self.passes, what="told to"),))
        digest = self.make(self.next_skill, passed=self.passes)
        version = self.release.versions.assign(MODEL, digest)
        judged = chapters.judged(verdict, digest, version, (started.seq,))
        event = chapters.finished(digest, version, verdict, {"train-model": 2.0}, (judged.seq,))
        self.results[run.id] = TrainResult(
            run=run, outcomes=(), digest=digest, version=version, verdict=verdict, evidence={}, seconds={}, event=event
        )
        return self.results[run.id]

    def resume(self, run_id: str) -> TrainResult:
        """Give what a finished run gave; an unfinished one cannot be gone on with here."""
        if run_id not in self.results:
            raise NotFound(f"no run is called {run_id!r}", fix="train again")
        return self.results[run_id]

    def serve(self, rows: int = 50, *, shift: float = 0.0, broken: bool = False, larger: float = 0.0) -> None:
        """Answer one tick of questions with every version in charge or on trial; labels follow after 4 hours."""
        release, _ = self.release.files.read(ENVIRONMENT)
        if release is None or not rows:
            return
        wanted = [release.champion.digest, *([release.challenger.digest] if release.challenger else [])]
        columns, at, chance = world(self.random, self.now - TICK, self.now, rows)
        columns["visit.size"] = columns["visit.size"] + larger
        if broken:
            columns["visit.size"] = np.full(rows, np.nan)
        chance = np.clip(chance + shift, 0.01, 0.99)
        keys = [f"k{len(self.log.records)}-{row}" for row in range(rows)]
        scores = {digest: self.skills[digest](chance) for digest in wanted}
        number = len(self.log.records)
        self.log.records.append(request(keys, at.tolist(), scores, number=number, logged_at=self.now, columns=columns))
        came = (self.random.random(rows) < chance).astype(float)
        self.waiting = getattr(self, "waiting", [])
        self.waiting += [
            Label(key=k, asked_at=a, value=v, known_at=a + 4 * HOUR)
            for k, a, v in zip(keys, at.tolist(), came.tolist(), strict=True)
        ]
        self.observations.add_labels([label for label in self.waiting if label.known_at <= self.now])
        self.waiting = [label for label in self.waiting if label.known_at > self.now]

    def look(self) -> Looked:
        self.clock.at = self.now
        return look(self.plan, self.memory, self.ports, now=self.now)

    def tick(self, rows: int = 50, *, shift: float = 0.0, broken: bool = False, larger: float = 0.0) -> Looked:
        """Pass one tick: questions are answered, then the watcher looks."""
        self.now += TICK
        self.serve(rows, shift=shift, broken=broken, larger=larger)
        return self.look()

    def run(self, ticks: int, **world: float) -> list[Looked]:
        return [self.tick(**world) for _ in range(ticks)]  # type: ignore[arg-type]

    def kinds(self, wanted: str = "") -> list[str]:
        return [event.kind for event in self.ledger.read(kind=wanted)]

    def slow(self) -> None:
        """Let every step of a rollout last a day, so that labels mature within it."""
        self.plan = replace(self.plan, rollout=replace(PLAN, hold=DAY))

    def wants(self, **settings: object) -> None:
        """Change the retraining policy."""
        self.plan = replace(self.plan, retraining=RetrainPolicy(**settings))  # type: ignore[arg-type]
