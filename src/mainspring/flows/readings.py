"""What the last looks found, as numbers for a monitoring system: read from the ledger, never made up.

A value that is not known has no reading: a window with too few rows shows no drift, none at all. Each group carries the
time it speaks of, so that an old number can be told from a fresh one. Label values come from closed sets (columns of
the model, kinds of events, views), and of columns only the `COLUMNS` most drifted are told. Start at `readings`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mainspring.deliver.rollout import PATIENCE
from mainspring.flows.chronicle import emergency_of
from mainspring.flows.memory import Memory, remembered
from mainspring.flows.watch_ports import WatchPlan
from mainspring.kernel.events import Event
from mainspring.kernel.times import SECOND
from mainspring.observe.readings import Reading

COLUMNS = 200
KINDS = (
    "gate.refused", "log.damaged", "release.aborted", "release.advanced", "release.edited", "release.finished",
    "release.promoted", "release.rolled_back", "retrain.declined", "retrain.started", "run.failed", "run.finished",
    "run.started", "window.judged",
)  # fmt: skip
_QUALITY = {
    "value": ("loss", "Mean loss of matured answers"), "low": ("loss_low", "Its 95 % interval, lower end"),
    "high": ("loss_high", "Its 95 % interval, upper end"),
    "baseline": ("baseline", "Mean loss that the scores expected of themselves"),
    "excess": ("excess", "Loss above the baseline"), "excess_low": ("excess_low", "Its one-sided 95 % lower bound"),
    "margin": ("margin", "Excess that is tolerated"), "rows": ("rows", "Matured rows that were judged"),
}  # fmt: skip
_Numbers = Mapping[str, tuple[str, float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How far a view is materialised. until: UTC microseconds. limit: microseconds after which it is too old."""

    view: str
    until: int
    limit: int


def readings(plan: WatchPlan, events: Sequence[Event], fresh: Sequence[Freshness], *, now: int) -> list[Reading]:
    """Return what is known at `now` (UTC microseconds) of the plan's environment, by name.

    events: the whole ledger, oldest first.
    """
    whose = {"model": plan.model, "environment": plan.environment}
    mine = [event for event in events if all(event.body.get(key, value) == value for key, value in whose.items())]
    windows = [event for event in mine if event.kind == "window.judged"]
    memory = remembered(mine, plan.environment)
    found = [
        *_told({"look_timestamp_seconds": ("When watch last looked", now / SECOND)}),
        *_told({"emergency": ("1 while a version serves that skipped the rules", _skipped(mine, plan))}),
        *_counts(mine),
        *(_window(windows[-1].body) if windows else ()),
        *_trial(plan, memory, mine),
        *_budget(plan, memory, now),
        *_fresh(fresh),
    ]
    return [
        Reading(name=f"mainspring_watch_{r.name}", text=r.text, value=r.value, labels=whose | r.labels, grows=r.grows)
        for r in sorted(found, key=lambda r: r.name)
    ]


def _told(numbers: _Numbers, labels: Mapping[str, str] | None = None) -> list[Reading]:
    return [
        Reading(name=name, text=text, value=float(value), labels=labels or {})
        for name, (text, value) in numbers.items()
        if value is not None
    ]


def _skipped(events: Sequence[Event], plan: WatchPlan) -> bool:
    return bool(emergency_of(events, plan.environment))


def _counts(events: Sequence[Event]) -> Iterator[Reading]:
    """Count what happened; a kind that never did is told as 0, so that its first time is an increase."""
    for kind in KINDS:
        number = float(sum(event.kind == kind for event in events))
        yield Reading(name="events", text="Events of the ledger", value=number, labels={"kind": kind}, grows=True)
    steps = [event.body for event in events if event.kind == "step.finished"]
    spent = float(sum(body["seconds"] for body in steps if not body["reused"]))
    yield Reading(
        name="training_seconds", text="What the steps of trainings took, reused ones left out", value=spent, grows=True
    )


def _window(body: Mapping[str, Any]) -> Iterator[Reading]:
    yield from _told({
        "window_end_timestamp_seconds": ("End of the last window judged", body["end"] / SECOND),
        "window_rows": ("Rows answered in the last window", body["rows"]),
        "window_matured_rows": ("Rows of the last window whose outcome is known", body["matured"]),
        "data_faults": ("Inputs of the last window that are broken", len(body["faults"])),
    })  # fmt: skip
    quality, columns = body["quality"], body["columns"]
    for signal, judged in (("output_drift", columns), ("quality", quality)):
        if judged:
            text = "1 when the last window showed it"
            yield from _told({"signal": (text, signal in body["signals"])}, {"signal": signal})
    if quality:
        yield from _told({f"quality_{_QUALITY[key][0]}": (_QUALITY[key][1], quality[key]) for key in _QUALITY})
    if columns:
        yield from _told({"drifted_columns": ("Inputs that drifted in the last window", len(body["drifted"]))})
    for column in sorted(columns, key=_calmness)[:COLUMNS]:
        yield from _told(
            {
                "column_psi": ("Population stability index of the last window", column["psi"]),
                "column_psi_limit": ("The index above which it counts as drifted", column["threshold"]),
                "column_drifted": ("1 when the column drifted", column["drifted"]),
            },
            {"column": column["name"]},
        )


def _calmness(column: Mapping[str, Any]) -> tuple[bool, float, str]:
    return not column["drifted"], -(column["psi"] or 0.0), column["name"]


def _trial(plan: WatchPlan, memory: Memory, events: Sequence[Event]) -> Iterator[Reading]:
    trial = memory.trial
    if trial is None:
        return
    judged = [e for e in events if e.kind == "rollout.judged" and e.subject == trial.digest and e.at >= trial.started]
    paired = (judged[-1].body["paired"] or {}) if judged else {}
    yield from _told({
        "trial_weight": ("Percent of askers that the challenger answers", trial.weight),
        "trial_rows": ("Rows that the challenger scored at this step", trial.rows),
        "trial_failed_rows": ("Rows of these that it failed", trial.failed),
        "trial_started_timestamp_seconds": ("When the rollout began", trial.started / SECOND),
        "trial_step_timestamp_seconds": ("When its present step began", trial.entered_at / SECOND),
        "trial_patience_seconds": ("How long a step may take before it is stuck", _patience_s(plan, events)),
        "trial_loss_difference": ("Paired loss, challenger minus champion", paired.get("difference")),
        "trial_loss_difference_low": ("Its 95 % interval, lower end", paired.get("low")),
        "trial_loss_difference_high": ("Its 95 % interval, upper end", paired.get("high")),
        "trial_loss_margin": ("Difference that is tolerated", plan.margin),
    })  # fmt: skip


def _patience_s(plan: WatchPlan, events: Sequence[Event]) -> float | None:
    """Return how long a step may take: two holds and a tick; None where the weights are fixed for good."""
    moves = [event for event in events if event.kind.startswith("release.")]
    if (moves[-1].body["challenger"] or {}).get("mode") in ("ab", "bandit"):
        return None
    return (PATIENCE * plan.rollout.hold + plan.monitoring.every) / SECOND


def _budget(plan: WatchPlan, memory: Memory, now: int) -> list[Reading]:
    if plan.retraining.budget is None:
        return []
    runs, period = plan.retraining.budget
    spent = sum(now - period < started <= now for started in memory.trainings)
    return _told({
        "budget_runs": ("Trainings that the budget allows in its period", runs),
        "budget_spent_runs": ("Trainings of the present period", spent),
    })  # fmt: skip


def _fresh(fresh: Sequence[Freshness]) -> Iterator[Reading]:
    for view in fresh:
        yield from _told(
            {
                "features_timestamp_seconds": ("Time up to which the view is complete", view.until / SECOND),
                "features_limit_seconds": ("Age from which the view is stale", view.limit / SECOND),
            },
            {"view": view.view},
        )
