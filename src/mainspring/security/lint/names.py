"""Rules on names that lead from one object to another: ports, Secrets, roles. Told where the files make such things."""

from collections.abc import Iterator, Sequence
from typing import Any

from mainspring.security.lint.across import Found, Placed, chosen_pods
from mainspring.security.lint.sources import Path, at, listed, mapped, pods

_NAME: Path = ("metadata", "name")
_MADE: dict[str, tuple[Path, ...]] = {
    "Secret": (_NAME,), "SealedSecret": (_NAME,), "ExternalSecret": (("spec", "target", "name"), _NAME),
    "VaultStaticSecret": (("spec", "destination", "name"),), "VaultDynamicSecret": (("spec", "destination", "name"),),
    "VaultPKISecret": (("spec", "destination", "name"),), "Certificate": (("spec", "secretName"),),
}  # fmt: skip


def judge(placed: Sequence[Placed]) -> list[Found]:
    """Return the names that lead nowhere, and the roles that nothing uses."""
    return [*_ports(placed), *_secrets(placed), *_roles(placed)]


def _found(rule: str, item: Placed, what: str, path: Path) -> Found:
    return Found(rule, item.source, what, item.source.line(item.place, path))


def _ports(placed: Sequence[Placed]) -> Iterator[Found]:
    services = {(s.namespace, str(at(s.document, _NAME))): s for s in placed if s.document["kind"] == "Service"}
    for item in services.values():
        open_ports = [port for pod in chosen_pods(item, placed) for port in _container_ports(pod.document)]
        for place, port in enumerate(listed(at(item.document, ("spec", "ports")))):
            wanted = mapped(port).get("targetPort", mapped(port).get("port"))
            if open_ports and wanted not in open_ports:
                yield _found("port-missing", item, f"no pod opens port {wanted!r}", ("spec", "ports", place))
    for item in placed:
        if item.document["kind"] == "Ingress" and any(namespace == item.namespace for namespace, _ in services):
            for backend in _backends(item.document.get("spec")):
                service = services.get((item.namespace, str(backend.get("name"))))
                ports = listed(at(service.document, ("spec", "ports"))) if service else []
                wanted = mapped(backend.get("port"))
                if not any(wanted in ({"number": p.get("port")}, {"name": p.get("name")}) for p in map(mapped, ports)):
                    yield _found("port-missing", item, f"no Service {backend.get('name')!r} has {wanted}", ("spec",))


def _container_ports(document: dict[str, Any]) -> Iterator[object]:
    for pod in pods(document):
        for container in listed(pod.spec.get("containers")):
            for port in map(mapped, listed(mapped(container).get("ports"))):
                yield from (port.get("name"), port.get("containerPort"))


def _backends(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("service"), dict):
            yield value["service"]
        value = list(value.values())
    for item in listed(value):
        yield from _backends(item)


def _secrets(placed: Sequence[Placed]) -> Iterator[Found]:
    made = {
        (item.namespace, next((name for path in _MADE[item.document["kind"]] if (name := at(item.document, path))), ""))
        for item in placed
        if item.document["kind"] in _MADE
    }
    for item in placed:
        for pod in pods(item.document) if any(namespace == item.namespace for namespace, _ in made) else ():
            for name in sorted(set(_asked(pod.spec))):
                if (item.namespace, name) not in made:
                    yield _found("secret-missing", item, f"Secret {name!r} is made by no file", pod.path)


def _asked(value: object, key: str = "") -> Iterator[str]:
    """Yield the names of the Secrets that a pod cannot start without."""
    if isinstance(value, dict) and key in ("secret", "secretRef", "secretKeyRef"):
        name = value.get("secretName", value.get("name"))
        if isinstance(name, str) and value.get("optional") is not True:
            yield name
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _asked(item, name)
    for item in listed(value):
        yield from _asked(item)


def _roles(placed: Sequence[Placed]) -> Iterator[Found]:
    roles = {(item.namespace, at(item.document, _NAME)): item for item in placed if item.document["kind"] == "Role"}
    bound = {
        (item.namespace, at(item.document, ("roleRef", "name"))): item
        for item in placed
        if item.document["kind"] == "RoleBinding" and at(item.document, ("roleRef", "kind")) == "Role"
    }
    for where in (bound.keys() - roles.keys()) if roles else ():
        yield _found("role-dangling", bound[where], f"role {where[1]!r} is in no file", ("roleRef",))
    for where in (roles.keys() - bound.keys()) if bound else ():
        yield _found("role-dangling", roles[where], f"no binding uses role {where[1]!r}", ("rules",))
