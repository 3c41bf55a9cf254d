"""`monitoring/prometheus/`: rules an environment as a PrometheusRule, and beside it as a plain file with unit tests.

Argo CD reads the folder itself, not the folders below it: `promtool/` holds what Prometheus' own tools read (`promtool
check rules`, `promtool test rules`), and what a Prometheus without the operator loads. The servers are scraped by the
chart's ServiceMonitor; what `watch` found comes from its Pushgateway. Start at `files`.
"""

from collections.abc import Sequence
from typing import Any

from mainspring.deliver.render import alerting, dashboards
from mainspring.deliver.render.alerts import WINDOWS, Alert, Words, alerts, latency_bound
from mainspring.deliver.render.content import Content, Files, Json, Text, one
from mainspring.deliver.render.kubernetes import MONITORED, kind, metadata, namespace_of
from mainspring.deliver.render.rule_tests import rule_tests
from mainspring.deliver.render.subject import Place, Subject
from mainspring.kernel.indicators import FAULTS

FOLDER = "monitoring/prometheus"
RUNBOOK = "monitoring/runbook.md"


def files(subject: Subject) -> Files:
    """Return the rules of every environment with their tests, the routes of alerts, dashboards and the runbook."""
    found: dict[str, Content] = {}
    for place in subject.places:
        rules, plain = rule_file(subject, place), f"{FOLDER}/promtool/{place.name}"
        head = metadata(subject, place, subject.name, "monitoring")
        head["labels"] |= MONITORED
        found[f"{FOLDER}/rules-{place.name}.yaml"] = one(
            kind("monitoring.coreos.com/v1", "PrometheusRule", head, spec=rules)
        )
        found[f"{plain}.yaml"] = one(rules)
        found[f"{plain}.test.json"] = Json(rule_tests(subject, place))
    if not found:
        return {}
    return {
        **found,
        **alerting.files(subject),
        **dashboards.files(subject),
        RUNBOOK: Text(_runbook(subject), comment=""),
    }


def rule_file(subject: Subject, place: Place) -> dict[str, Any]:
    """Return a Prometheus rule file: what availability and latency were over each window, then the alerts."""
    name = f"{subject.name}-{place.name}"
    return {"groups": [
        {"name": f"{name}-indicators", "rules": _records(subject, place)},
        {"name": f"{name}-alerts", "rules": [_rule(subject, place, alert) for alert in alerts(subject, place)]},
    ]}  # fmt: skip


def _records(subject: Subject, place: Place) -> list[dict[str, Any]]:
    on = Words.of(subject, place).served
    codes = "|".join(FAULTS).replace(".", "[.]")
    found = []
    for window in WINDOWS:
        answered = f"sum(rate(mainspring_requests_total{{{on}}}[{window}]))"
        failed = f'sum(rate(mainspring_refused_total{{{on},code=~"{codes}"}}[{window}]))'
        found.append(_record(subject, place, f"error:ratio{window}", f"{failed} / ({answered} + {failed})"))
        if subject.latency_p99_us is not None:
            fast = f'{{{on},le="{latency_bound(subject.latency_p99_us)}"}}'
            found.append(_record(
                subject, place, f"slow:ratio{window}",
                f"1 - sum(rate(mainspring_request_seconds_bucket{fast}[{window}])) "
                f"/ sum(rate(mainspring_request_seconds_count{{{on}}}[{window}]))",
            ))  # fmt: skip
    return found


def _record(subject: Subject, place: Place, name: str, expr: str) -> dict[str, Any]:
    return {"record": f"mainspring:{name}", "expr": expr, "labels": _whose(subject, place)}


def _rule(subject: Subject, place: Place, alert: Alert) -> dict[str, Any]:
    expr = alert.expr
    if alert.burn:  # recorded under one name in every environment
        label = f'{{namespace="{namespace_of(subject, place)}"}}'
        expr = " ".join(f"{word}{label}" if word.startswith("mainspring:") else word for word in expr.split(" "))
    return {
        "alert": alert.name, "expr": expr, **({"for": alert.wait} if alert.wait else {}),
        "labels": {
            "severity": alert.severity, **_whose(subject, place), **({"burn": alert.burn} if alert.burn else {}),
        },
        "annotations": {
            "summary": f"{subject.model} in {place.name}: {alert.meaning}",
            "description": alert.action,
            "runbook_url": f"{_shown_at(subject)}#{alert.name.lower()}",
        },
    }  # fmt: skip


def _whose(subject: Subject, place: Place) -> dict[str, str]:
    return {"namespace": namespace_of(subject, place), "model": subject.model, "environment": place.name}


def _shown_at(subject: Subject) -> str:
    """Return where people read the runbook: in the repository's web pages if it has an address of those."""
    if not subject.repository.startswith("https://"):
        return RUNBOOK
    inside = "/-/blob/" if subject.ci == "gitlab" else "/blob/"
    return f"{subject.repository.removesuffix('.git')}{inside}{subject.branch}/{RUNBOOK}"


def _runbook(subject: Subject) -> str:
    """Return a section for each alert: what it means and what to do, with the rule as its evidence."""
    told: dict[str, list[Alert]] = {}
    for place in subject.places:
        for alert in alerts(subject, place):
            if alert.burn not in {known.burn for known in told.setdefault(alert.name, [])}:
                told[alert.name].append(alert)
    return "\n".join([
        f"# What to do when an alert about {subject.model} comes", "",
        f"Owner: {subject.owner or 'not named'}. Severity `critical` wakes somebody, `warning` is told, `info` is not.",
        *(line for name, same in told.items() for line in _section(name, same)), "",
    ])  # fmt: skip


def _section(name: str, same: Sequence[Alert]) -> list[str]:
    return ["", f"## {name}", "", *(f"- {one.severity}: {one.meaning}" for one in same), "", same[0].action]
