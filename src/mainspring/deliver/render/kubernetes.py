"""The words that all Kubernetes objects share: metadata, labels, restricted security contexts.

Labels follow the recommended ones (Kubernetes documentation, "Recommended Labels"); security contexts meet the
Restricted profile of the Pod Security Standards.
"""

from collections.abc import Mapping
from typing import Any

from mainspring.deliver.render.subject import Place, Subject

RUN_AS = 10_001
PART_OF = "app.kubernetes.io/part-of"
NAME = "app.kubernetes.io/name"
COMPONENT = "app.kubernetes.io/component"
MANAGED_BY = "app.kubernetes.io/managed-by"
MONITORED = {"release": "kube-prometheus-stack"}  # the stack's selector: without it nobody scrapes
KEPT = {"argocd.argoproj.io/sync-options": "Prune=false,Delete=false"}
"""Of namespaces and claims: an environment that leaves the project file, or is renamed, takes no data with it."""
DATABASE = "postgres"
"""Namespace and name of the PostgreSQL that the platform's applications bring."""
PROMETHEUS = "http://kube-prometheus-stack-prometheus.monitoring.svc:9090"
PUSHGATEWAY = "http://prometheus-pushgateway.monitoring.svc:9091"  # what the platform's application installs


def namespace_of(subject: Subject, place: Place) -> str:
    """Return the namespace of one environment: `<project>-<environment>`."""
    return f"{subject.name}-{place.name.replace('_', '-')}"[:63].rstrip("-")


def autoscaled(place: Place) -> bool:
    """Tell whether an autoscaler sets the number of an environment's servers."""
    return place.replicas[1] > place.replicas[0]


def identified(place: Place) -> dict[str, str]:
    """Return the labels that a pod needs to get its account's identity in the cloud: Azure's webhook reads one."""
    azure = any(key.startswith("azure.workload.identity/") for key in place.identity)
    return {"azure.workload.identity/use": "true"} if azure else {}


def placed(place: Place, job: str) -> dict[str, Any]:
    """Return which nodes the pods of a job, `server` or `steps`, run on, as a pod's spec says it; {} by default."""
    written = place.options.get("placement", {}).get(job, {})
    tolerations = [
        {**taint, "operator": "Equal" if "value" in taint else "Exists"} for taint in written.get("tolerations", ())
    ]
    found = {
        "nodeSelector": dict(written.get("node_selector", {})), "tolerations": tolerations,
        "imagePullSecrets": [{"name": name} for name in written.get("pull_secrets", ())],
        "priorityClassName": written.get("priority_class", ""),
    }  # fmt: skip
    return {name: value for name, value in found.items() if value}


def labels(subject: Subject, component: str) -> dict[str, str]:
    """Return the labels of an object of this project."""
    return {NAME: subject.name, COMPONENT: component, PART_OF: subject.name, MANAGED_BY: "mainspring"}


def selector(subject: Subject, component: str) -> dict[str, str]:
    """Return the labels by which pods of a component are found; they never change, for selectors may not."""
    return {NAME: subject.name, COMPONENT: component}


def metadata(subject: Subject, place: Place, name: str, component: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the metadata of a namespaced object."""
    return {"name": name, "namespace": namespace_of(subject, place), "labels": labels(subject, component), **more}


def kind(api: str, name: str, head: Mapping[str, Any], **body: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return one object: apiVersion, kind, metadata and what follows."""
    return {"apiVersion": api, "kind": name, "metadata": dict(head), **body}


def pod_security() -> dict[str, Any]:
    """Return a pod's securityContext of the Restricted profile."""
    return {
        "runAsNonRoot": True, "runAsUser": RUN_AS, "runAsGroup": RUN_AS, "fsGroup": RUN_AS,
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip


def container_security() -> dict[str, Any]:
    """Return a container's securityContext: no privilege, no capability, a root file system that cannot be written."""
    return {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
