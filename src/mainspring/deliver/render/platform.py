"""`argocd/platform/`: an app of apps with the tools that the project's files run on; every chart version stands here.

Only what the project file needs is installed. Chart versions were taken from public repositories and were not fetched
or run here; the charts' templates and values were read there. The tools' own values keep to least privilege, to the
labels by which our monitors are found, to namespaces that the project allows, and to no password that a chart ships.
`argocd/root.yaml` follows the folder `argocd/` itself, so that a new environment's application comes by a commit too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mainspring.deliver.render.argocd import API, CLUSTER, NAMESPACE, RETRY, WAVE
from mainspring.deliver.render.content import Files, Objects
from mainspring.deliver.render.kubernetes import (
    DATABASE,
    KEPT,
    MONITORED,
    PUSHGATEWAY,
    container_security,
    kind,
    labels,
)
from mainspring.deliver.render.subject import Subject

PROJECT = "platform"
_EXECUTOR = {
    "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip
# what a controller or a job writes into its webhook after it has made a certificate; charts render it empty
_CERTIFICATES = [
    {"group": "admissionregistration.k8s.io", "kind": f"{verb}WebhookConfiguration",
     "jqPathExpressions": [".webhooks[]?.clientConfig.caBundle"]}
    for verb in ("Mutating", "Validating")
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One tool: where its chart is, which version, where it goes, when the project needs it. wave: order of syncing."""

    name: str
    repository: str
    version: str
    namespace: str
    needed: Callable[[Subject], bool]
    wave: int = 1
    values: dict[str, Any] = field(default_factory=dict)


def _always(subject: Subject) -> bool:
    return bool(subject.places)


def _on(*platforms: str) -> Callable[[Subject], bool]:
    return lambda subject: any(place.platform in platforms for place in subject.places)


def _seldon(api: str) -> Callable[[Subject], bool]:
    return lambda subject: any(place.platform == "seldon" and place.seldon == api for place in subject.places)


def _certified(subject: Subject) -> bool:
    return _on("kserve")(subject) or _seldon("v1")(subject)


def _scaled(subject: Subject) -> bool:
    return any(place.options.get("autoscaling", {}).get("kind") == "keda" for place in subject.places)


def _stored(kind: str, *schemes: str) -> Callable[[Subject], bool]:
    return lambda subject: any(place.stores.get(kind, "").startswith(schemes) for place in subject.places)


def _pushed(subject: Subject) -> bool:
    return any(place.stores.get("metrics") == PUSHGATEWAY for place in subject.places)


def _fetched(*means: str) -> Callable[[Subject], bool]:
    return lambda subject: subject.vault is not None and subject.vault.means in means


def _vault(*, injected: bool) -> dict[str, Any]:
    """Return values for a Vault that speaks TLS, by the Secret `vault-tls`: the chart's own configuration does not."""
    keys = "/vault/userconfig/vault-tls"
    config = f'''ui = true
listener "tcp" {{
  address = "[::]:8200"
  cluster_address = "[::]:8201"
  tls_cert_file = "{keys}/tls.crt"
  tls_key_file = "{keys}/tls.key"
}}
storage "file" {{
  path = "/vault/data"
}}
'''
    return {
        "global": {"tlsDisable": False}, "injector": {"enabled": injected},
        "server": {
            "dev": {"enabled": False}, "standalone": {"enabled": True, "config": config},
            "volumes": [{"name": "tls", "secret": {"secretName": "vault-tls", "defaultMode": 0o440}}],
            "volumeMounts": [{"name": "tls", "mountPath": keys, "readOnly": True}],
            "extraEnvironmentVars": {"VAULT_CACERT": f"{keys}/ca.crt"},
        },
    }  # fmt: skip


_HASHICORP = "https://helm.releases.hashicorp.com"
_ARGO = "https://argoproj.github.io/argo-helm"
CHARTS: tuple[Chart, ...] = (
    Chart(name="cert-manager", repository="https://charts.jetstack.io", version="v1.17.1", namespace="cert-manager",
          needed=_certified, wave=0, values={"crds": {"enabled": True}}),
    Chart(name="kube-prometheus-stack", repository="https://prometheus-community.github.io/helm-charts",
          version="72.6.2", namespace="monitoring", needed=_always, wave=0,
          values={"prometheus": {"prometheusSpec": {
              "serviceMonitorSelector": {"matchLabels": MONITORED}, "ruleSelector": {"matchLabels": MONITORED},
              "serviceMonitorNamespaceSelector": {}, "ruleNamespaceSelector": {},
              "retention": "15d",  # alerts look three days back, also after a restart
              "storageSpec": {"volumeClaimTemplate": {"spec": {
                  "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "50Gi"}},
              }}},
          }}, "grafana": {"admin": {  # the chart's own password is known to everybody: made by hand, see its README
              "existingSecret": "grafana-admin", "userKey": "admin-user", "passwordKey": "admin-password",
          }, "sidecar": {"dashboards": {"searchNamespace": "ALL"}}}}),
    Chart(name="prometheus-pushgateway", repository="https://prometheus-community.github.io/helm-charts",
          version="3.2.0", namespace="monitoring", needed=_pushed,
          values={"serviceMonitor": {"enabled": True, "honorLabels": True, "additionalLabels": MONITORED},
                  "persistentVolume": {"enabled": True}, "automountServiceAccountToken": False,
                  "extraArgs": ["--persistence.file=/data/pushgateway.data"],
                  "containerSecurityContext": container_security()}),
    Chart(name="metrics-server", repository="https://kubernetes-sigs.github.io/metrics-server", version="3.12.2",
          namespace="kube-system", needed=_always),
    Chart(name="keda", repository="https://kedacore.github.io/charts", version="2.16.1", namespace="keda", wave=0,
          needed=_scaled),
    Chart(name="external-secrets", repository="https://charts.external-secrets.io", version="2.6.0",
          namespace="external-secrets", needed=_fetched("external-secrets"), wave=0, values={"installCRDs": True}),
    Chart(name="vault-secrets-operator", repository=_HASHICORP, version="0.1.0", namespace="vault",
          needed=_fetched("vault-operator"), wave=0),
    Chart(name="vault", repository=_HASHICORP, version="0.29.1", namespace="vault", wave=0,
          needed=_fetched("external-secrets", "vault-operator"),
          values=_vault(injected=False)),
    Chart(name="vault", repository=_HASHICORP, version="0.29.1", namespace="vault", wave=0, needed=_fetched("agent"),
          values=_vault(injected=True)),
    Chart(name="argo-workflows", repository=_ARGO, version="2.0.1", namespace="argo",
          needed=lambda subject: any(place.scheduler == "cronworkflow" for place in subject.places),
          values={"workflow": {"serviceAccount": {"create": False}, "rbac": {"create": False}},
                  "server": {"authModes": ["client"]},
                  # its init and wait containers stand in our pods: without this a restricted namespace refuses each
                  "executor": {"securityContext": _EXECUTOR},
                  "controller": {"workflowRestrictions": {"templateReferencing": "Strict"}}}),
    Chart(name="argo-rollouts", repository=_ARGO, version="2.39.1", namespace="argo-rollouts", needed=_on("rollouts")),
    Chart(name="kserve-crd", repository="ghcr.io/kserve/charts", version="v0.20.0", namespace="kserve",
          needed=_on("kserve")),
    Chart(name="kserve-resources", repository="ghcr.io/kserve/charts", version="v0.20.0", namespace="kserve",
          needed=_on("kserve"), wave=2,  # spec.canary came with 0.20 and splits by Gateway API routes
          values={"kserve": {"controller": {"deploymentMode": "Standard",
                                            "gateway": {"ingressGateway": {"enableGatewayApi": True}}}}}),
    Chart(name="seldon-core-operator", repository="https://storage.googleapis.com/seldon-charts", version="1.17.1",
          namespace="seldon-system", needed=_seldon("v1"), wave=2,
          # Istio splits the traffic; without cert-manager the chart makes another certificate at each rendering
          values={"istio": {"enabled": True, "gateway": "istio-system/seldon-gateway"},
                  "ambassador": {"enabled": False}, "certManager": {"enabled": True}}),
    Chart(name="redis", repository="registry-1.docker.io/bitnamicharts", version="20.11.3", namespace="redis",
          needed=_stored("online", "redis"),
          values={"auth": {"existingSecret": "redis", "existingSecretPasswordKey": "password"},
                  "image": {"repository": "bitnamilegacy/redis"},  # where this chart's images have been since 2025
                  "global": {"security": {"allowInsecureImages": True}}}),
    Chart(name="cloudnative-pg", repository="https://cloudnative-pg.github.io/charts", version="0.27.1",
          namespace="cnpg-system", needed=lambda subject: bool(subject.database)),
)  # fmt: skip


def files(subject: Subject) -> Files:
    """Return the project, the app of apps and the applications of what is needed."""
    charts = [chart for chart in CHARTS if chart.needed(subject)]
    if not charts or not subject.repository:
        return {}
    return {
        "argocd/platform/project.yaml": Objects([_project(subject, charts)]),
        "argocd/platform/applications.yaml": Objects([_application(subject, chart) for chart in charts]),
        **({"argocd/platform/database.yaml": Objects(_database(subject))} if subject.database else {}),
        "argocd/platform.yaml": Objects([_followed(subject, PROJECT, "argocd/platform")]),
        "argocd/root.yaml": Objects([_followed(subject, f"{subject.name}-root", "argocd")]),
    }


def _project(subject: Subject, charts: list[Chart]) -> dict[str, Any]:
    head = {"name": PROJECT, "namespace": NAMESPACE, "labels": labels(subject, "platform"), "annotations": {WAVE: "-1"}}
    whole = [
             ("", "Namespace"), ("apiextensions.k8s.io", "CustomResourceDefinition"),
             ("rbac.authorization.k8s.io", "ClusterRole"), ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
             ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
             ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
             ("apiregistration.k8s.io", "APIService"), ("scheduling.k8s.io", "PriorityClass"),
             ("serving.kserve.io", "ClusterServingRuntime"), ("serving.kserve.io", "ClusterStorageContainer"),
    ]  # fmt: skip
    return kind(API, "AppProject", head, spec={
        "description": "Tools that models run on",
        "sourceRepos": sorted({subject.repository, *(chart.repository for chart in charts)}),
        "destinations": [
            {"server": CLUSTER, "namespace": name} for name in sorted(
                {NAMESPACE, *(c.namespace for c in charts), *([DATABASE] if subject.database else [])}
            )
        ],
        "clusterResourceWhitelist": [{"group": group, "kind": name} for group, name in whole],
    })  # fmt: skip


def _database(subject: Subject) -> list[dict[str, Any]]:
    """Return PostgreSQL with pgvector: the operator's own image has it. Its address and password are in `postgres-app`.

    CloudNativePG, "Bootstrap", "Container images".
    """
    late = {WAVE: "2", "argocd.argoproj.io/sync-options": "Prune=false,Delete=false,SkipDryRunOnMissingResource=true"}
    closed = {"pod-security.kubernetes.io/enforce": "restricted"}
    named = labels(subject, "database")
    head = {"name": DATABASE, "labels": named}
    return [
        kind("v1", "Namespace", {"name": DATABASE, "labels": {**named, **closed}, "annotations": KEPT}),
        kind("postgresql.cnpg.io/v1", "Cluster", {**head, "namespace": DATABASE, "annotations": late}, spec={
            "instances": subject.database["instances"], "storage": {"size": subject.database["storage"]},
            "bootstrap": {"initdb": {
                "database": "mainspring", "owner": "mainspring",
                "postInitApplicationSQL": ["CREATE EXTENSION IF NOT EXISTS vector"],
            }},
            "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}},
        }),
    ]  # fmt: skip


def _followed(subject: Subject, name: str, path: str) -> dict[str, Any]:
    """Return the application that follows a folder of applications."""
    head = {"name": name, "namespace": NAMESPACE, "labels": labels(subject, "platform"), "annotations": {WAVE: "-1"}}
    source = {
        "repoURL": subject.repository, "targetRevision": subject.branch, "path": path,
        "directory": {"recurse": False},
    }  # fmt: skip
    return kind(API, "Application", head, spec=_spec(source, NAMESPACE))


def _application(subject: Subject, chart: Chart) -> dict[str, Any]:
    head = {"name": chart.name, "namespace": NAMESPACE, "labels": labels(subject, "platform"),
            "annotations": {WAVE: str(chart.wave)}}  # fmt: skip
    source = {
        "repoURL": chart.repository, "chart": chart.name, "targetRevision": chart.version,
        "helm": {"releaseName": chart.name, **({"valuesObject": chart.values} if chart.values else {})},
    }  # fmt: skip
    return kind(API, "Application", head, spec=_spec(source, chart.namespace))


def _spec(source: dict[str, Any], namespace: str) -> dict[str, Any]:
    return {
        "project": PROJECT, "source": source, "destination": {"server": CLUSTER, "namespace": namespace},
        "syncPolicy": {
            "automated": {"prune": True, "selfHeal": True, "allowEmpty": False},
            "syncOptions": [
                "CreateNamespace=true", "PruneLast=true", "ServerSideApply=true", "RespectIgnoreDifferences=true",
            ],
            "retry": RETRY,
        },
        "ignoreDifferences": _CERTIFICATES,
    }  # fmt: skip
