"""The event loop, uvicorn as we use it, and signals: what one server and a parent of workers share."""

import asyncio
import contextlib
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import uvicorn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_DESCRIPTORS = 65_536
_BACKLOG = 4_096
_CLOSED_S = 0.01
_LAST_HANDSHAKE_S = 1.0


@dataclass(slots=True, kw_only=True)
class Stop:
    """Lets another thread end a server, as SIGTERM would."""

    asked: threading.Event

    @classmethod
    def new(cls) -> "Stop":
        """Return one that nobody has asked yet."""
        return cls(asked=threading.Event())


class Port(uvicorn.Server):
    """uvicorn without its own signal handling: it would raise the signal again and spoil the exit status.

    handshake_s: how long a client may take to agree on TLS, where the port speaks it.
    """

    handshake_s = 10.0

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen as uvicorn does; with TLS by ourselves, for uvicorn leaves a silent client a minute."""
        if self.config.ssl is None:
            await super().startup(sockets)
            return
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                self._connection, sock=listener, ssl=self.config.ssl, backlog=self.config.backlog,
                ssl_handshake_timeout=self.handshake_s,
            )
            for listener in sockets or []
        ]  # fmt: skip
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take in the connections that wait to be accepted before the listener closes, then end as uvicorn does.

        The kernel resets what it has accepted and nobody took: a client would lose a request that it was let send.
        """
        spare = [listener.dup() for listener in sockets or []]
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        await asyncio.sleep(_CLOSED_S)  # uvloop lets go of its descriptor in a later turn; then ours is the last
        taken = [connection for listener in spare for connection in _waiting(listener)]
        await asyncio.gather(*map(self._serve_one, taken), return_exceptions=True)  # who fails at TLS is gone
        await super().shutdown([])

    async def _serve_one(self, connection: socket.socket) -> None:
        secure = self.config.ssl
        await asyncio.get_running_loop().connect_accepted_socket(
            self._connection, connection, ssl=secure, ssl_handshake_timeout=_LAST_HANDSHAKE_S if secure else None
        )

    def _connection(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state={}, _loop=asyncio.get_running_loop()
        )


def _waiting(listener: socket.socket) -> list[socket.socket]:
    """Return the connections that wait to be accepted, and close the listener right after the last."""
    found: list[socket.socket] = []
    with listener:
        listener.setblocking(False)
        while len(found) < _BACKLOG:
            try:
                found.append(listener.accept()[0])
            except OSError:
                break
    return found


def port_of(
    app: Any,  # noqa: ANN401 - any ASGI application
    protocol: Any,  # noqa: ANN401 - any maker of a protocol
    secure: ssl.SSLContext | None = None,
    handshake_s: float = 10.0,
) -> Port:
    """Return a server of one port, with TLS where it is given a context."""
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=30,
    )
    config.load()
    config.ssl = secure
    port = Port(config)
    port.handshake_s = handshake_s
    return port


async def all_started(ports: Sequence[Port], tasks: Sequence["asyncio.Task[None]"]) -> None:
    """Return once every port answers; raise what ended one before."""
    while not all(port.started for port in ports):
        if any(task.done() for task in tasks):
            await asyncio.gather(*tasks)
        await asyncio.sleep(0.005)


class Signals:
    """Counts SIGTERM and SIGINT in the main thread while its block lasts. second: called at every one but the first."""

    def __init__(self, second: Callable[[], None]) -> None:
        self.count, self._second = 0, second

    @contextlib.contextmanager
    def handled(self) -> Generator[None, None, None]:
        """Handle signals in this block."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._signalled) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 1:
            self._second()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return uvloop's maker of loops; asyncio's own on Windows."""
    if sys.platform == "win32":
        return asyncio.new_event_loop
    import uvloop

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def allow_connections() -> None:
    """Let the process have as many descriptors as it may: the usual 1,024 are soon used up."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
