"""Wiring of the server: release file and signed models in, prediction log out. It never reads the project file."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mainspring.adapters.files.budgets import BudgetFile
from mainspring.app.clock import SystemClock
from mainspring.app.cores import granted
from mainspring.app.mounted import (
    NOTHING,
    Mounted,
    TokenSource,
    Trust,
    models_at,
    release_files,
    serving_rules,
    token_source,
    trust_of,
)
from mainspring.app.online import assembler
from mainspring.app.paths import STATE, readings_file
from mainspring.app.prediction_log import LocalLog, follow_rules, open_log
from mainspring.deliver.ports import ModelStore, ReleaseFiles
from mainspring.kernel.contract import GRAPH_FILE, model_name, model_of, read_contract
from mainspring.kernel.errors import InvalidValue, MainspringError
from mainspring.kernel.files import make_private
from mainspring.kernel.times import Clock, FixedClock
from mainspring.serve.cache import CacheLimits, ScoreCache
from mainspring.serve.explaining import Explainer, Explaining
from mainspring.serve.fleet import Fleet, Member
from mainspring.serve.log import PredictionLog
from mainspring.serve.plane import Plane, PlaneRules
from mainspring.serve.ports import Challenger, LoadedModel, Routing, Served, rollout_id_of
from mainspring.serve.reconciler import Reconciler
from mainspring.serve.versions import sample_of
from mainspring.serve.witness import Witness

REPLAY_MARK = "replay.json"
WORKSPACE_FILE = "workspace.yaml"
_log = logging.getLogger("mainspring.inference")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRoom:
    """The files of one server: the repository with its release file, and its state.

    worker: 0 for a server's only or first process, then 1, 2, ... of `workers`: each writes segments of its own.
    log_sinks: URLs of places that the prediction log goes to too, besides those in serving.yaml.
    cache_mb: MB of scores that are kept for equal rows, a project; 0 keeps none. explain: also say why.
    log_keep_mb: MB of the log that stay on this disk, a process; 0: all of it.
    mounted: what stands elsewhere than in the repository and the state folder.
    """

    root: Path
    environment: str
    worker: int = 0
    workers: int = 1
    log_sinks: tuple[str, ...] = ()
    cache_mb: int = 0
    explain: bool = False
    log_keep_mb: int = 0
    mounted: Mounted = NOTHING

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.root / STATE

    @property
    def threads(self) -> int:
        """What a slow graph may use: this process's part of the cores granted, one of them left to the event loop."""
        return max(1, granted() // self.workers - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonRules:
    """How models run that are no graphs. trust: types that they may contain. log: takes what their processes say."""

    trust: tuple[str, ...] = ()
    log: Path = Path(os.devnull)


class SignedModels:
    """Opens models for serving: digest and signature are checked at every open.

    log: told which columns a model keeps out of it, before the model can be asked. python: how models run that are no
    graphs, or None where none does. threads: that one call of a slow graph may use.
    """

    def __init__(
        self, models: ModelStore, keys: Trust, environment: str, *, log: PredictionLog | None = None,
        python: "PythonRules | None" = None, threads: int = 1,
    ) -> None:  # fmt: skip
        self._models, self._keys, self._environment, self._threads = models, keys, environment, threads
        self._log, self._python = log, python or PythonRules()

    def open(self, digest: str) -> LoadedModel:
        """Return the verified model with its engine."""
        files = self.files(digest)
        contract = read_contract(files["contract.json"])
        if self._log is not None and contract.redact:
            self._log.redact_also(contract.redact)
        data = model_of(files)
        if model_name(data) != GRAPH_FILE:
            from mainspring.app.python_models import PythonEngine

            engine = PythonEngine(data, contract.inputs, self._python.trust, log=self._python.log)
            return LoadedModel(contract=contract, engine=engine, beside=True, engine_name="python process")
        from mainspring.adapters.onnx import trees
        from mainspring.adapters.onnx.scorer import Scorer

        scorer = Scorer(data, contract.inputs, threads=self._threads, sample=sample_of(contract))
        if scorer.why:
            _log.log(logging.INFO if trees.BUILT else logging.WARNING, "onnxruntime scores %s: %s", digest, scorer.why)
        return LoadedModel(contract=contract, engine=scorer, engine_name=scorer.engine)

    def files(self, digest: str) -> Mapping[str, bytes]:
        """Return a model's verified files by name."""
        return self._models.open(digest, self._keys.trusted(self._environment))


class CommittedReleases:
    """Reads the routing from the release file as committed. changed: called at each commit but the first seen."""

    def __init__(self, files: ReleaseFiles, environment: str, changed: Callable[[], None] = lambda: None) -> None:
        self._files, self._environment, self._changed = files, environment, changed
        self._head, self._routing = "", None

    def current(self) -> Routing | None:
        """Return the present routing; one small file is read while nothing changes."""
        head = self._files.head(self._environment)
        if head != self._head or not head:
            self._routing = self._read()
            if self._head:
                self._changed()
            self._head = head
        return self._routing

    _routing: Routing | None

    def _read(self) -> Routing | None:
        release, commit = self._files.read(self._environment)
        if release is None:
            return None
        champion = Served(version=release.champion.version, digest=release.champion.digest)
        wanted = release.challenger
        if wanted is None:
            return Routing(model=release.model, commit=commit, champion=champion)
        challenger = Challenger(
            version=wanted.version, digest=wanted.digest, weight=wanted.weight, mode=wanted.mode, floor=wanted.floor
        )
        rollout = rollout_id_of(champion.digest, wanted.digest)
        return Routing(model=release.model, commit=commit, champion=champion, challenger=challenger, rollout_id=rollout)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerParts:
    """What `entry.inference` runs. fleet: the models. tokens: the API keys. clock: real time, also in a replay.

    budgets: what the keys have left of their budgets.
    """

    fleet: Fleet
    tokens: TokenSource
    clock: Clock
    budgets: BudgetFile


def server_parts(room: ServerRoom, *, replay_clock: bool) -> ServerParts:
    """Return the parts of a server over the project in a room, or over every project of the workspace there.

    Each project brings its own release file, models, log and online store; a workspace has API keys of its own.
    """
    members = [_member(name, place, replay_clock) for name, place in _rooms(room)]
    clock = SystemClock()
    return ServerParts(
        fleet=Fleet(members), tokens=token_source(room.mounted, room.state), clock=clock,
        budgets=BudgetFile(room.state, clock, room.worker),
    )  # fmt: skip


def _rooms(room: ServerRoom) -> list[tuple[str, ServerRoom]]:
    """Return (name, room) of every project that a server in `room` answers for."""
    if not (room.root / WORKSPACE_FILE).is_file():
        return [("", room)]
    if room.mounted.anything:
        raise InvalidValue("files mounted for one project, in a workspace of several", fix="serve one project a pod")
    from mainspring.project.workspace_file import load_workspace

    make_private(room.state)
    workspace = load_workspace(room.root)
    return [(path.relative_to(workspace.root).as_posix(), replace(room, root=path)) for path in workspace.projects]


def _member(label: str, room: ServerRoom, replay_clock: bool) -> Member:
    from mainspring.adapters.files.label_inbox import LabelInbox
    from mainspring.adapters.files.rewards import RewardFile

    mounted = room.mounted
    clock = _clock(room, replay_clock)
    read = partial(serving_rules, mounted, room.root, room.environment)
    rules = read()
    log = open_log(
        LocalLog(room.state / "log", worker=room.worker, durable=not replay_clock, keep=room.log_keep_mb << 20), rules,
        source=f"{room.environment}/{_named(room)}", sinks=room.log_sinks,
    )  # fmt: skip
    plane = Plane(
        log=log, clock=clock, random=os.urandom, assemble=assembler(room.state, mounted.online, room.environment),
        rules=PlaneRules(store_waits=bool(mounted.online)),
    )  # fmt: skip
    files = release_files(mounted, room.root)
    releases = CommittedReleases(files, room.environment, follow_rules(log, read, rules))
    keys, kept = trust_of(mounted, room.state, room.root), models_at(mounted.models, room.state / "models")
    python = PythonRules(trust=rules.trust, log=room.state / "python.log")
    models = SignedModels(kept, keys, room.environment, log=log, python=python, threads=room.threads)
    reconciler, labels = (
        Reconciler(
            plane,
            releases,
            models,
            rewards=RewardFile(room.state),
            cache=ScoreCache(CacheLimits(size=room.cache_mb << 20)) if room.cache_mb else None,
        ),
        LabelInbox(room.state / "labels"),
    )
    explaining = Explaining(plane, _explainer(models, room, rules.trust)) if room.explain else None
    return Member(label=label, plane=plane, log=log, reconciler=reconciler, labels=labels, explaining=explaining)


def _explainer(models: SignedModels, room: ServerRoom, trust: Sequence[str]) -> Explainer:
    """Return what explains; refuse at the start what could not be done at the first question."""
    from mainspring.app.explaining import Explainers

    return Explainers(models.files, room.state / "explain.log", trust)


def _named(room: ServerRoom) -> str:
    """Return what events of the log call this server: the project's folder, in a pod the model as released."""
    if room.mounted.release is None:
        return room.root.name
    try:
        release, _ = release_files(room.mounted, room.root).read(room.environment)
    except MainspringError:  # a broken file is told by what follows it
        return room.root.name
    return release.model if release else room.root.name


def key_parts(room: ServerRoom) -> tuple[TokenSource, Clock]:
    """Return the API keys of a server and real time: what a parent of workers needs."""
    return token_source(room.mounted, room.state), SystemClock()


def watch_readings(room: ServerRoom) -> Callable[[], bytes]:
    """Return what gives the last readings of the watches of a room's projects, for the server's metrics."""
    from mainspring.adapters.prometheus.exposition import shown

    return shown([readings_file(place.state, room.environment) for _, place in _rooms(room)])


def tracing(endpoint: str) -> Witness:
    """Return a witness that sends spans to an OTLP/HTTP endpoint."""
    from mainspring.adapters.otel.tracing import Tracing

    if not endpoint.startswith(("http://", "https://")):
        raise InvalidValue(f"{endpoint[:80]!r} is not an address", fix="for example http://127.0.0.1:4318/v1/traces")
    return Tracing(endpoint)


def _clock(room: ServerRoom, replay: bool) -> Clock:
    if not replay:
        return SystemClock()
    if not (room.root / REPLAY_MARK).is_file():
        raise InvalidValue(
            "a replay clock outside a replay's folder", fix="leave --clock out; mainspring replay uses it"
        )
    return FixedClock(0)
