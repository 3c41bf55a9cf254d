"""Wiring of develop: snapshots taken, candidates trained in a kept worker, runs mirrored to MLflow."""

import json
import math
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainspring import __version__
from mainspring.app.checking import check_against_snapshot
from mainspring.app.stores import STORE_VARIABLES
from mainspring.app.workspace import Workspace
from mainspring.data import snapshots, views
from mainspring.deliver.ports import GATE
from mainspring.develop.locks import lock_document, pins
from mainspring.develop.plan import Explanation
from mainspring.develop.ports import Mirrored, Progress, StepRunner
from mainspring.develop.runs import Run, TrainingPlan, read_run
from mainspring.develop.steps import TRAIN, Step
from mainspring.flows.adopt import IMPORT, mirrored_import
from mainspring.flows.snapshot import SnapshotPorts, SnapshotTaken, find_snapshot, take
from mainspring.flows.steps.mirroring import mirrored
from mainspring.flows.steps.register_model import EVIDENCE, RUN, RegisterPorts
from mainspring.flows.train import TrainPorts, TrainResult, begin, conclude, explain_training, prepare, train
from mainspring.kernel.digests import digest_file, digest_of
from mainspring.kernel.errors import InvalidValue, NotFound
from mainspring.kernel.times import from_us
from mainspring.project.lower_steps import OTHERS

if TYPE_CHECKING:
    from mainspring.adapters.mlflow.mirror import MlflowMirror
    from mainspring.adapters.process.worker import KeptWorker

_CODE = ("*.py", "*.lock", "*.toml")
Params = Mapping[str, str | int | float | bool]


def take_snapshot(workspace: Workspace) -> SnapshotTaken:
    """Take a snapshot of every source; no new version if nothing changed."""
    settings = workspace.settings
    ports = SnapshotPorts(ledger=workspace.ledger, store=workspace.store, reader=workspace.reader)
    return take(
        settings.definitions.sources, settings.expectations, ports, at=workspace.clock.now(), actor=workspace.actor,
        ask=settings.definitions.ask.source,
    )  # fmt: skip


def step_worker(workspace: Workspace) -> "KeptWorker":
    """Return a step process for the project of `workspace` and every replay of it; it starts on first use."""
    from mainspring.adapters.process.worker import KeptWorker

    project = workspace.paths.project
    argv = [sys.executable, "-m", "mainspring", "-C", str(project), "step", "--worker", "--env", workspace.environment]
    seconds = {step: float(needs.seconds) for step, needs in workspace.settings.steps.items()}
    worker = KeptWorker(argv, folder=project, log=workspace.paths.shared / "steps.log", seconds=seconds)
    if workspace.stores.tables or workspace.stores.models:
        worker.keep = STORE_VARIABLES
    return worker


class Trainer:
    """Trains candidates of one workspace in a kept worker. Close it, or use `with`.

    worker: a step process to share with other trainers of the project, which its owner closes; None: one of its own.
    patient: let every other trainer on that process go first.
    """

    def __init__(
        self, workspace: Workspace, *, progress: Progress = lambda _: None, mirror: bool = True,
        worker: "KeptWorker | None" = None, patient: bool = False,
    ) -> None:  # fmt: skip
        self._workspace, self._progress = workspace, progress
        shared = worker or step_worker(workspace)
        self._own = None if worker else shared
        self._steps: StepRunner = shared.within(workspace.paths.state if workspace.is_replay else None, patient=patient)
        self._mirror = mirror_of(workspace) if mirror else None

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> "Trainer":
        """Start a worker of its own now: its imports take seconds, and a run has things to look up before its steps."""
        if self._own is not None:
            self._own.start()
        return self

    def close(self) -> None:
        """End the worker, if it is this trainer's own."""
        if self._own is not None:
            self._own.close()

    def run_of(self, *, at: int, reason: str, champion: str = "", params: Params | None = None, name: str = "") -> Run:
        """Return the record of a new run on the last snapshot, looking back from `at` (UTC microseconds)."""
        workspace, settings = self._workspace, self._workspace.settings
        commit, dirty = workspace.code
        return Run(
            id=name or f"r-{from_us(workspace.clock.now()):%Y%m%d%H%M%S}-{secrets.token_hex(4)}",
            model=settings.name,
            at=at,
            snapshot=str(find_snapshot(workspace.ledger).body["digest"]),
            definitions=views.to_json(settings.definitions),
            training=training_plan(workspace, params),
            code=code_digest(workspace.paths.project),
            champion=champion,
            personal=settings.security.personal,
            locks=kept_locks(workspace),
            reason=reason,
            commit=commit,
            dirty=dirty,
        )

    def train(self, run: Run, *, actor: str = "", cause: Sequence[int] = ()) -> TrainResult:
        """Train, judge and register one candidate."""
        if self._mirror is not None:
            self._mirror.warm()
        gates = self._workspace.settings.gates
        return train(run, gates, self._ports(), actor=actor or self._workspace.actor, cause=cause)

    def begin(self, run: Run, *, actor: str, cause: Sequence[int] = (), expected_head: int | None = None) -> None:
        """Keep the record of a run whose steps will run elsewhere; `Conflict` if the ledger went on meanwhile."""
        begin(run, self._ports(), actor=actor, cause=cause, expected_head=expected_head)

    def conclude(self, run: Run, *, actor: str) -> TrainResult:
        """Judge and register what the steps of a run made elsewhere."""
        return conclude(run, self._workspace.settings.gates, self._ports(), actor=actor)

    def prepare(self, run: Run, *, through: Step = TRAIN) -> None:
        """Fit a candidate that may be asked for later; it is neither judged nor registered, its steps are kept."""
        prepare(run, self._ports(), through=through)

    def explain(self, run: Run) -> list[Explanation]:
        """Tell for each step whether it would be reused, or why not."""
        return explain_training(run, self._ports())

    def _ports(self) -> TrainPorts:
        workspace = self._workspace
        register = RegisterPorts(store=workspace.store, models=workspace.models, keys=workspace.keys)
        return TrainPorts(
            ledger=workspace.ledger, clock=workspace.clock, runs=workspace.stores.runs(),
            cache=workspace.stores.step_cache(), steps=self._steps, register=register,
            versions=workspace.versions, mirror=self._mirror, progress=self._progress,
        )  # fmt: skip


def training_plan(workspace: Workspace, params: Params | None = None) -> TrainingPlan:
    """Return the project's training plan with parameters overridden."""
    plan = workspace.settings.training
    return replace(plan, params={**plan.params, **(params or {})})


def code_digest(project: Path) -> str:
    """Return the digest of the project's code, locks, Python minor and mainspring version (decision record 0003)."""
    files = {
        path.relative_to(project).as_posix(): digest_file(path)
        for folder in (project, project / "src", project / "requirements")
        for pattern in _CODE
        for path in (folder.rglob(pattern) if folder == project / "src" else folder.glob(pattern))
        if path.is_file()
    }
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return digest_of({"files": files, "python": python, "mainspring": __version__})


def kept_locks(workspace: Workspace) -> dict[str, str]:
    """Keep the pins of each step's lock in the content store; return step -> digest for steps that have one."""
    found = {}
    for step, needs in workspace.settings.steps.items():
        if needs.lock and step != OTHERS:
            path = workspace.paths.project / needs.lock
            if not path.is_file():
                raise NotFound(f"{step}: there is no lock {needs.lock}", fix="write it, or correct training.steps")
            found[step] = workspace.store.put(lock_document(pins(path.read_text(encoding="utf-8"))))
    return found


def verdict_on(workspace: Workspace, version: int) -> dict[str, Any]:
    """Return {"passed", "reasons"} as attested beside a version; `NotFound` if it was never judged."""
    raw = workspace.models.evidence(workspace.versions.get(workspace.settings.name, version), GATE)
    if raw is None:
        raise NotFound(f"version {version} was not judged", fix="train again: mainspring train")
    return dict(json.loads(raw))


def sync_tracking(workspace: Workspace) -> int:
    """Show every version in the tracking server again, from the evidence beside it; return how many."""
    return mirror_of(workspace).sync(_judged_runs(workspace))


def _judged_runs(workspace: Workspace) -> Iterator[Mirrored]:
    for version, digest in workspace.versions.list(workspace.settings.name):
        evidence, gate, run = (workspace.models.evidence(digest, name) for name in (EVIDENCE, GATE, RUN))
        if evidence is not None and gate is not None and run is not None:
            shown = mirrored(read_run(json.loads(run)), digest, version, evidence, gate)
        elif (told := workspace.models.evidence(digest, IMPORT)) is not None:
            shown = mirrored_import(workspace.settings.name, digest, version, told)
        else:
            continue
        files = workspace.models.open(digest, workspace.keys.trusted(workspace.environment))
        yield replace(shown, onnx=files.get("model.onnx", b""))


def mirror_of(workspace: Workspace) -> "MlflowMirror":
    """Return the tracking server that this workspace shows itself in."""
    from mainspring.adapters.mlflow.mirror import MlflowMirror, tracking_uri

    return MlflowMirror(tracking_uri(workspace.paths.state), workspace.paths.state / "mlartifacts")


def asked_run(
    trainer: Trainer, workspace: Workspace, *, at: int, settings: Sequence[str], reason: str, name: str = ""
) -> Run:  # fmt: skip
    """Return the run that a user asks for: `at` 0 means the end of the data; settings are `name=value`.

    name: the run's id; "": a new one.
    """
    check_against_snapshot(workspace)
    release, _ = workspace.releases.read(workspace.environment)
    moment = at or end_of_data(workspace)
    champion = release.champion.digest if release else ""
    return trainer.run_of(at=moment, reason=reason, champion=champion, params=parse_params(settings), name=name)


def resumed_run(workspace: Workspace, run_id: str) -> Run:
    """Return the record of a run that stopped."""
    return workspace.stores.runs().load(run_id)


def parse_params(settings: Sequence[str]) -> dict[str, str | int | float | bool]:
    """Return parameters of `name=value` texts: whole numbers, numbers, true and false, else text."""
    found: dict[str, str | int | float | bool] = {}
    for text in settings:
        name, sign, value = text.partition("=")
        if not sign or not name.isidentifier():
            raise InvalidValue(f"{text[:60]!r} sets nothing", fix="write --set name=value")
        found[name] = _typed(value)
    return found


def _typed(value: str) -> str | int | float | bool:
    if value in ("true", "false"):
        return value == "true"
    for kind in (int, float):
        try:
            number = kind(value)
            return number if math.isfinite(number) else value
        except (ValueError, OverflowError):
            continue
    return value


def end_of_data(workspace: Workspace) -> int:
    """Return the end of the last partition of the source that is asked about."""
    document = json.loads(workspace.store.get(str(find_snapshot(workspace.ledger).body["digest"])))
    table = snapshots.from_json(document).table(workspace.settings.definitions.ask.source)
    column = workspace.settings.definitions.ask.at
    highs = [info.high for info in table.columns if info.name == column] if table else []
    if not highs or not isinstance(highs[0], int | float):
        raise InvalidValue("the snapshot has no rows to look back on", fix="give --at, or take a snapshot with data")
    return int(highs[0]) + 1
