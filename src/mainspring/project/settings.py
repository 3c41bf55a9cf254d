"""A project as the layers take it: plain frozen records, all text turned into numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mainspring.data.expectations import Expectations
from mainspring.data.views import Definitions
from mainspring.deliver.freezes import Freeze
from mainspring.deliver.gates import Gate
from mainspring.deliver.render.subject import Network, Tracking, Vault
from mainspring.deliver.rollout import RolloutPlan
from mainspring.develop.runs import TrainingPlan
from mainspring.develop.search import SearchPlan
from mainspring.kernel.needs import StepNeeds
from mainspring.observe.plans import MonitoringPlan, RetrainPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """Who is told what. to: secret references of webhooks."""

    page: tuple[str, ...] = ()
    tell: tuple[str, ...] = ()
    to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """Signing, budgets, personal data.

    threshold: trusted signatures a version needs. query_budget: (rows, microseconds) for a client, or None.
    personal: columns with personal data. keep_predictions: microseconds.
    """

    threshold: int
    query_budget: tuple[int, int] | None
    personal: tuple[str, ...]
    keep_predictions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Repository, images and pipelines. "" where the file leaves one out. ci: `github`, `gitlab` or "".

    remote: the git remote that release commits are pushed to before they count.
    base: the images' base by digest. login: how a pipeline logs in to the registry, `token` or `dockerhub`.
    vault: where secrets come from; its `means` may be "". tracking: MLflow of one's own, or None.
    database: `instances` and `storage` of a PostgreSQL of one's own; {} for none.
    """

    repository: str = ""
    branch: str = "main"
    remote: str = ""
    registry: str = ""
    base: str = ""
    ci: str = ""
    login: str = "token"
    vault: Vault | None = None
    tracking: Tracking | None = None
    database: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One place where the model serves.

    replicas: (fewest, most). approvals: people. scheduler: "", `cronworkflow` or `cronjob`. schedule: cron fields of
    `watch`. image, steps_image: by digest, or "". stores: address of each store that is not local.
    network: who may talk to whom. serverless: KServe runs the server under Knative. data_claim: the volume claim with
    the sources' files, or "". freezes: when no new version enters. soak: microseconds that
    a version answers here before it may go on. seldon: `v1` or `v2`. options: what the file says of the server's pods,
    by section. identity: annotations of service accounts.
    """

    name: str
    platform: str
    replicas: tuple[int, int]
    approvals: int
    scheduler: str
    schedule: str
    image: str
    steps_image: str = ""
    stores: Mapping[str, str] = field(default_factory=dict)
    network: Network = field(default_factory=Network)
    serverless: bool = False
    data_claim: str = ""
    freezes: tuple[Freeze, ...] = ()
    soak: int = 0
    seldon: str = "v1"
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a project file decides.

    expectations: what each source promises; every source is listed. steps: what each step needs; every step is listed.
    search: which parameters are tried; its space is empty where the file has none.
    """

    name: str
    description: str
    owner: str
    definitions: Definitions
    expectations: Mapping[str, Expectations]
    training: TrainingPlan
    search: SearchPlan
    steps: Mapping[str, StepNeeds]
    gates: tuple[Gate, ...]
    rollout: RolloutPlan
    monitoring: MonitoringPlan
    retraining: RetrainPolicy
    alerts: Alerts
    security: Security
    delivery: Delivery
    environments: Mapping[str, Environment]
