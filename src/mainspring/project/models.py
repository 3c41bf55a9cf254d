"""The project file as it is written: one model a section, strict, frozen, unknown keys refused.

Values stay as written (`6h` is text); `lower` turns them into the records that the layers take. Every field has a
description: the JSON schema and docs/project-file.md are made from them.
"""

from typing import Annotated, Literal

from pydantic import Field

from mainspring.project.data_models import AskSection, DataSection, Feature, TargetSection
from mainspring.project.delivery_models import (
    DatabaseSection,
    NetworkSection,
    Platform,
    Secrets,
    TrackingSection,
    VaultSection,
)
from mainspring.project.fields import (
    FORM,
    MAPPING,
    NUMBER,
    TEXT,
    Branch,
    Column,
    Columns,
    Cron,
    Duration,
    FeatureColumn,
    Function,
    History,
    Image,
    Name,
    Percent,
    Persist,
    Rate,
    Registry,
    Repository,
    Runs,
    SecretRef,
    Section,
    Share,
    Text,
    TypeName,
)
from mainspring.project.gate_models import GateEntry
from mainspring.project.search_models import SearchSection
from mainspring.project.server_models import ReachedSection
from mainspring.project.step_models import StepName, StepSection


class TrainingSection(Section):
    """How candidates are made."""

    function: Function = Field(description="`package.module:name` of fit(frame, target, params) -> estimator.")
    window: History = Field(default="all", description="How much history to learn from.")
    holdout: Duration = Field(description="The newest part of history, kept for judging.")
    min_rows: int = Field(default=100, ge=1, description="Fewest rows to learn from.")
    slices: tuple[FeatureColumn, ...] = Field(
        default=(), description="Feature columns by which evidence is broken down, besides those that gates name."
    )
    params: dict[Column, str | int | float | bool] = Field(
        default_factory=dict, description="Parameters passed to the function."
    )
    runtime: Literal["onnx", "python"] = Field(
        default="onnx", description="`python`: for what does not convert to ONNX; it is served from its own process."
    )
    trust: tuple[TypeName, ...] = Field(
        default=(), max_length=200, description="Types beyond skops's own list that a `python` model may contain."
    )
    search: SearchSection | None = Field(default=None, description="Search of parameters: `mainspring train --search`.")
    steps: dict[StepName, StepSection] = Field(
        default_factory=dict, description="What a step needs, by its name; `others` stands for all not listed."
    )


class AbortSection(Section):
    """What ends a canary at once."""

    error_rate: Percent = Field(default="1%", description="Share of failed rows tolerated.")
    latency_p99: Duration | None = Field(default=None, description="Slowest 99th percentile tolerated.")
    quality: Literal["worse", "ignore"] = Field(
        default="worse", description="`worse`: abort when matured loss is worse than the champion's on the same rows."
    )


class CanarySection(Section):
    """How traffic moves to a challenger."""

    steps: tuple[int, ...] = Field(default=(5, 25, 100), description="Percent of traffic at each step; rises to 100.")
    hold: Duration = Field(default="6h", description="How long each step is watched at least.")
    min_requests: int = Field(default=500, ge=1, description="Rows a step needs before it may advance.")
    abort: AbortSection = Field(default_factory=AbortSection, description="What ends the canary at once.")


class ReleaseSection(Section):
    """How a version that passed its gates is released."""

    canary: CanarySection = Field(default_factory=CanarySection, description="How traffic moves to a challenger.")


class DriftSection(Section):
    """When a column counts as drifted."""

    measure: Literal["psi"] = Field(default="psi", description="Distance between reference and window.")
    above: Annotated[Annotated[Literal["usual"], TEXT] | Annotated[Share, NUMBER], FORM] = Field(
        default="usual", description="`usual`: more than week-to-week drift inside training; or a fixed distance."
    )
    false_discovery: float = Field(default=0.05, gt=0, lt=1, description="False discovery rate over all columns.")


class QualitySection(Section):
    """How realised quality is measured."""

    metric: Literal["log_loss", "brier"] = Field(default="log_loss", description="Loss computed when labels matured.")


class MonitoringSection(Section):
    """What is watched, how often, how far back."""

    every: Duration = Field(default="6h", description="One tick: how often windows are judged.")
    window: Duration = Field(default="7d", description="Sliding window; a multiple of `every`.")
    label_delay: Duration = Field(default="12h", description="When labels of a prediction count as matured.")
    drift: DriftSection = Field(default_factory=DriftSection, description="When a column counts as drifted.")
    quality: QualitySection = Field(default_factory=QualitySection, description="How realised quality is measured.")


class BudgetSection(Section):
    """What retraining may cost."""

    runs: Runs = Field(description="Most trainings in a period: 6 per 30d.")


class RetrainingSection(Section):
    """When a new candidate is trained without being asked for."""

    when: tuple[Literal["output_drift", "quality"], ...] = Field(
        default=(), description="Signals that call for a training. Feature drift alone only alerts."
    )
    persist: Persist = Field(default="1 of 1", description="In how many of the last windows the signal must show.")
    cooldown: Duration | None = Field(default=None, description="Least time between two trainings.")
    min_new_labels: int = Field(default=0, ge=0, description="Labels that must have matured since the last training.")
    budget: BudgetSection | None = Field(default=None, description="What retraining may cost.")
    every: Duration | None = Field(default=None, description="Also train on this fixed schedule.")


Alert = Literal["quality", "unavailable", "drift", "data_fault", "stale_features", "rollout", "retraining"]


class AlertsSection(Section):
    """Who is told what."""

    page: tuple[Alert, ...] = Field(default=(), description="Alerts that wake somebody.")
    tell: tuple[Alert, ...] = Field(default=(), description="Alerts that are only told.")
    to: tuple[SecretRef, ...] = Field(default=(), description="Webhooks, as secret references.")


class SigningSection(Section):
    """Whose signatures a version needs."""

    threshold: int = Field(default=1, ge=1, le=10, description="Trusted signatures that a version needs.")


class RetentionSection(Section):
    """How long records are kept."""

    predictions: Duration = Field(default="184d", description="How long logged predictions are kept.")


class SecuritySection(Section):
    """Signing, budgets and personal data."""

    signing: SigningSection = Field(default_factory=SigningSection, description="Whose signatures a version needs.")
    query_budget: Rate | None = Field(default=None, description="Most rows one client may ask for in a period.")
    personal: Columns = Field(default=(), description="Columns that hold personal data.")
    retention: RetentionSection = Field(default_factory=RetentionSection, description="How long records are kept.")


class DeliverySection(Section):
    """Where the project's repository and images are, and what builds them; `render` needs it for GitOps and CI."""

    repository: Repository | None = Field(default=None, description="The git repository that clusters follow.")
    branch: Branch = Field(default="main", description="The branch that releases are committed to.")
    remote: Name | None = Field(
        default=None,
        description="Git remote that release commits are pushed to before they count; left out: origin with ci.",
    )
    registry: Registry | None = Field(default=None, description="Where images are pushed, without tag or digest.")
    base: Image | None = Field(default=None, description="Base image of the images, by digest.")
    ci: Literal["github", "gitlab"] | None = Field(default=None, description="Whose pipelines to write.")
    login: Literal["token", "dockerhub"] = Field(
        default="token", description="How a pipeline logs in to the registry: its own token, or Docker Hub secrets."
    )
    secrets: Secrets | None = Field(
        default=None,
        description="What brings secrets from Vault into the cluster; left out: external-secrets where a reference "
        "names Vault, else they are made by hand.",
    )
    vault: VaultSection = Field(default_factory=VaultSection, description="The Vault that secrets come from.")
    tracking: TrackingSection | None = Field(default=None, description="MLflow behind an authorising proxy.")
    database: DatabaseSection | None = Field(default=None, description="PostgreSQL with pgvector in the cluster.")


class ReplicaRange(Section):
    """Bounds of autoscaling."""

    min: int = Field(ge=0, le=10_000, description="Fewest replicas.")
    max: int = Field(ge=1, le=10_000, description="Most replicas.")


Where = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[A-Za-z0-9_.:/@#?=&%+-]+$")]


class StoresSection(Section):
    """Where an environment keeps its state. Addresses with credentials are secret references."""

    ledger: Where | None = Field(default=None, description="Database of the ledger.")
    models: Where | None = Field(default=None, description="Store of signed models.")
    tables: Where | None = Field(default=None, description="Store of snapshots.")
    online: Where | None = Field(
        default=None, description="Redis with features by key: redis://host:port, rediss:// or a secret reference."
    )
    tracking: Where | None = Field(default=None, description="MLflow server.")
    metrics: Where | None = Field(
        default=None, description="Pushgateway that `watch` tells its findings; with a scheduler the rendered one."
    )


class EnvironmentSection(ReachedSection):
    """One place where the model serves."""

    platform: Platform = Field(default="local", description="What runs the server.")
    serverless: bool = Field(default=False, description="Under kserve: Knative runs the server, not a Deployment.")
    seldon: Literal["v1", "v2"] = Field(default="v1", description="Under seldon: Seldon Core 1 or 2.")
    network: NetworkSection = Field(
        default_factory=NetworkSection, description="Who may call the server, and where it may go."
    )
    replicas: Annotated[
        Annotated[Annotated[int, Field(ge=0, le=10_000)], NUMBER] | Annotated[ReplicaRange, MAPPING], FORM
    ] = Field(default=1, description="Number of servers, or {min, max}.")
    scheduler: Literal["cronworkflow", "cronjob"] | None = Field(
        default=None, description="What runs `watch` on a schedule in the cluster: one of them, never both."
    )
    schedule: Cron | None = Field(
        default=None, description="Cron fields on which `watch` runs; left out: made from monitoring.every."
    )
    image: Image | None = Field(default=None, description="Serving image, by digest.")
    steps_image: Image | None = Field(default=None, description="Image of the training steps, by digest.")
    stores: StoresSection = Field(default_factory=StoresSection, description="Where this environment keeps its state.")
    data_claim: Name | None = Field(
        default=None, description="PersistentVolumeClaim with the sources' files, mounted at the project's `data/`."
    )


class ProjectFile(Section):
    """Every rule of one model's life."""

    version: Literal[1] = Field(description="Version of this format: 1.")
    project: Name = Field(description="Name of the project and of its model.")
    description: Text = Field(default="", description="The question that the model answers, in a sentence.")
    owner: Text = Field(default="", description="Who answers for the model.")
    data: DataSection = Field(description="Where data comes from and what it must look like.")
    ask: AskSection = Field(description="The question: about which key, at which time.")
    features: dict[Name, Feature] = Field(
        min_length=1, description="What the model may know when it is asked, by name."
    )
    target: TargetSection = Field(description="What the model predicts.")
    training: TrainingSection = Field(description="How candidates are made.")
    gates: tuple[GateEntry, ...] = Field(default=(), description="What a candidate must show before it is released.")
    release: ReleaseSection = Field(default_factory=ReleaseSection, description="How a passed version is released.")
    monitoring: MonitoringSection = Field(default_factory=MonitoringSection, description="What is watched.")
    retraining: RetrainingSection = Field(default_factory=RetrainingSection, description="When to train again.")
    alerts: AlertsSection = Field(default_factory=AlertsSection, description="Who is told what.")
    security: SecuritySection = Field(default_factory=SecuritySection, description="Signing, budgets, personal data.")
    delivery: DeliverySection = Field(
        default_factory=DeliverySection, description="Repository, images and pipelines; for `render`."
    )
    environments: dict[Name, EnvironmentSection] = Field(
        default_factory=lambda: {"local": EnvironmentSection()}, description="Where the model serves, by name."
    )
