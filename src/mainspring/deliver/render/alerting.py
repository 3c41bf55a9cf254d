"""`monitoring/prometheus/alerting-<environment>.yaml`: where alerts go, as an AlertmanagerConfig of the namespace.

People are told by the project's webhooks, whose addresses stay in the Secret `<project>-alerts`. What the retraining
policy watches also goes to Argo Workflows' event endpoint, where there is a binding `<project>-drift` that starts the
retraining; it is let in by a token of the account `<project>-submit`, in the Secret of that name. Prometheus operator,
"Alerting routes"; Argo Workflows, "Events". No schema checks this kind here: a test runs it as Alertmanager's own.
"""

from collections.abc import Mapping
from typing import Any

from mainspring.deliver.render.alerts import CRITICAL, WARNING
from mainspring.deliver.render.content import Files, Objects
from mainspring.deliver.render.kubernetes import MONITORED, kind, metadata, namespace_of
from mainspring.deliver.render.subject import Place, Subject
from mainspring.deliver.render.vault import webhook_key
from mainspring.deliver.render.workflows import apart

EVENTS = "http://argo-workflows-server.argo.svc:2746/api/v1/events"
CALLS_FOR: Mapping[str, str] = {"output_drift": "MainspringOutputDrift", "quality": "MainspringQualityWorse"}


def files(subject: Subject) -> Files:
    """Return the routes of every environment that has somebody to tell or something to start.

    They are objects of their own: the operator leaves out one whose Secret is missing, and people must be told still.
    """
    found = {}
    for place in subject.places:
        routes = [_people(subject, place)] if subject.webhooks else []
        if starts := _starts(subject, place):
            routes.append(_retrain(subject, place, starts))
        if routes:
            found[f"monitoring/prometheus/alerting-{place.name}.yaml"] = Objects(routes)
    return found


def _people(subject: Subject, place: Place) -> dict[str, Any]:
    hooks = [
        {"urlSecret": {"name": f"{subject.name}-alerts", "key": webhook_key(reference)}, "sendResolved": True}
        for reference in subject.webhooks
    ]
    routes = [
        {"receiver": "people", "repeatInterval": again, "matchers": [_matcher("severity", severity)]}
        for severity, again in ((CRITICAL, "4h"), (WARNING, "1d"))
    ]
    inhibits = [{  # that the same budget burns slowly too is no news
        "sourceMatch": [_matcher("severity", CRITICAL)], "targetMatch": [_matcher("severity", WARNING)],
        "equal": ["alertname", "environment"],
    }]  # fmt: skip
    receiver = {"name": "people", "webhookConfigs": hooks}
    return _config(subject, place, subject.name, routes, [receiver], inhibitRules=inhibits)


def _retrain(subject: Subject, place: Place, starts: list[str]) -> dict[str, Any]:
    route = {"receiver": "retrain", "repeatInterval": "7d", "matchers": [_matcher("alertname", "|".join(starts))]}
    receiver = {"name": "retrain", "webhookConfigs": [_event(subject, place)]}
    return _config(subject, place, f"{subject.name}-retrain", [route], [receiver])


def _config(
    subject: Subject, place: Place, name: str, routes: list[dict[str, Any]], receivers: list[dict[str, Any]],
    **more: object,
) -> dict[str, Any]:  # fmt: skip
    head = metadata(subject, place, name, "monitoring")
    head["labels"] |= MONITORED
    return kind("monitoring.coreos.com/v1alpha1", "AlertmanagerConfig", head, spec={
        "route": {
            "receiver": "nobody", "groupBy": ["alertname", "environment"], "groupWait": "30s", "groupInterval": "5m",
            "repeatInterval": "4h", "routes": routes,
        },
        "receivers": [{"name": "nobody"}, *receivers],
        **more,
    })  # fmt: skip


def _event(subject: Subject, place: Place) -> dict[str, Any]:
    """Return the call that starts a retraining; resolved alerts start nothing."""
    return {
        "url": f"{EVENTS}/{namespace_of(subject, place)}/{subject.name}-drift", "sendResolved": False,
        "httpConfig": {"authorization": {
            "type": "Bearer", "credentials": {"name": f"{subject.name}-submit", "key": "token"},
        }},
    }  # fmt: skip


def _starts(subject: Subject, place: Place) -> list[str]:
    """Return the alerts that start a retraining: those of its policy, where the binding that takes them is rendered."""
    return [CALLS_FOR[signal] for signal in subject.retrains_on] if apart(place) else []


def _matcher(name: str, value: str) -> dict[str, str]:
    return {"name": name, "value": value, "matchType": "=~" if "|" in value else "="}
