"""`argocd/`: a project that names what it may touch, and one Application an environment and kind of file.

Weights and defaults that controllers write are left to them (`ignoreDifferences`), so that nothing stays out of sync
for ever; replicas only where an autoscaler sets them, else a number in git would never reach the cluster. Pruning waits
until everything else is healthy, never empties an application, and never takes what cannot be made again (`KEPT`).
Waves order what is made first; what still lacks a tool's kinds or a namespace is tried again. Argo CD: declarative
setup, sync options, diffing customisation.
"""

from collections.abc import Sequence
from typing import Any

from mainspring.deliver.render.content import Files, Objects, one
from mainspring.deliver.render.kubernetes import autoscaled, kind, labels, namespace_of
from mainspring.deliver.render.subject import Place, Subject

API = "argoproj.io/v1alpha1"
NAMESPACE = "argocd"
CLUSTER = "https://kubernetes.default.svc"
WAVE = "argocd.argoproj.io/sync-wave"
CHART = "helm/ml-api-chart"
# an automated sync that gave up waits for the next commit; a cluster's tools need longer than five attempts to come up
RETRY = {"limit": 20, "backoff": {"duration": "10s", "factor": 2, "maxDuration": "5m"}}
_KINDS = (
    ("", "ConfigMap"), ("", "PersistentVolumeClaim"), ("", "Service"), ("", "ServiceAccount"),
    ("apps", "Deployment"), ("batch", "CronJob"),
    ("autoscaling", "HorizontalPodAutoscaler"), ("keda.sh", "ScaledObject"), ("policy", "PodDisruptionBudget"),
    ("networking.k8s.io", "NetworkPolicy"), ("networking.k8s.io", "Ingress"),
    ("gateway.networking.k8s.io", "HTTPRoute"), ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"), ("monitoring.coreos.com", "ServiceMonitor"),
    ("monitoring.coreos.com", "PrometheusRule"), ("monitoring.coreos.com", "AlertmanagerConfig"),
    ("argoproj.io", "WorkflowTemplate"), ("argoproj.io", "CronWorkflow"),
    ("argoproj.io", "WorkflowEventBinding"), ("argoproj.io", "Rollout"), ("argoproj.io", "AnalysisTemplate"),
    ("serving.kserve.io", "InferenceService"), ("serving.kserve.io", "ServingRuntime"),
    ("machinelearning.seldon.io", "SeldonDeployment"), ("external-secrets.io", "ExternalSecret"),
    ("external-secrets.io", "SecretStore"), ("secrets.hashicorp.com", "VaultConnection"),
    ("secrets.hashicorp.com", "VaultAuth"), ("secrets.hashicorp.com", "VaultStaticSecret"),
    ("monitoring.coreos.com", "PodMonitor"), ("mlops.seldon.io", "Model"),
    ("mlops.seldon.io", "Experiment"),
)  # fmt: skip
# fields that a controller, an autoscaler or a defaulting webhook owns: (API group, kind, jq paths)
_OWNED: Sequence[tuple[str, str, tuple[str, ...]]] = (
    ("gateway.networking.k8s.io", "HTTPRoute", (".spec.rules[].backendRefs[].weight",)),
    ("serving.kserve.io", "InferenceService", (
        ".spec.predictor.model.resources", ".spec.predictor.model.protocolVersion",
        ".spec.canary[]?.predictor.model.resources",
    )),
    ("machinelearning.seldon.io", "SeldonDeployment", (
        ".spec.predictors[].graph.endpoint", ".spec.predictors[].engineResources",
        ".spec.predictors[].componentSpecs[].spec.volumes[] | select(.name == \"seldon-podinfo\")",
        ".spec.predictors[].componentSpecs[].spec.containers[].volumeMounts[] | select(.name == \"seldon-podinfo\")",
        ".spec.predictors[].componentSpecs[].spec.containers[].env[] | select(.name | test(\"^(PREDICTIVE|SELDON)_\"))",
    )),
    ("external-secrets.io", "ExternalSecret", (
        ".spec.data[]?.remoteRef | .conversionStrategy, .decodingStrategy, .metadataPolicy",
    )),
)  # fmt: skip
_SCALED: Sequence[tuple[str, str, tuple[str, ...]]] = (
    ("apps", "Deployment", (".spec.replicas",)), ("argoproj.io", "Rollout", (".spec.replicas",)),
)  # fmt: skip


def files(subject: Subject) -> Files:
    """Return the project and its applications; nothing without a repository to follow or a cluster to follow it."""
    if not subject.places or not subject.repository:
        return {}
    applications = [_serving(subject, place) for place in subject.places]
    return {
        "argocd/project.yaml": one(_project(subject)),
        "argocd/argocd-app.yaml": Objects([
            _folder(subject, "security", 0, ("security",)),
            _folder(subject, "monitoring", 1, ("monitoring/prometheus", "monitoring/grafana")),
            *([_folder(subject, "workflows", 2, ("workflows",))] if _scheduled(subject) else []),
            *applications,
        ]),
    }  # fmt: skip


def _scheduled(subject: Subject) -> bool:
    return any(place.scheduler for place in subject.places)


def _project(subject: Subject) -> dict[str, Any]:
    head = {"name": subject.name, "namespace": NAMESPACE, "labels": labels(subject, "project"),
            "annotations": {WAVE: "-1"}}  # fmt: skip
    return kind(API, "AppProject", head, spec={
        "description": subject.description[:255] or subject.model,
        "sourceRepos": [subject.repository],
        "destinations": [
            {"server": CLUSTER, "namespace": namespace_of(subject, place)} for place in subject.places
        ],
        "clusterResourceWhitelist": [{"group": "", "kind": "Namespace"}],
        "namespaceResourceWhitelist": [{"group": group, "kind": name} for group, name in _KINDS],
        "orphanedResources": {"warn": True},
    })  # fmt: skip


def _serving(subject: Subject, place: Place) -> dict[str, Any]:
    """Return the application of one environment: the chart, with the environment's values and its release file."""
    here = f"../../environments/{place.name}"
    source = {
        "repoURL": subject.repository, "targetRevision": subject.branch, "path": CHART,
        "helm": {
            "releaseName": subject.name, "valueFiles": [f"{here}/values.yaml", f"{here}/release.yaml"],
            "ignoreMissingValueFiles": True,  # before the first release there is no release.yaml
        },
    }  # fmt: skip
    name, scaled = f"{subject.name}-{place.name}", _SCALED if autoscaled(place) else ()
    return _application(subject, name, 3, namespace_of(subject, place), [source], owned=(*scaled, *_OWNED))


def _folder(subject: Subject, name: str, wave: int, paths: Sequence[str]) -> dict[str, Any]:
    """Return an application of plain files; their objects name their own namespaces."""
    sources = [
        {"repoURL": subject.repository, "targetRevision": subject.branch, "path": path, "directory": {"recurse": False}}
        for path in paths
    ]
    return _application(subject, f"{subject.name}-{name}", wave, namespace_of(subject, subject.places[0]), sources)


def _application(
    subject: Subject, name: str, wave: int, namespace: str, sources: Sequence[dict[str, Any]],
    owned: Sequence[tuple[str, str, tuple[str, ...]]] = _OWNED,
) -> dict[str, Any]:  # fmt: skip
    head = {"name": name, "namespace": NAMESPACE, "labels": labels(subject, "application"),
            "annotations": {WAVE: str(wave)}}  # fmt: skip
    return kind(API, "Application", head, spec={
        "project": subject.name,
        **({"source": sources[0]} if len(sources) == 1 else {"sources": list(sources)}),
        "destination": {"server": CLUSTER, "namespace": namespace},
        "syncPolicy": {
            "automated": {"prune": True, "selfHeal": True, "allowEmpty": False},
            "syncOptions": [
                "CreateNamespace=false", "PruneLast=true", "PrunePropagationPolicy=foreground",
                "ServerSideApply=true", "RespectIgnoreDifferences=true",
            ],
            "retry": RETRY,
        },
        "ignoreDifferences": [
            {"group": group, "kind": owner, "jqPathExpressions": list(paths)} for group, owner, paths in owned
        ],
        "revisionHistoryLimit": 10,
    })  # fmt: skip
