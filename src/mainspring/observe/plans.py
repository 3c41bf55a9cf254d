"""What is watched and what follows from it: the monitoring and retraining sections, as records."""

from dataclasses import dataclass
from typing import Literal

Trigger = Literal["output_drift", "quality"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRule:
    """When a column counts as drifted.

    above: "usual" (a quantile of the week-to-week drift inside training) or a fixed PSI.
    false_discovery: Benjamini-Hochberg level over all columns of a window.
    """

    measure: Literal["psi"] = "psi"
    above: float | Literal["usual"] = "usual"
    false_discovery: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringPlan:
    """How often to look and how far back.

    every: microseconds of a tick. window: microseconds judged, a multiple of `every`.
    label_delay: microseconds until labels count as matured.
    """

    every: int
    window: int
    label_delay: int
    drift: DriftRule
    quality_metric: Literal["log_loss", "brier"] = "log_loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainPolicy:
    """When to retrain, and when not to.

    when: signals that count. persist: (k, n): k of the last n windows must show the signal.
    cooldown: microseconds between trainings. min_new_labels: labels that matured since the last training.
    budget: (runs, microseconds) or None. every: a fixed schedule in microseconds (0: none).
    at: fixed times, UTC microseconds. longest: microseconds that a training may take: one that began earlier and told
    no end is dead; 0 where none runs elsewhere.
    """

    when: tuple[Trigger, ...] = ()
    persist: tuple[int, int] = (1, 1)
    cooldown: int = 0
    min_new_labels: int = 0
    budget: tuple[int, int] | None = None
    every: int = 0
    at: tuple[int, ...] = ()
    longest: int = 0
