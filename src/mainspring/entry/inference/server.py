"""Run the inference server: two ports in one event loop, a reconciler beside them, and an orderly end.

SIGTERM or SIGINT: readiness goes off, answers go on for `drain_s` and ask clients to leave their connections, then the
ports close, the log is written and the process may exit 0. A second signal ends at once.
"""

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import uvicorn

from mainspring.entry.inference.admin import AdminApp, Served
from mainspring.entry.inference.http import PublicApp
from mainspring.entry.inference.metrics import Metrics
from mainspring.entry.inference.protocol import BoundedProtocol, Deadlines, sweep_forever
from mainspring.kernel.errors import MainspringError
from mainspring.serve.log import PredictionLog
from mainspring.serve.plane import Plane
from mainspring.serve.reconciler import Reconciler

_SWITCH_S = 5.0
_log = logging.getLogger("mainspring.inference")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InsecureBind(MainspringError):
    """An address that other machines reach, without authentication."""

    code = "server.insecure_bind"


class PortTaken(MainspringError):
    """The port is in use, or may not be used."""

    code = "server.port"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a running server answers, as URLs without a path."""

    public: str
    admin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where to listen and how to stop. port, admin_port: 0 picks a free one. Times in seconds.

    poll_s: between looks at the release. retry_s: between tries of a version that failed to load.
    """

    host: str = "127.0.0.1"
    port: int = 0
    admin_port: int = 0
    poll_s: float = 0.5
    retry_s: float = 10.0
    drain_s: float = 1.0
    deadlines: Deadlines = field(default_factory=Deadlines)


@dataclass(slots=True, kw_only=True)
class Stop:
    """Lets another thread end a server, as SIGTERM would."""

    asked: threading.Event

    @classmethod
    def new(cls) -> "Stop":
        """Return a stop that nobody asked for yet."""
        return cls(asked=threading.Event())


def run(
    plane: Plane, log: PredictionLog, reconciler: Reconciler, *,
    listening: Listening | None = None, ready: Callable[[Addresses], None] = lambda _: None, stop: Stop | None = None,
) -> None:  # fmt: skip
    """Serve until SIGTERM, SIGINT or `stop`; then drain and close `log`.

    ready: called once both ports answer (the CLI prints the line there). The first look at the release happens before.
    Raises `InsecureBind` or `PortTaken` before anything is started.
    """
    at = listening or Listening()
    _check_loopback(at.host)
    with contextlib.ExitStack() as sockets:
        public = sockets.enter_context(_bound(at.host, at.port))
        admin = sockets.enter_context(_bound("127.0.0.1", at.admin_port))
        for name in ("uvicorn.error", "uvicorn.access"):
            logging.getLogger(name).setLevel(logging.ERROR)
        server = _Server(plane, log, reconciler, at)
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(server.run(public, admin, ready, stop or Stop.new()))
        finally:
            log.close()


class _Uvicorn(uvicorn.Server):
    """uvicorn without its own signal handling: it would raise the signal again and spoil the exit status."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class _Server:
    def __init__(self, plane: Plane, log: PredictionLog, reconciler: Reconciler, listening: Listening) -> None:
        self._reconciler, self._listening = reconciler, listening
        self._app = PublicApp(plane, Metrics(plane, log, reconciler))
        served = Served(plane=plane, log=log, reconciler=reconciler, clock=plane.clock)
        admin = AdminApp(served, lambda: self._app.draining)
        self._public, self._admin = _uvicorn(self._app), _uvicorn(admin)
        self._signals = 0

    async def run(
        self, public: socket.socket, admin: socket.socket, ready: Callable[[Addresses], None], stop: Stop
    ) -> None:
        loop = asyncio.get_running_loop()
        self._reconciler.switch = _switch_on(loop)
        with self._handling_signals():
            await self._look(again=False)
            ports = [asyncio.create_task(s.serve([at])) for s, at in ((self._public, public), (self._admin, admin))]
            beside = [
                asyncio.create_task(self._poll()),
                asyncio.create_task(sweep_forever(self._public.server_state.connections, self._listening.deadlines)),
            ]
            try:
                await self._started(ports)
                ready(Addresses(public=_url(public), admin=_url(admin)))
                await self._stopping(stop, ports)
            finally:
                for task in beside:
                    task.cancel()
                self._public.should_exit = self._admin.should_exit = True
                await asyncio.gather(*ports)

    async def _started(self, ports: list["asyncio.Task[None]"]) -> None:
        while not (self._public.started and self._admin.started):
            if any(task.done() for task in ports):
                await asyncio.gather(*ports)
            await asyncio.sleep(0.005)

    async def _stopping(self, stop: Stop, ports: list["asyncio.Task[None]"]) -> None:
        while not self._signals and not stop.asked.is_set() and not any(task.done() for task in ports):
            await asyncio.sleep(0.05)
        self._app.draining = True
        left = self._listening.drain_s
        while left > 0 and self._signals < 2:
            await asyncio.sleep(0.05)
            left -= 0.05

    async def _poll(self) -> None:
        last_try = time.monotonic()
        while True:
            await asyncio.sleep(self._listening.poll_s)
            again = time.monotonic() - last_try >= self._listening.retry_s
            last_try = time.monotonic() if again else last_try
            await self._look(again=again)

    async def _look(self, *, again: bool) -> None:
        """Reconcile beside traffic; whatever goes wrong, the server keeps what it has and looks again."""
        try:
            await asyncio.to_thread(lambda: self._reconciler.look(again=again))
        except Exception:  # noqa: BLE001 - an adapter of any kind may fail in its own way
            _log.exception("the release could not be followed")

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            self._public.force_exit = self._admin.force_exit = True

    @contextlib.contextmanager
    def _handling_signals(self) -> Generator[None, None, None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._signalled) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _uvicorn(app: Any) -> _Uvicorn:  # noqa: ANN401 - any ASGI application
    return _Uvicorn(
        uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=30,
        )
    )


def _switch_on(loop: asyncio.AbstractEventLoop) -> Callable[[Callable[[], None]], None]:
    """Return a switch that runs on the serving thread, between two requests, and waits until it has."""

    def switch(act: Callable[[], None]) -> None:
        done = threading.Event()

        def acted() -> None:
            act()
            done.set()

        loop.call_soon_threadsafe(acted)
        done.wait(_SWITCH_S)

    return switch


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    if sys.platform == "win32":
        return asyncio.new_event_loop
    import uvloop

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _check_loopback(host: str) -> None:
    with contextlib.suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return
    raise InsecureBind(
        f"{host[:80]!r} can be reached from other machines, and this server does not authenticate",
        fix="serve on 127.0.0.1 and put a proxy that authenticates in front",
    )


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"port {port} of {host} cannot be used: {error.strerror}", fix="use another port, or 0"
        ) from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
