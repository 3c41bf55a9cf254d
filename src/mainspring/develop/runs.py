"""What a training is asked to do and what a run is: plain records that travel as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from mainspring.kernel.contract import Runtime

RUN_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """How candidates are made.

    function: `package.module:name` of `fit(frame, target, params) -> estimator`.
    window: microseconds of history to learn from, or None for all of it. holdout: microseconds kept for judging.
    params: passed to the function. slices: feature columns by which evidence is broken down; `carrier` means the
    one feature `<view>.carrier`. epsilons: standard deviations by which gates want numbers moved (the largest counts).
    runtime: what models run as. trust: types that a model which runs as Python may contain.
    loss, confidence: of the comparison with the champion. min_rows: fewest rows to learn from; a tenth to judge on.
    """

    function: str
    window: int | None
    holdout: int
    params: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    slices: tuple[str, ...] = ()
    epsilons: tuple[float, ...] = ()
    loss: Literal["log_loss", "brier"] = "log_loss"
    confidence: float = 0.95
    min_rows: int = 100
    runtime: Runtime = "onnx"
    trust: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One training: everything that decides its result, by digest, and why it was started.

    at: the moment it looks back from, UTC microseconds. definitions: `data.views.to_json`.
    code: digest of source, lock, Python minor and mainspring version; commit and dirty are recorded beside it.
    champion: digest of the model to compare with, or "". personal: columns with personal data.
    locks: step -> digest of the packages that it must find installed, for steps that have a lock.
    """

    id: str
    model: str
    at: int
    snapshot: str
    definitions: Mapping[str, Any]
    training: TrainingPlan
    code: str
    champion: str = ""
    reason: str = ""
    commit: str = ""
    dirty: bool = False
    personal: tuple[str, ...] = ()
    locks: Mapping[str, str] = field(default_factory=dict)
    schema: int = RUN_SCHEMA

    def with_params(self, params: Mapping[str, str | int | float | bool]) -> "Run":
        """Return the run with some parameters set."""
        return replace(self, training=replace(self.training, params={**self.training.params, **params}))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON that `read_run` reads back."""
        return asdict(self)


def read_run(raw: Mapping[str, Any]) -> Run:
    """Read what `Run.to_json` wrote."""
    plan = dict(raw["training"])
    plan["slices"] = tuple(plan.get("slices", ()))
    plan["trust"] = tuple(plan.get("trust", ()))
    plan["confidence"] = float(plan.get("confidence", 0.95))
    plan["epsilons"] = tuple(float(value) for value in plan.get("epsilons", ()))
    return Run(**{**raw, "training": TrainingPlan(**plan), "personal": tuple(raw.get("personal", ()))})
