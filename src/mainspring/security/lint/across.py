"""Rules that need several files: a Service and its pods, a monitor and its Service, a namespace and its policy."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from mainspring.security.lint.sources import Source, at, listed, mapped, pods

_APPLIED = re.compile(r"\bkubectl\s[^\n#]*?\s-f[ =](?!https?:|-)([\w./-]+\.ya?ml)")


class Placed(NamedTuple):
    """An object with its file and place."""

    source: Source
    place: int
    document: dict[str, Any]

    @property
    def namespace(self) -> str:
        """The object's namespace; "" where the file leaves it to who applies it."""
        return str(at(self.document, ("metadata", "namespace")) or "")


class Found(NamedTuple):
    """A finding before it is excused: rule id, source, what, line."""

    rule: str
    source: Source
    what: str
    line: int


def placed_in(sources: Sequence[Source]) -> list[Placed]:
    """Return every object of the files."""
    return [Placed(source, index, document) for source in sources for index, document in source.objects()]


def judge(sources: Sequence[Source]) -> list[Found]:
    """Return what is wrong between the objects of all files."""
    placed = placed_in(sources)
    return [*_networks(placed), *_services(placed), *_monitors(placed), *_files(sources)]


def _of(placed: Sequence[Placed], *kinds: str) -> list[Placed]:
    return [item for item in placed if item.document["kind"] in kinds]


def _networks(placed: list[Placed]) -> list[Found]:
    denied: dict[str, set[str]] = {}
    for item in _of(placed, "NetworkPolicy"):
        spec = mapped(item.document.get("spec"))
        if spec.get("podSelector") == {}:
            for direction in listed(spec.get("policyTypes")):
                if not spec.get(str(direction).lower()):
                    denied.setdefault(item.namespace, set()).add(str(direction))
    found, told = [], set()
    for item in placed:
        if item.namespace in told or not any(True for _ in pods(item.document)):
            continue
        if denied.get(item.namespace, set()) < {"Ingress", "Egress"}:
            told.add(item.namespace)
            what = f"namespace {item.namespace or '(unnamed)'!r} has pods and no default-deny policy"
            found.append(Found("network-open", item.source, what, item.source.line(item.place, ("kind",))))
    return found


def _pod_labels(item: Placed) -> dict[str, Any]:
    kind = item.document["kind"]
    path = ("metadata", "labels") if kind == "Pod" else ("spec", "template", "metadata", "labels")
    return mapped(at(item.document, path))


def _workloads(service: Placed, placed: Sequence[Placed]) -> list[Placed]:
    every = _of(placed, "Pod", "Deployment", "StatefulSet", "DaemonSet", "Rollout")
    return [item for item in every if item.namespace == service.namespace]


def chosen_pods(service: Placed, placed: Sequence[Placed]) -> list[Placed]:
    """Return the objects whose pods a Service selects."""
    wanted = mapped(at(service.document, ("spec", "selector"))).items()
    return [item for item in _workloads(service, placed) if wanted and wanted <= _pod_labels(item).items()]


def _services(placed: list[Placed]) -> list[Found]:
    found = []
    for item in _of(placed, "Service"):
        wanted = mapped(at(item.document, ("spec", "selector")))
        if wanted and _workloads(item, placed) and not chosen_pods(item, placed):
            line = item.source.line(item.place, ("spec", "selector"))
            found.append(Found("service-selects-nothing", item.source, f"selector {wanted} finds no pod", line))
    return found


def _monitors(placed: list[Placed]) -> list[Found]:
    services = _of(placed, "Service")
    found = []
    for item in _of(placed, "ServiceMonitor"):
        if not services:
            continue
        wanted = mapped(at(item.document, ("spec", "selector", "matchLabels")))
        chosen = [s for s in services if wanted.items() <= mapped(at(s.document, ("metadata", "labels"))).items()]
        ports = {mapped(p).get("name") for s in chosen for p in listed(at(s.document, ("spec", "ports")))}
        for place, endpoint in enumerate(listed(at(item.document, ("spec", "endpoints")))):
            port = mapped(endpoint).get("port")
            if not chosen or (port and port not in ports):
                line = item.source.line(item.place, ("spec", "endpoints", place))
                found.append(Found("monitor-selects-nothing", item.source, f"port {port!r} of {wanted}", line))
    return found


def _files(sources: Sequence[Source]) -> list[Found]:
    """Find manifests that a script or a document applies and that are not among the files."""
    names = [f"/{source.path}" for source in sources]
    found = []
    for source in sources:
        if source.kind in ("script", "prose", "workflow"):
            for number, row in enumerate(source.text.splitlines(), start=1):
                for named in _APPLIED.findall(row):
                    tail = "/" + named.removeprefix("./")
                    if not any(name.endswith(tail) for name in names):
                        found.append(Found("file-missing", source, f"{named[:80]!r} does not exist here", number))
    return found
