"""Where the server listens: which addresses it may take, and the sockets themselves."""

import contextlib
import ipaddress
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from mainspring.entry.inference.access import KeyRing
from mainspring.entry.inference.protocol import Deadlines
from mainspring.entry.inference.tls import Tls
from mainspring.kernel.errors import MainspringError


class InsecureBind(MainspringError):
    """An address that other machines reach, without a key that they would need."""

    code = "server.insecure_bind"


class PortTaken(MainspringError):
    """The port is in use, or may not be used."""

    code = "server.port"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A host and a port; port 0 picks a free one."""

    host: str = "127.0.0.1"
    port: int = 0

    @property
    def loopback(self) -> bool:
        """Tell whether only this machine reaches it."""
        with contextlib.suppress(ValueError):
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        return False

    @property
    def text(self) -> str:
        """Return `host:port`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a running server answers, as URLs without a path. grpc, grpc_admin: `host:port`, or "" for none."""

    public: str
    admin: str
    metrics: str
    grpc: str = ""
    grpc_admin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where to listen and how to stop. Times in seconds.

    grpc: the gRPC port of predictions, or None for none.
    listener: descriptor of the public port's listener, handed on by a parent, or -1.
    scrape: SHA-256 of the metrics port's own token, or None. poll_s: between looks at releases and tokens. retry_s:
    between tries of a version that failed to load. drain_s: how long answers go on after readiness went off.
    beside: gives a text exposition that is shown with the server's own metrics. tls: of the ports of predictions, HTTP
    and gRPC; None: they speak plain.
    """

    public: Address = Address()
    admin: Address = Address()
    metrics: Address = Address()
    grpc: Address | None = None
    listener: int = -1
    scrape: bytes | None = None
    poll_s: float = 0.5
    retry_s: float = 10.0
    drain_s: float = 1.0
    deadlines: Deadlines = field(default_factory=Deadlines)
    beside: Callable[[], bytes] = bytes
    tls: Tls | None = None

    @property
    def scheme(self) -> str:
        """Return what the public port speaks: `http` or `https`."""
        return "https" if self.tls else "http"


def check_addresses(at: Listening, ring: KeyRing) -> None:
    """Refuse every address that others reach and nobody guards."""
    for address in (at.public, *([at.grpc] if at.grpc else [])):
        if not address.loopback and not ring.exists:
            raise _insecure(address, "there is no API key", "mainspring tokens create NAME, or serve on 127.0.0.1")
    if not at.admin.loopback and not ring.holds("admin"):
        raise _insecure(at.admin, "no API key has the role admin", "mainspring tokens create NAME --role admin")
    if not at.metrics.loopback and at.scrape is None and not ring.holds("metrics"):
        fix = "give --metrics-token-file, or mainspring tokens create NAME --role metrics"
        raise _insecure(at.metrics, "there is no scrape token", fix)


def bound(at: Address, *, shared: bool = False) -> socket.socket:
    """Return a listening socket's beginning; shared: other processes of ours may be given it too."""
    family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((at.host, at.port))
        listener.set_inheritable(shared)
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"port {at.port} of {at.host[:80]} cannot be used: {error.strerror}", fix="use another port, or 0"
        ) from error
    return listener


def reserved(at: Address) -> socket.socket:
    """Return a socket that keeps a port for listeners of our own processes, which all bind it (Linux: SO_REUSEPORT).

    It never listens itself; the kernel deals connections to those that do.
    """
    family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
    keeper = socket.socket(family, socket.SOCK_STREAM)
    try:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        keeper.bind((at.host, at.port))
    except OSError as error:
        keeper.close()
        raise PortTaken(
            f"port {at.port} of {at.host[:80]} cannot be used: {error.strerror}", fix="use another port, or 0"
        ) from error
    return keeper


def url(listener: socket.socket, scheme: str = "http") -> str:
    """Return a listener's address as a URL."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _insecure(at: Address, why: str, fix: str) -> InsecureBind:
    return InsecureBind(f"{at.host[:80]!r} can be reached from other machines, and {why}", fix=fix)
