"""What a rule sees of one file: its path, text, parsed documents and where each value stands."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["kubernetes", "workflow", "compose", "dockerfile", "script", "prose"]
Path = tuple[str | int, ...]
Report = Callable[[str, str, int], None]
"""(rule id, what, line) -> noted, unless the file excuses it there."""

ALLOW = re.compile(r"mainspring: allow ([a-z-]+) because (\S.{5,200})")
_POD_PATHS: Mapping[str, Path] = {
    "Pod": ("spec",), "Deployment": ("spec", "template", "spec"), "StatefulSet": ("spec", "template", "spec"),
    "DaemonSet": ("spec", "template", "spec"), "ReplicaSet": ("spec", "template", "spec"),
    "Rollout": ("spec", "template", "spec"), "Job": ("spec", "template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}  # fmt: skip
_WORKFLOWS = ("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file. documents: parsed YAML documents. lines: (document index, path of a value) -> its line, from 1.

    failed: why it could not be parsed, or "".
    """

    path: str
    kind: Kind
    text: str
    documents: Sequence[Any] = ()
    lines: Mapping[tuple[int, Path], int] = field(default_factory=dict)
    failed: str = ""

    def line(self, document: int, path: Path) -> int:
        """Return the line of a value, or of the nearest thing around it that has one."""
        for length in range(len(path), -1, -1):
            found = self.lines.get((document, path[:length]))
            if found is not None:
                return found
        return 1

    def objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (index, object) of every document that looks like a Kubernetes object; Lists are opened by readers."""
        for index, document in enumerate(self.documents):
            if isinstance(document, dict) and isinstance(document.get("kind"), str) and "apiVersion" in document:
                yield index, document


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSpec:
    """A pod specification inside an object. serving: it runs for ever, so probes make sense."""

    spec: dict[str, Any]
    path: Path
    serving: bool


def pods(document: dict[str, Any]) -> Iterator[PodSpec]:
    """Yield the pod specifications of an object; an Argo workflow's templates count as pods without probes."""
    kind = document["kind"]
    path = _POD_PATHS.get(kind)
    if path is not None:
        spec = at(document, path)
        if isinstance(spec, dict):
            yield PodSpec(spec=spec, path=path, serving=kind not in ("Job", "CronJob") and _restarts(spec))
    if kind in _WORKFLOWS:
        root: Path = ("spec", "workflowSpec") if kind == "CronWorkflow" else ("spec",)
        yield from _templates(document, root)


def _restarts(spec: dict[str, Any]) -> bool:
    return spec.get("restartPolicy") not in ("Never", "OnFailure")


def _templates(document: dict[str, Any], root: Path) -> Iterator[PodSpec]:
    spec = at(document, root)
    shared = spec if isinstance(spec, dict) else {}
    for index, template in enumerate(listed(at(document, (*root, "templates")))):
        if isinstance(template, dict) and isinstance(template.get("container"), dict):
            joined = {
                "containers": [template["container"]],
                "securityContext": template.get("securityContext", shared.get("securityContext")),
                "automountServiceAccountToken": template.get(
                    "automountServiceAccountToken", shared.get("automountServiceAccountToken")
                ),
            }
            yield PodSpec(spec=joined, path=(*root, "templates", index), serving=False)


def containers(pod: PodSpec) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield (path, container) of every container of a pod."""
    for group in ("initContainers", "containers"):
        for index, container in enumerate(listed(pod.spec.get(group))):
            if isinstance(container, dict):
                yield (*pod.path, group, index), container


def at(value: Any, path: Path) -> Any:  # noqa: ANN401 - any YAML value
    """Return the value at a path, or None."""
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def listed(value: object) -> list[Any]:
    """Return the value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def mapped(value: object) -> dict[str, Any]:
    """Return the value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def texts(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:  # noqa: ANN401 - any YAML value
    """Yield (path, text) of every text inside a value."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts(item, (*path, index))
