"""`monitoring/grafana/`: five dashboards made of plain objects, in a ConfigMap for Grafana's sidecar and as JSON files.

Ids come from names, so a dashboard keeps its address from one rendering to the next. What is asked of Prometheus is in
`panels`; here is only the shape (Grafana, "Dashboard JSON model", schema 39). No Grafana ran here: a test asks a live
Prometheus every question and reads the JSON as a person would. Start at `files`.
"""

import json
from collections.abc import Sequence
from typing import Any

from mainspring.deliver.render.content import Content, Files, Json, one
from mainspring.deliver.render.kubernetes import kind, metadata, namespace_of
from mainspring.deliver.render.panels import Board, Panel, boards
from mainspring.deliver.render.subject import Place, Subject
from mainspring.kernel.digests import digest_of, hex_of

FOLDER = "monitoring/grafana"
LABEL = {"grafana_dashboard": "1"}  # what the sidecar of the Prometheus stack looks for, in every namespace
_SCHEMA = 39
_WIDTH, _HEIGHT, _ROW = 8, 8, 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def files(subject: Subject) -> Files:
    """Return the dashboards; nothing without an environment in a cluster."""
    if not subject.places:
        return {}
    made = {board.name: dashboard(subject, board) for board in boards(subject)}
    found: dict[str, Content] = {f"{FOLDER}/dashboards/{name}.json": Json(body) for name, body in made.items()}
    head = metadata(subject, subject.places[-1], f"{subject.name}-dashboards", "monitoring")
    head["labels"] |= LABEL
    data = {f"{subject.name}-{name}.json": json.dumps(body, indent=1) + "\n" for name, body in made.items()}
    return {**found, f"{FOLDER}/dashboards.yaml": one(kind("v1", "ConfigMap", head, data=data))}


def dashboard(subject: Subject, board: Board) -> dict[str, Any]:
    """Return one dashboard as Grafana imports it."""
    return {
        "uid": f"mainspring-{hex_of(digest_of({'model': subject.model, 'board': board.name}))[:16]}",
        "title": f"{subject.model}: {board.name}", "description": board.text,
        "tags": ["mainspring", subject.model], "schemaVersion": _SCHEMA, "version": 1, "editable": False,
        "timezone": "utc", "refresh": "1m", "time": {"from": board.since, "to": "now"},
        "links": [{
            "type": "dashboards", "title": subject.model, "tags": ["mainspring", subject.model], "asDropdown": True,
            "includeVars": True, "keepTime": True,
        }],
        "templating": {"list": [_source_variable(), _environment_variable(subject)]},
        "annotations": {"list": []},
        "panels": [_panel(number, panel) for number, panel in enumerate(board.panels)],
    }  # fmt: skip


def matching(subject: Subject, place: Place) -> str:
    """Return the variable's value of an environment: it matches its name, and completes its namespace's.

    A namespace has no `_` and is cut at 63 characters, so the value is an expression where the two differ.
    """
    kept = namespace_of(subject, place).removeprefix(f"{subject.name}-")
    rest = place.name[len(kept) :]
    shown = "".join("[-_]" if was == "_" else now for was, now in zip(place.name, kept, strict=False))
    return f"{shown}(?:{rest})?" if rest else shown


def _source_variable() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0}


def _environment_variable(subject: Subject) -> dict[str, Any]:
    options = [
        {"text": place.name, "value": matching(subject, place), "selected": place is subject.places[-1]}
        for place in subject.places
    ]
    return {
        "name": "environment", "label": "Environment", "type": "custom", "hide": 0, "multi": False, "includeAll": False,
        "query": ",".join(f"{option['text']} : {option['value']}" for option in options), "options": options,
        "current": options[-1],
    }  # fmt: skip


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    place = number * _WIDTH
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
    return {
        "id": number + 1, "type": "timeseries", "title": panel.title, "description": panel.text, "datasource": _SOURCE,
        "gridPos": {"x": place % _ROW, "y": place // _ROW * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit, **({} if panel.signed else {"min": 0}),
                "thresholds": {"mode": "absolute", "steps": steps},
                "custom": {
                    "drawStyle": "line", "lineInterpolation": "stepAfter" if panel.steps else "linear",
                    "showPoints": "never", "spanNulls": False,
                    "thresholdsStyle": {"mode": "off" if panel.limit is None else "line"},
                },
            },
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": _targets(panel.asks),
    }  # fmt: skip


def _targets(asks: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        {"refId": chr(ord("A") + place), "expr": expr, "legendFormat": legend, "range": True, "datasource": _SOURCE}
        for place, (legend, expr) in enumerate(asks)
    ]
