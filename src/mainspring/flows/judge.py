"""Judge the window that has just closed: drift against the champion's own training, quality of matured answers."""

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from mainspring.flows.watch_ports import ACTOR, WatchPlan, WatchPorts
from mainspring.kernel.events import Draft
from mainspring.kernel.times import DAY
from mainspring.observe.drift.judgement import ColumnDrift, DriftReport, judge_drift
from mainspring.observe.policy import Signals
from mainspring.observe.ports import SCORE
from mainspring.observe.profiles import add_up
from mainspring.observe.quality import Quality, judge_quality
from mainspring.observe.windows import tick_of, window_ticks

OUTPUT = "output"
_DIGITS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One window's findings and the event that will tell them."""

    end: int
    drift: DriftReport
    quality: Quality
    signals: Signals
    champion: str
    environment: str

    def draft(self, decision: str, new_labels: int | None = None) -> Draft:
        """Return the `window.judged` event; `decision` is what followed from it, None: labels were not counted."""
        drift, quality = self.drift, self.quality
        columns = [*drift.columns, *([drift.output] if drift.output else [])]
        body: dict[str, Any] = {
            "environment": self.environment,
            "end": self.end,
            "rows": drift.rows,
            "columns": [_cell(column, drift.output) for column in columns],
            "drifted": list(drift.drifted),
            "faults": [fault.what for fault in drift.faults],
            "signals": [name for name in ("output_drift", "quality") if getattr(self.signals, name)],
            "quality": quality.to_json() if quality.judged else None,
            "matured": quality.rows,
            "decision": decision,
            **({} if new_labels is None else {"new_labels": new_labels}),
        }
        return Draft(kind="window.judged", subject=self.champion, actor=ACTOR, body=body)


def judge_window(plan: WatchPlan, champion: str, ports: WatchPorts, *, now: int) -> Judged:
    """Judge the window that ends with the last whole tick."""
    monitoring = plan.monitoring
    end = tick_of(now, monitoring.every)
    drift = _drift(plan, champion, ports, now)
    quality = _quality(plan, champion, ports, end, now)
    faults = tuple(fault.what for fault in drift.faults)
    signals = Signals(at=end, output_drift=drift.output_drifted, quality=quality.worse, faults=faults)
    return Judged(
        end=end, drift=drift, quality=quality, signals=signals, champion=champion, environment=plan.environment
    )


def _drift(plan: WatchPlan, champion: str, ports: WatchPorts, now: int) -> DriftReport:
    """Judge the window's profiles, if the champion answered since the window's first day: part of a week is no week."""
    reference = ports.references(champion)
    ticks = list(window_ticks(now, plan.monitoring.window, plan.monitoring.every))
    if reference is None:
        return DriftReport(rows=0, judged=False)
    found = ports.observations.profiles(champion, ticks)
    window = add_up(reference, found.values())
    first_day = {tick for tick in ticks if tick < ticks[0] + DAY}
    if not first_day & found.keys():
        return DriftReport(rows=window.rows, judged=False)
    return judge_drift(reference, window, plan.monitoring.drift)


def _quality(plan: WatchPlan, champion: str, ports: WatchPorts, end: int, now: int) -> Quality:
    """Judge what the present champion said (on trial or in charge) about questions old enough to be known."""
    monitoring = plan.monitoring
    last = end - monitoring.label_delay
    rows = ports.observations.matured(last - monitoring.window, last, now)
    scores = rows.get(SCORE + champion, np.full(len(rows["value"]), np.nan))
    known = np.isfinite(scores)
    return judge_quality(
        rows["value"][known], scores[known], rows["asked_at"][known], metric=monitoring.quality_metric,
        margin=plan.margin,
    )  # fmt: skip


def _cell(column: ColumnDrift, output: ColumnDrift | None) -> dict[str, Any]:
    name = OUTPUT if column is output else column.name
    numbers = {"psi": column.psi, "p": column.p, "threshold": column.threshold}
    shown = {key: round(value, _DIGITS) if isfinite(value) else None for key, value in numbers.items()}
    return {"name": name, **shown, "drifted": column.drifted}
