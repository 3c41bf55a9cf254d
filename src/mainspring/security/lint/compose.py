"""Rules on compose files: what shares the host, holds secrets, changes unseen or is published to everybody.

Compose Specification, "services". A value with `${...}` comes from elsewhere and is not judged.
"""

import re
from collections.abc import Iterator
from typing import Any

from mainspring.security.lint.pods import SECRET_NAME, names_a_file
from mainspring.security.lint.sources import Path, Report, Source, listed, mapped

_SOCKET = re.compile(r"(^|/)(docker|podman|containerd|crio)\.sock$")
_STORES = re.compile(
    r"(^|/)(postgres\w*|pgvector|timescaledb|mysql|mariadb|mongo\w*|redis\S*|valkey|memcached|elasticsearch|opensearch"
    r"|cassandra|clickhouse\S*|minio|seaweedfs|etcd|rabbitmq|kafka|couchdb|neo4j|influxdb)(?=[:@]|$)"
)
_STORE_PORTS = {"3306", "5432", "6379", "9042", "9200", "11211", "27017", "2379", "5672", "9092"}
_NEAR = ("127.", "[::1]", "::1", "localhost")


def judge(source: Source, report: Report) -> None:
    """Report what is wrong with each service of a compose file."""
    for index, document in enumerate(source.documents):
        for name, given in mapped(mapped(document).get("services")).items():
            service, here = mapped(given), ("services", name)
            for rule, what, path in _service(name, service):
                report(rule, what, source.line(index, (*here, *path)))


def _service(name: str, service: dict[str, Any]) -> Iterator[tuple[str, str, Path]]:
    """Yield (rule, what, path inside the service)."""
    if service.get("privileged") in (True, "true"):
        yield "pod-privilege", f"{name} is privileged", ("privileged",)
    shares = [key for key in ("network_mode", "pid", "ipc", "userns_mode") if service.get(key) == "host"]
    if shares:
        yield "pod-host", f"{name}: {', '.join(shares)} of the host", (shares[0],)
    for place, source in _mounts(service):
        if _SOCKET.search(source):
            yield "pod-host", f"{name} mounts {source[:60]}: who has it rules the machine", ("volumes", place)
    image = service.get("image")
    if isinstance(image, str) and "build" not in service and _moves(image):
        yield "image-mutable", f"image {image[:80]!r} names no version", ("image",)
    for key, value, path in _variables(service):
        if value and "${" not in value and SECRET_NAME.search(key) and not names_a_file(key):
            yield "secret-inline", f"{name}: {key} holds its value in the file", path
    for place, port in enumerate(listed(service.get("ports"))):
        host, inside = _published(port)
        if not host.startswith(_NEAR) and (inside in _STORE_PORTS or _STORES.search(str(image))):
            yield "compose-published", f"{name} publishes {inside} on {host or 'every address'}", ("ports", place)


def _mounts(service: dict[str, Any]) -> Iterator[tuple[int, str]]:
    for place, volume in enumerate(listed(service.get("volumes"))):
        yield place, str(volume.get("source", "")) if isinstance(volume, dict) else str(volume).partition(":")[0]


def _moves(image: str) -> bool:
    """Tell whether an image may be another one tomorrow: no digest, and no tag or `latest`."""
    if "@sha256:" in image or "${" in image:
        return False
    tag = image.rpartition("/")[2].partition(":")[2]
    return tag in ("", "latest")


def _variables(service: dict[str, Any]) -> Iterator[tuple[str, str, Path]]:
    given = service.get("environment")
    for key, value in mapped(given).items():
        yield key, "" if value is None else str(value), ("environment", key)
    for place, row in enumerate(listed(given)):
        key, _, value = str(row).partition("=")
        yield key, value, ("environment", place)


def _published(port: object) -> tuple[str, str]:
    """Return (address of the host, port inside); "" is every address. Short, long and ranged forms."""
    if isinstance(port, dict):
        return str(port.get("host_ip", "")), str(port.get("target", ""))
    words = str(port).partition("/")[0]
    outer, _, inside = words.rpartition(":")
    address, colon, _ = outer.rpartition(":")
    return (address if colon else "", inside)
