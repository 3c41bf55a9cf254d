"""Rules on single Kubernetes objects: roles, namespaces, schedules, models, Secrets."""

import re
from typing import Any

from mainspring.security.lint.sources import Report, Source, at, listed, mapped, texts

_ROLES = ("Role", "ClusterRole")
_CHANGES = {"create", "update", "patch", "*"}
_READS = {"get", "list", "watch", "*"}
_RUNS_CODE = re.compile(r"\.(pkl|pickle|joblib|pt|pth|dill|mar|npy|h5|keras)$", re.IGNORECASE)
_CODE_SERVERS = {"SKLEARN_SERVER", "XGBOOST_SERVER", "MLFLOW_SERVER"}
_CODE_FORMATS = {"sklearn", "xgboost", "lightgbm", "pytorch", "mlflow"}
_FIELD = re.compile(r"[0-9A-Za-z*/,\-?LW#]+")
_CRON_FIELDS = 5
_NAMESPACED_ELSEWHERE = {"ClusterRole", "ClusterRoleBinding", "Namespace", "CustomResourceDefinition", "AppProject"}


def judge(source: Source, report: Report) -> None:
    """Report what is wrong with each object of a file."""
    for index, document in source.objects():
        _namespace(source, index, document, report)
        if document["kind"] in _ROLES:
            _role(source, index, document, report)
        if at(document, ("roleRef", "name")) == "cluster-admin":
            report("rbac-wildcard", "a binding to cluster-admin", source.line(index, ("roleRef",)))
        if document["kind"] in ("CronJob", "CronWorkflow"):
            _schedule(source, index, document, report)
        if document["kind"] in ("SeldonDeployment", "InferenceService", "ServingRuntime"):
            _model(source, index, document, report)
        if document["kind"] == "Secret" and (document.get("data") or document.get("stringData")):
            report("secret-inline", "a Secret with its values", source.line(index, ("kind",)))


def _namespace(source: Source, index: int, document: dict[str, Any], report: Report) -> None:
    named = at(document, ("metadata", "namespace"))
    if document["kind"] not in _NAMESPACED_ELSEWHERE and named == "default":
        report("namespace-default", f"{document['kind']} in default", source.line(index, ("metadata", "namespace")))


def _role(source: Source, index: int, document: dict[str, Any], report: Report) -> None:
    makes_pods = reads_secrets = False
    for place, item in enumerate(listed(document.get("rules"))):
        rule = mapped(item)
        line = source.line(index, ("rules", place))
        resources, verbs = set(listed(rule.get("resources"))), set(listed(rule.get("verbs")))
        if "*" in resources | verbs | set(listed(rule.get("apiGroups"))):
            report("rbac-wildcard", "apiGroups, resources or verbs hold *", line)
        makes_pods |= bool(resources & {"pods", "*", "deployments", "jobs"}) and bool(verbs & _CHANGES)
        if resources & {"secrets", "*"} and verbs & _READS:
            reads_secrets |= not rule.get("resourceNames")
            if not rule.get("resourceNames"):
                report("rbac-unnamed-secrets", "secrets without resourceNames", line)
    if makes_pods and reads_secrets:
        name = at(document, ("metadata", "name"))
        report("rbac-pods-and-secrets", f"role {name!r} creates pods and reads secrets", source.line(index, ("rules",)))


def _schedule(source: Source, index: int, document: dict[str, Any], report: Report) -> None:
    spec = mapped(document.get("spec"))
    line = source.line(index, ("spec",))
    schedules = [spec["schedule"]] if "schedule" in spec else listed(spec.get("schedules"))
    for text in schedules:
        fields = str(text).split()
        if len(fields) != _CRON_FIELDS or not all(_FIELD.fullmatch(part) for part in fields):
            report("cron-invalid", f"schedule {str(text)[:60]!r}", line)
        elif any(part.startswith("/") for part in fields):
            report("cron-invalid", f"schedule {str(text)[:60]!r}: a step needs a range before it", line)
    missing = [] if spec.get("concurrencyPolicy") in ("Forbid", "Replace") else ["concurrencyPolicy"]
    missing += [] if "startingDeadlineSeconds" in spec else ["startingDeadlineSeconds"]
    inner = mapped(at(spec, ("jobTemplate", "spec")) if document["kind"] == "CronJob" else spec.get("workflowSpec"))
    missing += [] if "activeDeadlineSeconds" in inner else ["activeDeadlineSeconds"]
    if missing:
        report("cron-overlap", f"{document['kind']} without {', '.join(missing)}", line)


def _model(source: Source, index: int, document: dict[str, Any], report: Report) -> None:
    for path, text in texts(document.get("spec"), ("spec",)):
        line = source.line(index, path)
        if path[-1] in ("modelUri", "storageUri", "uri"):
            if _RUNS_CODE.search(text):
                report("model-runs-code", f"{text[:100]!r} can run code", line)
            if "sha256" not in text:
                report("model-unpinned", f"{text[:100]!r} names no digest", line)
        elif path[-1] == "implementation" and text in _CODE_SERVERS:
            report("model-runs-code", f"{text} unpickles what it loads", line)
        elif path[-2:] == ("modelFormat", "name") and text in _CODE_FORMATS and document["kind"] != "ServingRuntime":
            report("model-runs-code", f"model format {text!r} unpickles what it loads", line)
