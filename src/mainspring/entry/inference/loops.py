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

from mainspring.entry.inference import protocol as limits

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_DESCRIPTORS = 65_536
_BACKLOG = 4_096
_CLOSED_S = 0.01
_LAST_HANDSHAKE_S = 1.0
_NO_DESCRIPTOR_S = 0.1


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

    handshake_s: how long a client may take to agree on TLS, where the port speaks it. It counts as a connection while
    it does; one too many is closed before.
    """

    def __init__(self, config: uvicorn.Config, handshake_s: float = 10.0) -> None:
        super().__init__(config)
        self.handshake_s = handshake_s
        self._accepting: list[asyncio.Task[None]] = []
        self._agreeing: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen as uvicorn does; with TLS by ourselves: uvicorn leaves a silent client a minute, and counts none."""
        if self.config.ssl is None:
            await super().startup(sockets)
            return
        self.servers = []
        for listener in sockets or []:
            listener.setblocking(False)
            listener.listen(self.config.backlog)
            self._accepting.append(asyncio.create_task(self._accept(listener)))
        self.started = True

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError:  # it has left again, or every descriptor is taken
                await asyncio.sleep(_NO_DESCRIPTOR_S)
                continue
            if len(self._agreeing) + len(self.server_state.connections) < limits.CONNECTIONS:
                agreed = asyncio.create_task(self._serve_one(connection, self.handshake_s))
                self._agreeing.add(agreed)
                agreed.add_done_callback(self._agreeing.discard)
            else:
                connection.close()
            await asyncio.sleep(0)  # a flood of clients lets the others have their turn

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take in the connections that wait to be accepted before the listener closes, then end as uvicorn does.

        The kernel resets what it has accepted and nobody took: a client would lose a request that it was let send.
        """
        spare = [listener.dup() for listener in sockets or []]
        for server in self.servers:
            server.close()
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for listener in sockets or []:
            listener.close()
        await asyncio.sleep(_CLOSED_S)  # uvloop lets go of its descriptor in a later turn; then ours is the last
        taken = [connection for listener in spare for connection in _waiting(listener)]
        last = {asyncio.create_task(self._serve_one(connection, _LAST_HANDSHAKE_S)) for connection in taken}
        if last | self._agreeing:
            _, silent = await asyncio.wait(last | self._agreeing, timeout=_LAST_HANDSHAKE_S)
            for task in silent:
                task.cancel()
        await super().shutdown([])

    async def _serve_one(self, connection: socket.socket, handshake_s: float) -> None:
        secure = self.config.ssl
        with contextlib.suppress(OSError):  # who fails at TLS is gone
            await asyncio.get_running_loop().connect_accepted_socket(
                self._connection, connection, ssl=secure, ssl_handshake_timeout=handshake_s if secure else None
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
    return Port(config, handshake_s)


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
