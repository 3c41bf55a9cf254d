"""Realised quality: what matured labels say about the scores that were served.

A hard season raises any model's loss, and retraining cannot help that. So the loss is compared with a *baseline a
row*: by default what the model expected of itself (the entropy of its score: a calibrated model loses that much on
average, in storms as in calm), or the gated holdout loss as one number. The signal is the lower bound of the excess,
in day blocks, above `margin`.
"""

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np

from mainspring.stats.blocks import Block, as_blocks
from mainspring.stats.columns import Array, Floats
from mainspring.stats.intervals import block_interval
from mainspring.stats.metrics import CLIP, brier_losses, log_losses

Metric = Literal["log_loss", "brier"]
MIN_ROWS = 500
MIN_DAYS = 5
MARGIN = 0.01
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """One window's realised quality.

    value, low, high: the mean loss and its 95 % interval by day. baseline: the mean expected. excess, excess_low:
    value above the baseline and its one-sided 95 % lower bound. judged: enough rows and days (500, 5).
    worse: judged, and excess_low is above margin. Not-finite numbers are None in JSON.
    """

    metric: Metric
    value: float
    low: float
    high: float
    baseline: float
    excess: float
    excess_low: float
    margin: float
    rows: int
    days: int
    judged: bool
    worse: bool

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON for the ledger."""
        return {name: _finite(value) for name, value in asdict(self).items()}


def losses(metric: Metric, target: Array, scores: Array) -> Floats:
    """Return the loss of each row."""
    return log_losses(target, scores) if metric == "log_loss" else brier_losses(target, scores)


def expected_losses(metric: Metric, scores: Array) -> Floats:
    """Return the loss that each score expects of itself: its entropy, or p (1 - p)."""
    p = np.clip(np.asarray(scores, np.float64), CLIP, 1 - CLIP)
    expected: Floats = p * (1 - p) if metric == "brier" else -(p * np.log(p) + (1 - p) * np.log1p(-p))
    return expected


def judge_quality(
    target: Array,
    scores: Array,
    asked_at: Array,
    *,
    metric: Metric = "log_loss",
    baseline: float | None = None,
    margin: float = MARGIN,
) -> Quality:
    """Judge the matured rows of a window (targets 0 or 1, finite scores, int64 UTC microseconds).

    baseline: None for what the model expects of itself, or one loss such as that of the gated holdout.
    """
    days = np.asarray(asked_at, np.int64) // DAY_US
    realised = losses(metric, target, scores)
    expected = expected_losses(metric, scores) if baseline is None else np.full(len(realised), baseline)
    shown = block_interval(realised, days)
    beyond = block_interval(realised - expected, days, 0.9)
    judged = shown.rows >= MIN_ROWS and shown.blocks >= MIN_DAYS
    return Quality(
        metric=metric, value=shown.mean, low=shown.low, high=shown.high,
        baseline=float(expected.mean()) if len(expected) else float("nan"), excess=beyond.mean,
        excess_low=beyond.low, margin=margin, rows=shown.rows, days=shown.blocks, judged=judged,
        worse=bool(judged and beyond.low > margin),
    )  # fmt: skip


def paired_blocks(
    target: Array, new_scores: Array, old_scores: Array, asked_at: Array, *, block: int, until: int
) -> tuple[Block, ...]:
    """Return new minus old log loss summed by blocks of `block` microseconds that ended by `until`.

    Rows that either model did not score (NaN) are left out. For a rollout: `until` is now minus the label delay.
    """
    at = np.asarray(asked_at, np.int64) // block
    kept = np.isfinite(new_scores) & np.isfinite(old_scores) & ((at + 1) * block <= until)
    gap = log_losses(target[kept], new_scores[kept]) - log_losses(target[kept], old_scores[kept])
    return as_blocks(gap, at[kept])


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not isfinite(value) else value
