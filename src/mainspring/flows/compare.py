"""Compare what policies scored on the same stream: the numbers of the report, from what was logged and came true.

Every policy answered the same questions once; rows are paired by (key, asked_at) and resampled by whole days.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mainspring.flows.chronicle import chronicle, drift_by_week, rollouts
from mainspring.kernel.errors import RunFailed
from mainspring.kernel.events import Event
from mainspring.kernel.times import DAY
from mainspring.stats.bootstrap import bootstrap_difference
from mainspring.stats.columns import Columns, length
from mainspring.stats.intervals import block_interval
from mainspring.stats.metrics import log_losses, roc_auc

_WEEK = 7 * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRun:
    """One policy's replay: what it answered with what came true, and its ledger.

    scored: key, asked_at (int64 us), value (0 or 1), served (the score that the client got), one row a question.
    train_seconds: recorded seconds of its trainings, shared or not.
    """

    name: str
    title: str
    scored: Columns
    events: Sequence[Event]
    train_seconds: float


def compare(runs: Sequence[PolicyRun], *, start: int) -> dict[str, Any]:
    """Return the report's `policies` and `comparison` for runs over the same stream from `start` on.

    Counts speak of what happened after `start`: the first model, which every policy shares, is not among them.
    """
    aligned = _aligned(runs)
    by_name = {run.name: run for run in aligned}
    never = by_name.get("never")
    policies = [policy_numbers(run, never if run is not never else None, start) for run in aligned]
    return {"policies": policies, "comparison": {"mainspring_vs_equal": _against_equal(by_name)}}


def _against_equal(runs: Mapping[str, PolicyRun]) -> dict[str, float] | None:
    ours, equal = runs.get("mainspring"), runs.get("scheduled_equal")
    return difference(ours, equal) if ours and equal else None


def difference(run: PolicyRun, other: PolicyRun) -> dict[str, float]:
    """Return run minus other in mean log loss with its 95 % interval, paired by row, resampled by day."""
    found = bootstrap_difference(_losses(run), _losses(other), _days(run.scored))
    return {"difference": found.difference, "low": found.low, "high": found.high}


def policy_numbers(run: PolicyRun, never: PolicyRun | None, start: int) -> dict[str, Any]:
    """Return one policy's part of the report; `never` is the run to compare with, or None."""
    losses, days = _losses(run), _days(run.scored)
    mean = block_interval(losses, days)
    during = [event for event in run.events if event.at > start]
    return {
        "name": run.name,
        "title": run.title,
        "rows": length(run.scored),
        "log_loss": mean.mean,
        "low": mean.low,
        "high": mean.high,
        "roc_auc": roc_auc(run.scored["value"], run.scored["served"]),
        "trainings": _count(during, "run.finished"),
        "promoted": _count(during, "release.finished"),
        "refused": _count(during, "gate.refused"),
        "rolled_back": _count(during, "release.aborted"),
        "train_seconds": run.train_seconds,
        "vs_never": difference(run, never) if never else None,
        "weekly": _weekly(run, losses, start),
        "events": chronicle(run.events),
        "drift": drift_by_week(run.events, start),
        "rollouts": rollouts(run.events),
    }


def _count(events: Sequence[Event], kind: str) -> int:
    return sum(event.kind == kind for event in events)


def _weekly(run: PolicyRun, losses: np.ndarray[Any, Any], start: int) -> list[dict[str, Any]]:
    weeks = (run.scored["asked_at"] - start) // _WEEK
    found = []
    for week in np.unique(weeks):
        rows = weeks == week
        mean = block_interval(losses[rows], _days(run.scored)[rows])
        wide = np.isfinite(mean.low)
        found.append(
            {
                "week": int(start + week * _WEEK),
                "rows": int(rows.sum()),
                "log_loss": mean.mean,
                "low": mean.low if wide else None,
                "high": mean.high if wide else None,
            }
        )
    return found


def _losses(run: PolicyRun) -> np.ndarray[Any, Any]:
    return log_losses(run.scored["value"], run.scored["served"])


def _days(scored: Columns) -> np.ndarray[Any, Any]:
    days: np.ndarray[Any, Any] = scored["asked_at"] // DAY
    return days


def _aligned(runs: Sequence[PolicyRun]) -> list[PolicyRun]:
    ordered = [_in_order(run) for run in runs]
    for run in ordered[1:]:
        first = ordered[0]
        if not all(np.array_equal(run.scored[name], first.scored[name]) for name in ("key", "asked_at", "value")):
            raise RunFailed(
                f"policy {run.name} answered other questions than {first.name}",
                fix="replay one stream",
            )
    return ordered


def _in_order(run: PolicyRun) -> PolicyRun:
    order = np.lexsort((run.scored["key"].astype(str), run.scored["asked_at"]))
    scored = {name: values[order] for name, values in run.scored.items()}
    return PolicyRun(name=run.name, title=run.title, scored=scored, events=run.events, train_seconds=run.train_seconds)
