"""Rules on pods: the Restricted profile of the Pod Security Standards, images, limits, probes."""

import itertools
import re
from typing import Any

from mainspring.security.lint.sources import Path, PodSpec, Report, Source, containers, listed, mapped, pods

_PINNED = re.compile(r"\S+@sha256:[0-9a-f]{64}")
_EVERYWHERE = re.compile(r"^(0\.0\.0\.0|::|\[::\])$")


def judge(source: Source, report: Report) -> None:
    """Report what is wrong with each pod of a file."""
    for index, document in source.objects():
        for pod in pods(document):
            _pod(pod, report, source.line(index, pod.path))
            for path, container in containers(pod):
                serving = pod.serving and "initContainers" not in path
                _container(container, report, source.line(index, path), serving=serving)
                _image(container, report, source.line(index, (*path, "image")))
                _tracking(container, report, source.line(index, path))
                _inline(source, index, path, container, report)


def _pod(pod: PodSpec, report: Report, line: int) -> None:
    spec = pod.spec
    security = mapped(spec.get("securityContext"))
    inside = [mapped(container.get("securityContext")) for _, container in containers(pod)]
    if not _everywhere(security, inside, lambda context: context.get("runAsNonRoot") is True):
        report("pod-runs-as-root", "runAsNonRoot is not true", line)
    if not _everywhere(security, inside, _has_seccomp):
        report("pod-seccomp", "no seccompProfile RuntimeDefault", line)
    if not isinstance(spec.get("automountServiceAccountToken"), bool):
        report("pod-token", "automountServiceAccountToken is not set", line)
    shares = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name) is True]
    shares += ["hostPath" for volume in listed(spec.get("volumes")) if "hostPath" in mapped(volume)]
    if shares:
        report("pod-host", f"{', '.join(shares)} shares what belongs to the host", line)


def _everywhere(pod: dict[str, Any], inside: list[dict[str, Any]], holds: Any) -> bool:  # noqa: ANN401 - a predicate
    """Tell whether a property holds for the pod, or in every container of it."""
    return bool(holds(pod)) or (bool(inside) and all(holds(context) for context in inside))


def _has_seccomp(context: dict[str, Any]) -> bool:
    return mapped(context.get("seccompProfile")).get("type") in ("RuntimeDefault", "Localhost")


def _container(container: dict[str, Any], report: Report, line: int, *, serving: bool) -> None:
    name, security = container.get("name", "container"), mapped(container.get("securityContext"))
    if security.get("privileged") is True or security.get("allowPrivilegeEscalation") is not False:
        report("pod-privilege", f"{name}: allowPrivilegeEscalation is not false", line)
    if "ALL" not in listed(mapped(security.get("capabilities")).get("drop")):
        report("pod-capabilities", f"{name}: capabilities are not dropped", line)
    if security.get("readOnlyRootFilesystem") is not True:
        report("pod-writable-root", f"{name}: readOnlyRootFilesystem is not true", line)
    resources = mapped(container.get("resources"))
    if "memory" not in mapped(resources.get("limits")) or not mapped(resources.get("requests")):
        report("pod-limits", f"{name}: no memory limit or no requests", line)
    if serving and not ("readinessProbe" in container and "livenessProbe" in container):
        report("pod-probes", f"{name}: no readinessProbe or livenessProbe", line)


def _image(container: dict[str, Any], report: Report, line: int) -> None:
    image = container.get("image")
    if isinstance(image, str) and not _PINNED.fullmatch(image) and "{{" not in image:
        report("image-mutable", f"image {image[:80]!r} is not pinned by digest", line)


def _tracking(container: dict[str, Any], report: Report, line: int) -> None:
    words = [str(word) for part in ("command", "args") for word in listed(container.get(part))]
    flat = " ".join(words).split()
    tracker = (
        "mlflow" in str(container.get("image", "")) or "mlflow" in str(container.get("name", "")) or "mlflow" in flat
    )
    hosts = [after for word, after in itertools.pairwise(flat) if word in ("--host", "-h")]
    hosts += [word.partition("=")[2] for word in flat if word.startswith("--host=")]
    if tracker and any(_EVERYWHERE.match(host) for host in hosts):
        report("tracking-exposed", "MLflow listens on every address", line)


SECRET_NAME = re.compile(r"(?i)(passw(or)?d|secret|token|api_?key|credential|private_?key)")


def names_a_file(variable: str) -> bool:
    """Tell whether a variable says where a secret is, and holds none."""
    return variable.endswith(("_FILE", "_PATH", "_NAME", "_URL"))


def _inline(source: Source, index: int, path: Path, container: dict[str, Any], report: Report) -> None:
    for place, variable in enumerate(listed(container.get("env"))):
        item = mapped(variable)
        name, value = str(item.get("name", "")), item.get("value")
        if isinstance(value, str) and value and SECRET_NAME.search(name) and not names_a_file(name):
            report("secret-inline", f"{name} holds its value in the file", source.line(index, (*path, "env", place)))
