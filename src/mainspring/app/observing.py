"""Wiring of observe: the prediction log in, observations kept, candidates trained when a look asks for one."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import lru_cache

from mainspring.app.prediction_log import logged_key
from mainspring.app.releases import release_ports, rollout
from mainspring.app.training import Trainer, resumed_run
from mainspring.app.workspace import Workspace
from mainspring.deliver.gates import ChampionGate
from mainspring.flows.compact import CompactPorts, compact, find_compacted
from mainspring.flows.labels import LabelPorts
from mainspring.flows.lineage import LineagePorts
from mainspring.flows.posted import Posted, take_posted
from mainspring.flows.train import TrainResult
from mainspring.flows.watch_ports import ACTOR, Candidate, WatchPlan, WatchPorts
from mainspring.kernel.errors import NotFound
from mainspring.kernel.records import LoggedRequest
from mainspring.kernel.times import SECOND
from mainspring.observe.plans import RetrainPolicy
from mainspring.observe.ports import Observations
from mainspring.observe.profiles import Reference, read_reference


def watch_plan(workspace: Workspace, policy: RetrainPolicy | None = None) -> WatchPlan:
    """Return what is watched by the project's rules, or with another retraining policy."""
    settings = workspace.settings
    margin = next((gate.margin for gate in settings.gates if isinstance(gate, ChampionGate)), 0.01)
    here = settings.environments.get(workspace.environment)
    longest = 2 * sum(needs.seconds for needs in settings.steps.values()) * SECOND  # each step once more
    return WatchPlan(
        model=settings.name, environment=workspace.environment, monitoring=settings.monitoring,
        retraining=policy or replace(settings.retraining, longest=longest), rollout=rollout(workspace), margin=margin,
        freezes=here.freezes if here else (),
    )  # fmt: skip


def watch_ports(workspace: Workspace, trainer: Trainer, observations: Observations) -> WatchPorts:
    """Return what a look needs."""
    from mainspring.adapters.files.logs_reader import SegmentReader
    from mainspring.adapters.files.rewards import RewardFile

    def train(asked: Candidate) -> TrainResult:
        run = trainer.run_of(at=asked.at, reason=asked.reason, champion=asked.champion, params=asked.params)
        return trainer.train(run, actor=ACTOR, cause=asked.cause)

    def resume(run_id: str) -> TrainResult:
        return trainer.train(resumed_run(workspace, run_id), actor=ACTOR)

    return WatchPorts(
        ledger=workspace.ledger, log=SegmentReader(workspace.paths.log), observations=observations,
        references=_references(workspace), release=release_ports(workspace), train=train,
        resume=resume, compact=_compaction(workspace, observations), posted=_posted(workspace, observations),
        reward=RewardFile(workspace.paths.state).write,
    )  # fmt: skip


def open_observations(workspace: Workspace) -> AbstractContextManager[Observations]:
    """Return the workspace's scores, labels and profiles."""
    from mainspring.adapters.sqlite.observations import Observations as SqliteObservations

    return SqliteObservations(workspace.paths.state / "observations", durable=not workspace.is_replay)


def find_logged(workspace: Workspace) -> Callable[[str], LoggedRequest]:
    """Return what finds the logged request of a prediction id, in the open segments or the compacted log."""
    from mainspring.adapters.files.logs_reader import SegmentReader
    from mainspring.adapters.frames.parquet import ParquetFrames

    reader, frames = SegmentReader(workspace.paths.log), ParquetFrames()

    def find(prediction_id: str) -> LoggedRequest:
        try:
            return reader.find(prediction_id)
        except NotFound:
            return find_compacted(prediction_id, workspace.paths.predictions, frames)

    return find


def label_ports(workspace: Workspace, observations: Observations) -> LabelPorts:
    """Return what taking in labels needs."""
    hides_key = workspace.settings.definitions.ask.key in workspace.settings.security.personal
    key = logged_key(workspace.paths.root, workspace.environment, hides_key)
    return LabelPorts(find=find_logged(workspace), add=observations.add_labels, key=key)


def lineage_ports(workspace: Workspace) -> LineagePorts:
    """Return what lineage reads."""
    import json

    from mainspring.data.snapshots import from_json

    return LineagePorts(
        find=find_logged(workspace), evidence=workspace.models.evidence, ledger=workspace.ledger,
        snapshot=lambda digest: from_json(json.loads(workspace.store.get(digest))), label=_label_of(workspace),
    )  # fmt: skip


def _label_of(workspace: Workspace) -> Callable[[str, int], tuple[float, int] | None]:
    def label(key: str, asked_at: int) -> tuple[float, int] | None:
        if not (workspace.paths.state / "observations" / "labels.db").is_file():
            return None
        with open_observations(workspace) as observations:
            rows = observations.matured(asked_at, asked_at + 1, workspace.clock.now())
        places = [place for place, name in enumerate(rows["key"].tolist()) if name == key]
        return (float(rows["value"][places[-1]]), int(rows["known_at"][places[-1]])) if places else None

    return label


def _references(workspace: Workspace) -> Callable[[str], Reference | None]:
    @lru_cache(maxsize=8)
    def reference(digest: str) -> Reference | None:
        if not workspace.models.has(digest):
            return None
        files = workspace.models.open(digest, workspace.keys.trusted(workspace.environment))
        return read_reference(files["profile.json"]) if "profile.json" in files else None

    return reference


def _posted(workspace: Workspace, observations: Observations) -> Callable[[int], Posted]:
    from mainspring.adapters.files.label_inbox import LabelInbox

    inbox = LabelInbox(workspace.paths.posted_labels)
    return lambda now: take_posted(inbox, label_ports(workspace, observations), now=now)


def _compaction(workspace: Workspace, observations: Observations) -> Callable[[], int]:
    from mainspring.adapters.files.logs_reader import SegmentReader
    from mainspring.adapters.frames.parquet import ParquetFrames

    ports = CompactPorts(
        segments=SegmentReader(workspace.paths.log), frames=ParquetFrames(keep=0), folder=workspace.paths.predictions
    )
    return lambda: compact(ports, observations.position())
