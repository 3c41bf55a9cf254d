"""Where a store is, as far as its address tells: in this namespace, in another, at an address, outside, or hidden."""

import ipaddress
import re
from dataclasses import dataclass

_URL = re.compile(
    r"(?P<scheme>[a-z0-9]+)://([^/@]*@)?(?P<host>\[[0-9a-f:.]+\]|[A-Za-z0-9.-]*)(:(?P<port>\d{1,5}))?(?=[/?#]|$)"
)
_PORTS = {
    "s3": 443, "s3a": 443, "gs": 443, "az": 443, "abfs": 443, "abfss": 443, "https": 443, "http": 80, "redis": 6379,
    "rediss": 6379, "postgresql": 5432, "postgres": 5432,
}  # fmt: skip
_KINDS = {"ledger": 5432, "models": 443, "tables": 443, "online": 6379, "tracking": 443}
_BUCKETS = frozenset({"s3", "s3a", "gs", "az", "abfs", "abfss"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A store's place. host: as written. port: 0 for what is no network address.

    near: a Service of the same namespace. namespace: of a Service elsewhere. address: a network of one address.
    hidden: the address is a secret. None of these: outside of the cluster.
    """

    host: str = ""
    port: int = 0
    near: bool = False
    namespace: str = ""
    address: str = ""
    hidden: bool = False


def endpoint(kind: str, address: str) -> Endpoint:
    """Return where a store of a kind (`ledger`, `models`, ...) is. A bucket is outside, on 443.

    Names in the cluster are `service`, `service.namespace.svc` and what follows; every other name is outside.
    """
    if address.startswith("secret://"):
        return Endpoint(port=_KINDS[kind], hidden=True)
    found = _URL.match(address)
    if not found:
        return Endpoint()
    scheme, host = found["scheme"], found["host"].strip("[]")
    if scheme in _BUCKETS:
        return Endpoint(port=_PORTS[scheme])
    number = int(found["port"] or _PORTS.get(scheme, 0))
    if not host or not 0 < number < 1 << 16:
        return Endpoint()
    try:
        block = str(ipaddress.ip_network(host))
    except ValueError:
        labels = host.split(".")
        inside = len(labels) > 2 and labels[2] == "svc"
        return Endpoint(host=host, port=number, near=len(labels) == 1, namespace=labels[1] if inside else "")
    return Endpoint(host=host, port=number, address=block)
