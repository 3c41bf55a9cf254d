"""Run the inference server: three ports in one event loop, reconcilers beside them, and an orderly end.

SIGTERM or SIGINT: readiness goes off, answers go on for `drain_s` and ask clients to leave their connections, then the
ports close, the logs are written and the process may exit 0. A second signal ends at once.
"""

import asyncio
import contextlib
import functools
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mainspring.entry.inference.access import Gate, KeyRing
from mainspring.entry.inference.admin import AdminApp, Seen
from mainspring.entry.inference.binding import Addresses, Listening, bound, check_addresses, url
from mainspring.entry.inference.desk import Desk, DeskRules
from mainspring.entry.inference.fast import FastLane, FastProtocol
from mainspring.entry.inference.http import PublicApp
from mainspring.entry.inference.loops import Port, Signals, Stop, all_started, allow_connections, loop_factory, port_of
from mainspring.entry.inference.metrics import Metrics, MetricsApp
from mainspring.entry.inference.probes import Probes
from mainspring.entry.inference.protocol import BoundedProtocol, sweep_forever
from mainspring.serve.fleet import Fleet

if TYPE_CHECKING:
    from mainspring.entry.inference.grpc.server import GrpcPorts

__all__ = ["Sockets", "Stop", "run"]

_SWITCH_S = 5.0
_KEEP_S = 5.0  # of spent budgets a kill may forgive
_GRPC_GRACE_S = 30.0
_TURN_S = 0.0005  # threads of lanes and logs take turns with the event loop; Python's 5 ms would be seen in its p99
_log = logging.getLogger("mainspring.inference")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """The three ports, bound. scheme: what the public one speaks."""

    public: socket.socket
    admin: socket.socket
    metrics: socket.socket
    scheme: str = "http"

    def addresses(self, grpc: str = "", grpc_admin: str = "") -> Addresses:
        """Return where they answer, with the addresses of the gRPC ports."""
        return Addresses(
            public=url(self.public, self.scheme), admin=url(self.admin), metrics=url(self.metrics), grpc=grpc,
            grpc_admin=grpc_admin,
        )  # fmt: skip


def run(
    fleet: Fleet, ring: KeyRing, *, listening: Listening | None = None, rules: DeskRules | None = None,
    ready: Callable[[Addresses], None] = lambda _: None, stop: Stop | None = None,
) -> None:  # fmt: skip
    """Serve until SIGTERM, SIGINT or `stop`; then drain and close the fleet's logs.

    ready: called once every port answers and the releases were read (the CLI prints the line there). Raises
    `InsecureBind`, `PortTaken` or, of TLS files, `InvalidValue` before anything is started.
    """
    at = listening or Listening()
    check_addresses(at, ring)
    with contextlib.ExitStack() as stack:
        given = bound(at.public) if at.listener < 0 else socket.socket(fileno=at.listener)
        sockets = Sockets(
            public=stack.enter_context(given), admin=stack.enter_context(bound(at.admin)),
            metrics=stack.enter_context(bound(at.metrics)), scheme=at.scheme,
        )  # fmt: skip
        for name in ("uvicorn.error", "uvicorn.access"):
            logging.getLogger(name).setLevel(logging.ERROR)
        allow_connections()
        if at.grpc is None:
            sys.setswitchinterval(_TURN_S)
        server = _Server(fleet, ring, at, rules)
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(server.run(sockets, ready, stop or Stop.new()))
        finally:
            for member in fleet.members:
                member.log.close()
                if member.explaining is not None:
                    member.explaining.close()
            for witness in rules.witnesses if rules else ():
                witness.close()


class _Server:
    def __init__(self, fleet: Fleet, ring: KeyRing, at: Listening, rules: DeskRules | None) -> None:
        self._fleet, self._ring, self._at = fleet, ring, at
        self._probes = Probes(fleet)
        self._desk = desk = Desk(fleet, Gate(ring, always=not at.public.loopback), rules)
        public = PublicApp(desk, self._probes).app
        local = at.admin.loopback
        guard = Gate(ring, always=not local, never=local)
        admin = AdminApp(Seen(fleet=fleet, desk=desk, probes=self._probes), guard, local=local).app
        local = at.metrics.loopback
        guard = Gate(ring, always=not local, never=local, scrape=at.scrape)
        metrics = MetricsApp(Metrics(desk, self._probes, at.beside), self._probes, desk, guard).app
        secure = at.tls.context() if at.tls else None
        protocol = functools.partial(FastProtocol, FastLane(desk, public.table))
        self._public = port_of(public, protocol, secure, at.deadlines.head_s)
        self._inner = [port_of(admin, BoundedProtocol), port_of(metrics, BoundedProtocol)]
        self._signals = Signals(self._at_once)

    @property
    def _ports(self) -> list["Port"]:
        return [self._public, *self._inner]

    async def run(self, sockets: Sockets, ready: Callable[[Addresses], None], stop: Stop) -> None:
        loop = asyncio.get_running_loop()
        for member in self._fleet.members:
            member.reconciler.switch = _switch_on(loop)
        remote = self._grpc(loop)
        with self._signals.handled():
            listeners = (sockets.admin, sockets.metrics)
            inner = [asyncio.create_task(port.serve([at])) for port, at in zip(self._inner, listeners, strict=True)]
            beside = [
                asyncio.create_task(sweep_forever(port.server_state.connections, self._at.deadlines))
                for port in self._ports
            ]
            ports = inner
            try:
                await self._look(again=False)  # then the public port: others can answer what a new worker cannot yet
                ports = [asyncio.create_task(self._public.serve([sockets.public])), *inner]
                await all_started(self._ports, ports)
                if remote:
                    remote.start()
                self._probes.started = True
                beside.append(asyncio.create_task(self._poll()))
                ready(sockets.addresses(*(remote.addresses if remote else ("", ""))))
                await self._stopping(stop, ports)
            finally:
                for task in beside:
                    task.cancel()
                if remote:
                    await asyncio.to_thread(remote.stop, _GRPC_GRACE_S)
                await self._closed(ports)
                await self._desk.keep_budgets()
                for plane in self._fleet.planes:
                    plane.turns.close()

    def _grpc(self, loop: asyncio.AbstractEventLoop) -> "GrpcPorts | None":
        if self._at.grpc is None:
            return None
        from mainspring.entry.inference.grpc.server import GrpcPorts

        gate = Gate(self._ring, always=not self._at.grpc.loopback)
        return GrpcPorts(self._desk, gate, loop, self._at)

    async def _stopping(self, stop: Stop, ports: list["asyncio.Task[None]"]) -> None:
        while not self._signals.count and not stop.asked.is_set() and not any(task.done() for task in ports):
            await asyncio.sleep(0.05)
        self._desk.leaving = self._probes.leaving = True
        left = self._at.drain_s
        while left > 0 and self._signals.count < 2:
            await asyncio.sleep(0.05)
            left -= 0.05

    def _at_once(self) -> None:
        for port in self._ports:
            port.force_exit = True

    async def _closed(self, ports: list["asyncio.Task[None]"]) -> None:
        """Close the public port first: probes and metrics answer until its last request is done."""
        self._public.should_exit = True
        await asyncio.gather(ports[0])
        for port in self._inner:
            port.should_exit = True
        await asyncio.gather(*ports[1:])

    async def _poll(self) -> None:
        last_try = last_kept = time.monotonic()
        while True:
            await asyncio.sleep(self._at.poll_s)
            again = time.monotonic() - last_try >= self._at.retry_s
            last_try = time.monotonic() if again else last_try
            await self._look(again=again)
            await asyncio.to_thread(self._ring.look)
            if time.monotonic() - last_kept >= _KEEP_S:
                await self._desk.keep_budgets()
                last_kept = time.monotonic()

    async def _look(self, *, again: bool) -> None:
        """Reconcile beside traffic; whatever goes wrong, the server keeps what it has and looks again."""
        for member in self._fleet.members:
            try:
                await asyncio.to_thread(functools.partial(member.reconciler.look, again=again))
            except Exception:  # noqa: BLE001 - an adapter of any kind may fail in its own way
                _log.exception("the release could not be followed")


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
