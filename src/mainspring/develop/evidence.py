"""Measure a candidate on the holdout: the facts that gates judge. Pure, no verdict here.

Days are UTC days of the ask, for errors of one day go together (docs/studies/flights.md). A number that is
undefined, such as the AUC of one class, is null: no gate accepts null.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mainspring.develop.errors import ChampionMismatch
from mainspring.develop.ports import Scorer
from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.times import DAY
from mainspring.stats import metrics
from mainspring.stats.columns import Array, Columns, Floats, is_null, take
from mainspring.stats.intervals import block_interval
from mainspring.stats.paired import paired_difference

Loss = Literal["log_loss", "brier"]
THRESHOLD = 0.5
NO_VALUE = "(none)"
MAX_SLICES = 200
_ROBUST_DRAWS = 3
_ROBUST_ROWS = 20_000
_LOSSES = {"log_loss": metrics.log_losses, "brier": metrics.brier_losses}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Holdout rows with one model's answers. target: 0 or 1; scores: P(1); asked_at: int64 us."""

    target: Floats
    scores: Floats
    asked_at: Array

    @property
    def days(self) -> Array:
        """The UTC day number of each row."""
        return self.asked_at // DAY


def measure(judged: Judged) -> dict[str, Any]:
    """Return {"rows", "days", "metrics", "intervals"}: metrics of all rows, losses with 95 % intervals by day."""
    target, scores = judged.target, judged.scores
    losses = {"log_loss": metrics.log_losses(target, scores), "brier": metrics.brier_losses(target, scores)}
    intervals = {name: block_interval(values, judged.days) for name, values in losses.items()}
    return {
        "rows": len(target),
        "days": len(np.unique(judged.days)),
        "metrics": {
            "log_loss": metrics.log_loss(target, scores),
            "roc_auc": finite(metrics.roc_auc(target, scores)),
            "pr_auc": finite(metrics.pr_auc(target, scores)),
            "brier": metrics.brier(target, scores),
            "ece": metrics.calibration_error(target, scores),
        },
        "intervals": {
            name: {"mean": found.mean, "low": finite(found.low), "high": finite(found.high), "blocks": found.blocks}
            for name, found in intervals.items()
        },
    }


def compare(judged: Judged, champion: Floats, digest: str, *, loss: Loss, confidence: float) -> dict[str, Any]:
    """Return {"digest", "paired": {metric, confidence, difference, ...}, "metrics"}: candidate minus champion."""
    target = judged.target
    losses = [_LOSSES[loss](target, scores) for scores in (judged.scores, champion)]
    paired = paired_difference(losses[0], losses[1], judged.days, confidence).to_json()
    return {
        "digest": digest,
        "paired": {"metric": loss, "confidence": confidence, **paired},
        "metrics": {
            "log_loss": metrics.log_loss(target, champion),
            "roc_auc": finite(metrics.roc_auc(target, champion)),
        },
    }


def slices(judged: Judged, columns: Columns, names: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return {column: {value: {rows, positives, roc_auc, log_loss, ..., tpr, positive_rate}}}, most rows first.

    names: feature columns, whole or by their last part. tpr, fpr and positive_rate count scores of at least 0.5 as
    positive. Raises `InvalidValue` for an unknown or ambiguous name, or a column of more than 200 values.
    """
    return {name: _by_value(judged, columns[feature_named(name, columns)], name) for name in names}


def feature_named(name: str, columns: Columns) -> str:
    """Return the feature called `name` or ending in `.name`."""
    if name in columns:
        return name
    found = [feature for feature in columns if feature.partition(".")[2] == name]
    if len(found) == 1:
        return found[0]
    known = ", ".join(found or sorted(columns))
    raise InvalidValue(f"slice {name!r} names {len(found)} features", fix=f"use one of: {known}")


def equality(original: Floats, converted: Floats) -> dict[str, Any]:
    """Return {"rows", "worst", "off"}: how far the converted model is from the original; `off` counts > 1e-5."""
    gap = np.abs(original - converted)
    gap = np.where(np.isnan(gap), np.inf, gap)
    worst = float(gap.max()) if len(gap) else math.inf
    return {"rows": len(gap), "worst": finite(worst), "off": int((gap > 1e-5).sum())}


def robustness(judged: Judged, columns: Columns, scorer: Scorer, epsilon: float) -> dict[str, Any]:
    """Return {"epsilon", "accuracy", "clean", "rows"}: the worst accuracy of a few moved copies of the holdout.

    Every number moves by a uniform draw of at most epsilon of its standard deviations (fixed seed, at most 20,000
    rows evenly spread). Noise, not an attack: an upper bound on what an adversary would leave.
    """
    step = max(1, len(judged.target) // _ROBUST_ROWS)
    rows = np.arange(0, len(judged.target), step)
    target, base = judged.target[rows], take(columns, rows)
    moved = [_accuracy(target, scorer(_moved(base, epsilon, seed))) for seed in range(_ROBUST_DRAWS)]
    clean = _accuracy(target, judged.scores[rows])
    return {"epsilon": epsilon, "accuracy": min(moved), "clean": clean, "rows": len(rows)}


def require_features(needed: Sequence[str], columns: Mapping[str, Any], digest: str) -> None:
    """Raise `ChampionMismatch` when the champion needs a feature that `columns` lacks."""
    missing = [name for name in needed if name not in columns]
    if missing:
        raise ChampionMismatch(
            f"champion {digest} reads {', '.join(missing[:5])}, which the project no longer defines",
            fix="keep those features until a model without them is champion",
        )


def finite(value: float) -> float | None:
    """Return the value, or None where it is not a finite number."""
    return float(value) if math.isfinite(value) else None


def _by_value(judged: Judged, values: Array, name: str) -> dict[str, dict[str, Any]]:
    null = is_null(values)
    texts = np.asarray([NO_VALUE if gone else _text(value) for value, gone in zip(values, null, strict=True)])
    labels, places, counts = np.unique(texts, return_inverse=True, return_counts=True)
    if len(labels) > MAX_SLICES:
        raise InvalidValue(
            f"slice {name!r} has {len(labels)} values; at most {MAX_SLICES} are judged", fix="slice by a coarser column"
        )
    order = np.argsort(-counts, kind="stable")
    return {str(labels[i]): _slice(judged, np.flatnonzero(places == i)) for i in order}


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _slice(judged: Judged, rows: Array) -> dict[str, Any]:
    target, scores = judged.target[rows], judged.scores[rows]
    said = scores >= THRESHOLD
    return {
        "rows": len(rows),
        "positives": int(target.sum()),
        "log_loss": metrics.log_loss(target, scores),
        "brier": metrics.brier(target, scores),
        "roc_auc": finite(metrics.roc_auc(target, scores)),
        "pr_auc": finite(metrics.pr_auc(target, scores)),
        "tpr": _share(said[target == 1]),
        "fpr": _share(said[target == 0]),
        "positive_rate": _share(said),
    }


def _share(flags: Array) -> float | None:
    return float(flags.mean()) if len(flags) else None


def _accuracy(target: Floats, scores: Floats) -> float:
    return float(((scores >= THRESHOLD) == (target == 1)).mean())


def _moved(columns: Columns, epsilon: float, seed: int) -> Columns:
    random = np.random.default_rng(seed)
    moved = {}
    for name, values in columns.items():
        if values.dtype == object:
            moved[name] = values
            continue
        spread = float(np.nanstd(values)) if not np.isnan(values).all() else 0.0
        moved[name] = values + random.uniform(-epsilon, epsilon, len(values)) * spread
    return moved
