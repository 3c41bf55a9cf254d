"""Rules on Argo CD and Argo Workflows."""

from typing import Any

from mainspring.security.lint.sources import Path, Report, Source, at, listed, mapped

_WORKFLOWS = ("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow")


def judge(source: Source, report: Report) -> None:
    """Report what is wrong with each Application, project and workflow of a file."""
    for index, document in source.objects():
        if document["kind"] == "Application" and "argoproj" in str(document["apiVersion"]):
            _application(source, index, document, ("spec",), report)
        elif document["kind"] == "ApplicationSet":
            _application(source, index, document, ("spec", "template", "spec"), report)
        elif document["kind"] == "AppProject":
            _project(source, index, document, report)
        elif document["kind"] in _WORKFLOWS:
            _workflow(source, index, document, report)


def _application(source: Source, index: int, document: dict[str, Any], root: Path, report: Report) -> None:
    spec = mapped(at(document, root))
    if spec.get("project", "default") == "default":
        report("gitops-default-project", "project: default", source.line(index, (*root, "project")))
    sources = [mapped(spec.get("source")), *map(mapped, listed(spec.get("sources")))]
    if any(item and str(item.get("targetRevision", "HEAD")) == "HEAD" for item in sources):
        report(
            "gitops-moving-revision", "targetRevision: HEAD", source.line(index, (*root, "source", "targetRevision"))
        )
    if mapped(spec.get("destination")).get("namespace") == "default":
        report("namespace-default", "destination is the namespace default", source.line(index, (*root, "destination")))
    policy = mapped(spec.get("syncPolicy"))
    automated = mapped(policy.get("automated"))
    if automated.get("prune") is True and not _guarded(policy, automated):
        report("gitops-unguarded-prune", "prune: true without a guard", source.line(index, (*root, "syncPolicy")))


def _guarded(policy: dict[str, Any], automated: dict[str, Any]) -> bool:
    return automated.get("allowEmpty") is False and "PruneLast=true" in listed(policy.get("syncOptions"))


def _project(source: Source, index: int, document: dict[str, Any], report: Report) -> None:
    spec = mapped(document.get("spec"))
    open_ = []
    if "*" in listed(spec.get("sourceRepos")):
        open_.append("sourceRepos")
    if any("*" in (mapped(d).get("namespace"), mapped(d).get("server")) for d in listed(spec.get("destinations"))):
        open_.append("destinations")
    for name in ("clusterResourceWhitelist", "namespaceResourceWhitelist"):
        if any(mapped(item).get("kind") == "*" for item in listed(spec.get(name))):
            open_.append(name)
    if open_:
        report("gitops-open-project", f"{', '.join(open_)} hold *", source.line(index, ("spec",)))


def _workflow(source: Source, index: int, document: dict[str, Any], report: Report) -> None:
    root: Path = ("spec", "workflowSpec") if document["kind"] == "CronWorkflow" else ("spec",)
    spec = mapped(at(document, root))
    templates = listed(spec.get("templates"))
    names = {mapped(template).get("name") for template in templates}
    if not templates or "workflowTemplateRef" in spec:
        return
    wanted = [(spec.get(key), (*root, key)) for key in ("entrypoint", "onExit") if key in spec]
    for place, template in enumerate(templates):
        here: Path = (*root, "templates", place)
        for step in _steps(mapped(template)):
            if "template" in step:
                wanted.append((step["template"], here))
    for name, path in wanted:
        if name not in names:
            report("template-missing", f"template {str(name)[:60]!r} does not exist", source.line(index, path))


def _steps(template: dict[str, Any]) -> list[dict[str, Any]]:
    steps = [mapped(step) for group in listed(template.get("steps")) for step in listed(group) or [group]]
    return steps + [mapped(task) for task in listed(mapped(template.get("dag")).get("tasks"))]
