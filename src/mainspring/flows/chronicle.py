"""Read a ledger as a story: the events, drift and rollouts that a report or a status page shows. Pure readings."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from mainspring.kernel.events import Event
from mainspring.kernel.times import DAY

_WEEK = 7 * DAY
OUTPUT = "output"


def chronicle(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return what a reader wants to see, oldest first: {at, kind, title, detail, version}."""
    told = [_TELL[event.kind](event) for event in events if event.kind in _TELL]
    told.extend(_went_back(events))
    return sorted([*told, *_drift_found(events), *_declined(events)], key=lambda entry: int(entry["at"]))


def rollouts(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return every canary: {version, started, steps, ended, outcome, reason, paired}, oldest first."""
    found: list[dict[str, Any]] = []
    for event in events:
        challenger = event.body.get("challenger")
        if event.kind == "release.promoted" and challenger:
            found.append(_opened(event, challenger))
        elif found and found[-1]["ended"] is None:
            _continue(found[-1], event)
    return found


def drift_by_week(events: Sequence[Event], start: int) -> dict[str, Any]:
    """Return {weeks, columns, psi, drifted}: the last window judged in each week counted from `start`."""
    judged = [event for event in events if event.kind == "window.judged" and event.body.get("columns")]
    weekly = [list(group)[-1] for _, group in groupby(judged, key=lambda event: (event.at - 1 - start) // _WEEK)]
    columns = sorted({item["name"] for event in weekly for item in event.body["columns"]}, key=_output_first)
    cells = [{item["name"]: item for item in event.body["columns"]} for event in weekly]
    return {
        "weeks": [start + (event.at - 1 - start) // _WEEK * _WEEK for event in weekly],
        "columns": columns,
        "psi": [[_number(cell.get(name, {}).get("psi")) for cell in cells] for name in columns],
        "drifted": [[bool(cell.get(name, {}).get("drifted")) for cell in cells] for name in columns],
    }


def _output_first(name: str) -> tuple[bool, str]:
    return name != OUTPUT, name


def _opened(event: Event, challenger: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": challenger["version"],
        "started": event.at,
        "steps": [{"at": event.at, "weight": challenger["weight"]}],
        "ended": None,
        "outcome": "open",
        "reason": "",
        "paired": [],
    }


def _continue(rollout: dict[str, Any], event: Event) -> None:
    if event.kind == "release.advanced":
        rollout["steps"].append({"at": event.at, "weight": event.body["challenger"]["weight"]})
    elif event.kind == "rollout.judged" and event.body.get("paired"):
        numbers = {name: _number(event.body["paired"].get(name)) for name in ("difference", "low", "high")}
        rollout["paired"].append({"at": event.at, **numbers})
    elif event.kind in ("release.finished", "release.aborted", "release.rolled_back"):
        outcome = "promoted" if event.kind == "release.finished" else "rolled_back"
        last = 100 if outcome == "promoted" else 0
        rollout["steps"].append({"at": event.at, "weight": last})
        rollout.update(ended=event.at, outcome=outcome, reason=event.body.get("reason", ""))


def _drift_found(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Tell the first window of every spell of output drift."""
    told, before = [], False
    for event in events:
        if event.kind != "window.judged":
            continue
        now = "output_drift" in event.body.get("signals", ())
        if now and not before:
            names = ", ".join(event.body.get("drifted", ())) or OUTPUT
            told.append(_entry(event, "drift_found", "Output drift", f"drifted: {names}"))
        before = now
    return told


def _declined(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Tell a refusal to retrain once a reason, not once a tick."""
    told, before = [], ""
    for event in events:
        if event.kind == "retrain.declined" and event.body["blocked_by"] != before:
            before = event.body["blocked_by"]
            told.append(_entry(event, "retrain_refused", "Retraining held back", event.body["reason"]))
        elif event.kind == "retrain.started":
            before = ""
    return told


def _entry(event: Event, kind: str, title: str, detail: str) -> dict[str, Any]:
    version = event.body.get("version")
    return {"at": event.at, "kind": kind, "title": title, "detail": detail, "version": version}


def _trained(event: Event) -> dict[str, Any]:
    version = event.body.get("version")
    title = f"Version {version} trained" if version else "Candidate trained"
    return _entry(event, "trained", title, str(event.body.get("reason", "")))


def _log_damaged(event: Event) -> dict[str, Any]:
    body, first = event.body, event.body["first"][0]
    detail = f"{body['bytes']} bytes in {body['places']} places, first in {first['segment']} at {first['offset']}"
    return _entry(event, "log_damaged", "Prediction log damaged", detail)


def _refused(event: Event) -> dict[str, Any]:
    reasons = [reason["what"] for reason in event.body.get("reasons", ()) if not reason["passed"]]
    return _entry(event, "gate_refused", "Gate refused a candidate", "; ".join(reasons))


def _promoted(event: Event) -> dict[str, Any]:
    challenger, emergency = event.body.get("challenger"), event.body.get("emergency")
    if challenger and not emergency:
        return _step(event)
    version = (challenger or event.body["champion"])["version"]
    title = f"EMERGENCY: version {version} promoted" if emergency else f"Version {version} promoted"
    entry = _entry(event, "promoted", title, str(emergency or event.body.get("reason", "")))
    return {**entry, "version": version}


def _at_the_door(event: Event) -> dict[str, Any]:
    version, what = event.body.get("version"), event.kind.partition(".")[2]
    title = {"approved": "approved by {approver}", "proposed": "proposed", "refused": "not let in"}[what]
    named = version or (event.body.get("challenger") or event.body["champion"])["version"]
    entry = _entry(event, f"promotion_{what}", f"Version {named} {title.format(**event.body)}", "")
    return {**entry, "detail": str(event.body.get("reason", "")), "version": named}


def _step(event: Event) -> dict[str, Any]:
    challenger = event.body["challenger"]
    title = f"Version {challenger['version']} on {challenger['weight']} % of traffic"
    entry = _entry(event, "canary_step", title, str(event.body.get("reason", "")))
    return {**entry, "version": challenger["version"]}


def _went_back(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Tell what was left: the challenger on trial, or else the champion before."""
    told: list[dict[str, Any]] = []
    version = None
    for event in events:
        if event.kind in ("release.aborted", "release.rolled_back"):
            entry = _entry(event, "rolled_back", f"Version {version} rolled back", str(event.body.get("reason", "")))
            told.append({**entry, "version": version})
        if event.kind.startswith("release."):
            version = (event.body.get("challenger") or event.body["champion"])["version"]
    return told


_TELL: Mapping[str, Callable[[Event], dict[str, Any]]] = {
    "run.finished": _trained,
    "gate.refused": _refused,
    "log.damaged": _log_damaged,
    "release.promoted": _promoted,
    "release.advanced": _step,
    "release.finished": _promoted,
    "release.edited": _promoted,
    "promotion.approved": _at_the_door,
    "promotion.proposed": _at_the_door,
    "promotion.refused": _at_the_door,
}


def emergency_of(events: Sequence[Event], environment: str) -> str:
    """Return why a version that serves in `environment` now was let in by an emergency, or ""."""
    named: list[str] = []
    why: dict[str, str] = {}
    for event in events:
        if event.subject != f"environment:{environment}" or not event.kind.startswith("release."):
            continue
        roles = (event.body.get("champion"), event.body.get("challenger"))
        named = [str(role["digest"]) for role in roles if role]
        if event.kind == "release.promoted":
            why[named[-1]] = str(event.body.get("emergency", ""))
    return "; ".join(dict.fromkeys(why[digest] for digest in named if why.get(digest)))


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))
