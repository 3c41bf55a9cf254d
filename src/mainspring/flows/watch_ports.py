"""What a watch is told and what it needs from outside."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mainspring.deliver.freezes import Freeze
from mainspring.deliver.release import Plan
from mainspring.flows.ingest import PredictionLog, References
from mainspring.flows.memory import WATCH
from mainspring.flows.moves import ReleasePorts
from mainspring.flows.posted import Posted
from mainspring.flows.train import TrainResult
from mainspring.kernel.events import Ledger
from mainspring.observe.plans import MonitoringPlan, RetrainPolicy
from mainspring.observe.ports import Observations
from mainspring.serve.bandit import Outcomes

ACTOR = WATCH


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPlan:
    """What is watched, and by which rules. margin: loss difference that a rollout or a window tolerates.

    freezes: when a rollout gives its challenger no more traffic.
    """

    model: str
    environment: str
    monitoring: MonitoringPlan
    retraining: RetrainPolicy
    rollout: Plan
    margin: float = 0.01
    freezes: tuple[Freeze, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A training that a watch asks for. champion: digest to compare with. cause: ledger events that led here."""

    at: int
    champion: str
    reason: str
    cause: tuple[int, ...]
    params: Mapping[str, Any]


class HandedOver(Exception):
    """Raised by `WatchPorts.train` where it only passes the question on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPorts:
    """What a look needs.

    posted: called with the time after the log was read, to take in labels that were posted to the server.
    references: model digest -> the reference profile of its signed directory, or None. train: makes a candidate,
    or raises `HandedOver`.
    resume: goes on with the training of a run id, or gives again what it gave.
    compact: called at the end of a look to turn closed log segments into Parquet; returns how many. reward: is given
    what came true of both versions' answers, by digest, for a bandit.
    """

    ledger: Ledger
    log: PredictionLog
    observations: Observations
    references: References
    release: ReleasePorts
    train: Callable[[Candidate], TrainResult]
    resume: Callable[[str], TrainResult]
    compact: Callable[[], int]
    reward: Callable[[Mapping[str, Outcomes]], None] = lambda _: None
    posted: Callable[[int], Posted] = lambda _: Posted()
