"""`helm/ml-api-chart/` and `environments/<env>/values.yaml`: the chart as it ships, and what differs per environment.

The chart's templates are the only texts here; they travel with the package and are copied as they are. Values are
objects. An environment's `release.yaml` is the chart's last values file: promoting needs no rendering.
"""

import json
from collections.abc import Mapping
from typing import Any

from mainspring.deliver.render import vault
from mainspring.deliver.render.content import Content, Files, Json, Text, one
from mainspring.deliver.render.kubernetes import PROMETHEUS, identified, placed
from mainspring.deliver.render.needs import online_names
from mainspring.deliver.render.subject import Place, Subject, logged_to

FOLDER = "helm/ml-api-chart"
_SHIPPED = "chart/"
_VARIABLE = "secret://env/"
_SECRETS = {
    "s3": (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_ENDPOINT",
        "AWS_ALLOW_HTTP",
    ),
    "gs": ("GOOGLE_SERVICE_ACCOUNT_KEY",),
    "az": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"),
}
_OF_SCHEME = {"s3": "s3", "s3a": "s3", "gs": "gs", "az": "az", "abfs": "az", "abfss": "az"}


def files(subject: Subject) -> Files:
    """Return the chart and the values of each environment that runs in a cluster."""
    if not subject.places:
        return {}
    found: dict[str, Content] = {f"{FOLDER}/Chart.yaml": one(_chart(subject))}
    for path, text in subject.shipped.items():
        if path.startswith(_SHIPPED):
            found[f"{FOLDER}/{path.removeprefix(_SHIPPED)}"] = _copied(path, text)
    for place in subject.places:
        found[f"environments/{place.name}/values.yaml"] = one(values(subject, place))
    return found


def values(subject: Subject, place: Place) -> dict[str, Any]:
    """Return what the chart is told of one environment; what is left out stands in the chart's own values."""
    fewest, most = place.replicas
    models = place.stores.get("models", "")
    keys = {key: None for url in (models, logged_to(place)) for key in _secret_keys(url)}
    agent = vault.annotations(subject, place)
    return {
        "project": {
            "name": subject.name, "model": subject.model, "environment": place.name, "owner": subject.owner,
        },
        "platform": place.platform,
        "image": place.image,
        "replicas": {"min": fewest, "max": most},
        "stores": {
            "models": models, "online": place.stores.get("online", ""),
            "secretKeys": [*keys, *online_names(place), *_named(place.serving)],
        },
        "trust": dict(place.trust),
        "serving": dict(place.serving),
        "serverless": place.serverless,
        "seldon": {"api": place.seldon},
        "secrets": {"agent": bool(agent)},
        "podAnnotations": agent,
        "networkPolicy": {"enabled": False},  # security/network-policies.yaml holds every flow
        **({"serviceAccount": {"annotations": dict(place.identity)}} if place.identity else {}),
        **({"podLabels": found} if (found := identified(place)) else {}),
        **placed(place, "server"),
        **_options(place.options),
    }  # fmt: skip


def _options(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the project file says of the server's pods, as the chart's values."""
    found: dict[str, Any] = {}
    if server := options.get("server"):
        cpu, memory = server["cpu"], server["memory"]
        found["server"] = {"workers": server["workers"], "grpc": server["grpc"]}
        if secret := server.get("tls_secret"):
            found["server"]["tlsSecret"] = secret
        found["resources"] = {
            "requests": {"cpu": f"{cpu * 1000:.0f}m", "memory": memory},
            "limits": {"cpu": f"{max(2.0, cpu) * 1000:.0f}m", "memory": memory},
        }  # fmt: skip
    if rule := options.get("autoscaling"):
        rows = rule.get("rows_per_second")
        asked = {"prometheus": {"address": PROMETHEUS, "rowsPerSecond": rows}} if rows else {}
        found["autoscaling"] = {"kind": rule["kind"], "cpu": rule["cpu"], **asked}
    if ingress := options.get("ingress"):
        names = {"host": "host", "class_name": "className", "certificate": "tlsSecret", "annotations": "annotations"}
        found["ingress"] = {"enabled": True, **{names[key]: value for key, value in ingress.items()}}
    if gateway := options.get("gateway"):
        found["gateway"] = {"enabled": True, **gateway, "hostnames": list(gateway["hostnames"])}
    return found


def _chart(subject: Subject) -> dict[str, Any]:
    return {
        "apiVersion": "v2", "name": "ml-api-chart", "type": "application",
        "description": f"The inference server of {subject.model}"[:200],
        "version": subject.mainspring, "appVersion": subject.mainspring, "kubeVersion": ">=1.27.0-0",
    }  # fmt: skip


def _copied(path: str, text: str) -> Content:
    if path.endswith(".json"):
        return Json(json.loads(text))
    return Text(text, comment="#" if path.endswith("/values.yaml") else "")


def _secret_keys(url: str) -> tuple[str, ...]:
    """Return the keys of the Secret `<project>-stores` that the store's client reads, each only if it is there."""
    return _SECRETS.get(_OF_SCHEME.get(url.partition("://")[0], ""), ())


def _named(value: object) -> list[str]:
    """Return the variables that a document's `secret://env/NAME` references read, sorted."""
    found: set[str] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str) and item.startswith(_VARIABLE):
            found.add(item.removeprefix(_VARIABLE))
        elif isinstance(item, Mapping):
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
    return sorted(found)
