"""`security/rbac-minimal.yaml`: who may do what, one service account a job. No job both starts pods and reads secrets.

The server asks the cluster for nothing. A step's pod may report its own result (Argo Workflows, "Workflow RBAC"); who
starts a retraining may submit the one template and read no secret (its quick-start role for webhooks); the account that
fetches secrets has no right in the cluster at all: Vault knows it by its token. Who may create workflows may run pods,
and a pod may mount what its namespace holds: so the controller takes workflows from templates only (argocd/platform).
"""

from typing import Any

from mainspring.deliver.render.content import Files, Objects
from mainspring.deliver.render.kubernetes import kind, metadata, placed
from mainspring.deliver.render.subject import Place, Subject

RBAC = "rbac.authorization.k8s.io"
PATH = "security/rbac-minimal.yaml"
Rule = dict[str, list[str]]
_OPENING = ("steps", "watch")  # jobs that open stores, besides the server
_RESULTS: Rule = {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}


def account(subject: Subject, job: str) -> str:
    """Return the service account's name of a job: `steps`, `submit`, `watch`, `secrets`, `mlflow`; "" is the server."""
    return f"{subject.name}-{job}" if job else subject.name


def files(subject: Subject) -> Files:
    """Return the accounts, roles and bindings of every environment; the server's account comes with the chart."""
    objects = [document for place in subject.places for document in _place(subject, place)]
    return {PATH: Objects(objects)} if objects else {}


def rights(subject: Subject, place: Place) -> dict[str, list[Rule]]:
    """Return each job that has an account of its own here, with its rules."""
    found: dict[str, list[Rule]] = {}
    if place.scheduler == "cronworkflow":
        found["steps"] = [_RESULTS]
        found["submit"] = [
            {"apiGroups": ["argoproj.io"], "resources": ["workflowtemplates"],
             "resourceNames": [f"{subject.name}-retrain"], "verbs": ["get"]},
            {"apiGroups": ["argoproj.io"], "resources": ["workfloweventbindings"], "verbs": ["list"]},
            {"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["create"]},
        ]  # fmt: skip
    if place.scheduler:
        found["watch"] = [_RESULTS] if place.scheduler == "cronworkflow" else []
    if subject.vault and subject.vault.means != "agent":
        found["secrets"] = []
    return found


def _place(subject: Subject, place: Place) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for job, rules in rights(subject, place).items():
        name = account(subject, job)
        head = metadata(subject, place, name, job)
        known = {"annotations": dict(place.identity)} if place.identity and job in _OPENING else {}
        # a pod of an account pulls its image by the account's secrets (Kubernetes, "Add ImagePullSecrets")
        pulls = placed(place, "steps").get("imagePullSecrets") if job in _OPENING else None
        known_by = {"imagePullSecrets": pulls} if pulls else {}
        found.append(kind("v1", "ServiceAccount", head | known, automountServiceAccountToken=False, **known_by))
        if rules:
            found.append(kind(f"{RBAC}/v1", "Role", head, rules=rules))
            found.append(kind(
                f"{RBAC}/v1", "RoleBinding", head,
                roleRef={"apiGroup": RBAC, "kind": "Role", "name": name},
                subjects=[{"kind": "ServiceAccount", "name": name, "namespace": head["namespace"]}],
            ))  # fmt: skip
    return found
