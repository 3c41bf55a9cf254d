"""Make a report whole: missing parts become empty, impossible numbers unknown, texts safe to show.

Escaping is the template's work; here control characters, direction overrides and lone surrogates go, since they could
reorder or hide what a reader sees even when escaped.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from mainspring.entry.console.report_data import (
    Comparison,
    Difference,
    Drift,
    Drill,
    Event,
    Link,
    Paired,
    Period,
    Policy,
    Report,
    Rollout,
    Step,
    Week,
)
from mainspring.kernel.errors import InvalidValue

T = TypeVar("T")
Raw = Mapping[str, Any]
SCHEMA = 1
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LAST_TIME = 253_370_764_800_000_000
"""The start of the year 9999 in UTC microseconds: later times are taken for mistakes."""
_LARGEST = 10**18
_ORDER = {name: i for i, name in enumerate(("never", "scheduled", "scheduled_equal", "mainspring"))}


def complete(report: Raw) -> Report:
    """Return the report with every key present; policies come in one order everywhere. Never changes its argument."""
    if report.get("schema", SCHEMA) != SCHEMA:
        raise InvalidValue(
            f"the report has schema {report['schema']!r:.20}",
            fix=f"write it with schema {SCHEMA}, or update mainspring",
        )
    policies = sorted(_each(report, "policies", _policy), key=lambda p: _ORDER.get(p["name"], len(_ORDER)))
    period, comparison, drill = _part(report, "period"), _part(report, "comparison"), report.get("drill")
    return Report(
        schema=SCHEMA,
        project=_text(report, "project"),
        question=_text(report, "question"),
        period=Period(start=_time(period, "start"), end=_time(period, "end")),
        generated_at=_time(report, "generated_at"),
        versions={clean(name): clean(value) for name, value in sorted(_part(report, "versions").items())},
        policies=policies,
        comparison=Comparison(mainspring_vs_equal=_difference(comparison.get("mainspring_vs_equal"))),
        drill=_drill(drill) if isinstance(drill, Mapping) and drill else None,
        stages={clean(name): _real(value) or 0.0 for name, value in _part(report, "stages").items()},
        lineage=_each(report, "lineage", _link),
        notes=[clean(note) for note in _list(report, "notes")],
    )


def clean(value: object) -> str:
    """Return the value as text without characters that cannot be seen; None is empty."""
    return "" if value is None else _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", str(value))


def _policy(raw: Raw) -> Policy:
    return Policy(
        name=_text(raw, "name"),
        title=_text(raw, "title") or _text(raw, "name").replace("_", " ") or "unnamed",
        rows=_whole(raw.get("rows")),
        log_loss=_real(raw.get("log_loss")),
        low=_real(raw.get("low")),
        high=_real(raw.get("high")),
        roc_auc=_real(raw.get("roc_auc")),
        trainings=_whole(raw.get("trainings")),
        promoted=_whole(raw.get("promoted")),
        refused=_whole(raw.get("refused")),
        rolled_back=_whole(raw.get("rolled_back")),
        train_seconds=_real(raw.get("train_seconds")),
        vs_never=_difference(raw.get("vs_never")),
        weekly=sorted((w for w in _each(raw, "weekly", _week) if w["week"] is not None), key=lambda w: w["week"] or 0),
        events=sorted((e for e in _each(raw, "events", _event) if e["at"] is not None), key=lambda e: e["at"] or 0),
        drift=_drift(_part(raw, "drift")),
        rollouts=_each(raw, "rollouts", _rollout),
    )


def _drill(raw: Raw) -> Drill:
    return Drill(**_policy(raw), story=[clean(line) for line in _list(raw, "story")])


def _difference(raw: object) -> Difference | None:
    if not isinstance(raw, Mapping) or _real(raw.get("difference")) is None:
        return None
    return Difference(difference=_real(raw.get("difference")), low=_real(raw.get("low")), high=_real(raw.get("high")))


def _week(raw: Raw) -> Week:
    return Week(
        week=_time(raw, "week"),
        rows=_whole(raw.get("rows")),
        log_loss=_real(raw.get("log_loss")),
        low=_real(raw.get("low")),
        high=_real(raw.get("high")),
    )


def _event(raw: Raw) -> Event:
    return Event(
        at=_time(raw, "at"),
        kind=_text(raw, "kind"),
        title=_text(raw, "title"),
        detail=_text(raw, "detail"),
        version=_whole(raw.get("version")),
    )


def _drift(raw: Raw) -> Drift:
    """Return a full grid: a short or missing row is filled with unknown cells."""
    weeks = [week for week in (_at(w) for w in _list(raw, "weeks")) if week is not None]
    columns = [clean(name) for name in _list(raw, "columns")]
    psi, drifted = _list(raw, "psi"), _list(raw, "drifted")
    rows, span = range(len(columns)), range(len(weeks))
    return Drift(
        weeks=weeks,
        columns=columns,
        psi=[[_real(_cell(psi, i, j)) for j in span] for i in rows],
        drifted=[[_cell(drifted, i, j) is True for j in span] for i in rows],
    )


def _rollout(raw: Raw) -> Rollout:
    steps = _each(raw, "steps", lambda s: Step(at=_time(s, "at"), weight=_whole(s.get("weight"))))
    paired = _each(
        raw,
        "paired",
        lambda p: Paired(
            at=_time(p, "at"),
            difference=_real(p.get("difference")),
            low=_real(p.get("low")),
            high=_real(p.get("high")),
        ),
    )
    return Rollout(
        version=_whole(raw.get("version")),
        started=_time(raw, "started"),
        steps=sorted((s for s in steps if None not in s.values()), key=lambda s: s["at"] or 0),
        ended=_time(raw, "ended"),
        outcome=_text(raw, "outcome"),
        reason=_text(raw, "reason"),
        paired=sorted((p for p in paired if p["at"] is not None), key=lambda p: p["at"] or 0),
    )


def _link(raw: Raw) -> Link:
    return Link(kind=_text(raw, "kind"), id=_text(raw, "id"), detail=_text(raw, "detail"))


def _each(raw: Raw, key: str, make: Callable[[Raw], T]) -> list[T]:
    return [make(item) for item in _list(raw, key) if isinstance(item, Mapping)]


def _list(raw: Raw, key: str) -> list[Any]:
    found = raw.get(key)
    return list(found) if isinstance(found, Iterable) and not isinstance(found, str | bytes | Mapping) else []


def _part(raw: Raw, key: str) -> Raw:
    found = raw.get(key)
    return found if isinstance(found, Mapping) else {}


def _cell(grid: list[Any], i: int, j: int) -> object:
    row = grid[i] if i < len(grid) and grid[i] is not None else []
    return row[j] if j < len(row) else None


def _text(raw: Raw, key: str) -> str:
    return clean(raw.get(key))


def _real(value: object) -> float | None:
    """Return a number that can be drawn; NaN, infinity and what lies beyond `_LARGEST` count as unknown."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST <= value <= _LARGEST:
        return None
    return float(value)


def _whole(value: object) -> int | None:
    return None if _real(value) is None else int(value)  # type: ignore[call-overload]


def _at(value: object) -> int | None:
    return number if (number := _whole(value)) is not None and 0 <= number < _LAST_TIME else None


def _time(raw: Raw, key: str) -> int | None:
    return _at(raw.get(key))
