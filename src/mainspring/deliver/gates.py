"""Gates: what a candidate must show before it may be released. Pure: evidence in, verdict out."""

from dataclasses import dataclass
from typing import Literal

Metric = Literal["log_loss", "roc_auc", "pr_auc", "brier"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionGate:
    """Non-inferiority: the one-sided bound of (candidate - champion) loss, in day blocks, is at most `margin`."""

    metric: Literal["log_loss", "brier"] = "log_loss"
    margin: float = 0.01
    confidence: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorGate:
    """`metric` is at least (for losses: at most) `bound`, overall or in every slice of `by` with `min_rows` rows."""

    metric: Metric
    bound: float
    by: str = ""
    min_rows: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyGate:
    """The exported model answers one row within `p99_us` microseconds at the 99th percentile."""

    p99_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FairnessGate:
    """The gap of `measure` between the groups of `by` stays below `gap_below`."""

    measure: Literal["equal_opportunity", "demographic_parity"]
    by: str
    gap_below: float
    min_rows: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustnessGate:
    """Accuracy stays at least `accuracy` when numbers move by up to `epsilon` standard deviations."""

    accuracy: float
    epsilon: float


Gate = ChampionGate | FloorGate | LatencyGate | FairnessGate | RobustnessGate
