"""The report's input: its shape as typed dictionaries, and `complete`, which makes any part of it safe to draw.

Times are integer UTC microseconds; differences are this policy minus the other, so below zero is better; intervals are
95 % unless a note says otherwise. Every key may be missing and every number may be null: the page then says so.

Words: a *policy* is a rule for retraining, judged on the same stream; a *rollout* is a challenger's way through a
canary; the *drill* is the injected bad challenger that only matured quality can find.
"""

from typing import TypedDict

OUTPUT = "output"
"""The name of the drift column that holds the model's own scores; it is drawn on top."""

EVENT_KINDS = (
    "trained",
    "gate_refused",
    "canary_step",
    "promoted",
    "rolled_back",
    "drift_found",
    "retrain_refused",
)
"""What `Event.kind` may say; any other kind is drawn as a plain dot under its own name."""


class Difference(TypedDict):
    """A paired mean difference of log loss with its interval."""

    difference: float | None
    low: float | None
    high: float | None


class Week(TypedDict):
    """A policy's mean log loss over the rows asked in the week that starts at `week`."""

    week: int | None
    rows: int | None
    log_loss: float | None
    low: float | None
    high: float | None


class Event(TypedDict):
    """Something that happened under a policy; `kind` is one of `EVENT_KINDS`."""

    at: int | None
    kind: str
    title: str
    detail: str
    version: int | None


class Drift(TypedDict):
    """Population stability by column and week: `psi[i][j]` and `drifted[i][j]` belong to `columns[i]`, `weeks[j]`."""

    weeks: list[int]
    columns: list[str]
    psi: list[list[float | None]]
    drifted: list[list[bool]]


class Step(TypedDict):
    """From `at` on, the challenger received `weight` percent of the requests."""

    at: int | None
    weight: int | None


class Paired(TypedDict):
    """Challenger minus champion log loss on the rows matured by `at`."""

    at: int | None
    difference: float | None
    low: float | None
    high: float | None


class Rollout(TypedDict):
    """A challenger's canary; `outcome` is promoted, rolled_back, refused or open, `reason` the rule's own words."""

    version: int | None
    started: int | None
    steps: list[Step]
    ended: int | None
    outcome: str
    reason: str
    paired: list[Paired]


class Policy(TypedDict):
    """What one retraining policy scored and did; `name` is never, scheduled, scheduled_equal or mainspring."""

    name: str
    title: str
    rows: int | None
    log_loss: float | None
    low: float | None
    high: float | None
    roc_auc: float | None
    trainings: int | None
    promoted: int | None
    refused: int | None
    rolled_back: int | None
    train_seconds: float | None
    vs_never: Difference | None
    weekly: list[Week]
    events: list[Event]
    drift: Drift
    rollouts: list[Rollout]


class Drill(Policy):
    """A policy's record with a `story`: what was broken on purpose, and what found it, a sentence an item."""

    story: list[str]


class Period(TypedDict):
    """The scored time: start included, end excluded."""

    start: int | None
    end: int | None


class Comparison(TypedDict):
    """Mainspring's policy minus the schedule with as many trainings, on the same rows."""

    mainspring_vs_equal: Difference | None


class Link(TypedDict):
    """A link of a prediction's lineage, the prediction first: its kind, its identifier, a remark."""

    kind: str
    id: str
    detail: str


class Report(TypedDict):
    """All a report shows."""

    schema: int
    project: str
    question: str
    period: Period
    generated_at: int | None
    versions: dict[str, str]
    policies: list[Policy]
    comparison: Comparison
    drill: Drill | None
    stages: dict[str, float]
    lineage: list[Link]
    notes: list[str]
