"""The parent of several workers: it hands on the public listener and speaks for all of them on admin and metrics."""

import asyncio
import contextlib
import json
import logging
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from mainspring.entry.inference.access import Gate, KeyRing
from mainspring.entry.inference.admin import check_local, check_page
from mainspring.entry.inference.binding import Addresses, Listening, bound, check_addresses, reserved
from mainspring.entry.inference.bodies import read_body, send_bytes, send_json
from mainspring.entry.inference.loops import Port, Signals, Stop, all_started, allow_connections, loop_factory, port_of
from mainspring.entry.inference.protocol import BoundedProtocol, sweep_forever
from mainspring.entry.inference.routed import Call, Handler, RoutedApp
from mainspring.entry.inference.routes import ADMIN, METRICS, RouteTable
from mainspring.entry.inference.server import Sockets
from mainspring.entry.inference.sums import Key, added, families_of, growing, joined
from mainspring.entry.inference.workers import Worker, WorkerFailed, Workers
from mainspring.serve.errors import ModelFailed, NotReady, RequestRefused

_log = logging.getLogger("mainspring.inference")
Command = Callable[[int, int, int], Sequence[str]]
_LIMIT = 65_536
_OK = 200
_POLL_S = 1.0
_GRACE_S = 40.0
_TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_JSON = (b"content-type", b"application/json")
_HANDLED = {"live", "ready", "started", "state", "metrics"}


def supervise(
    count: int, command: Command, ring: KeyRing, *, listening: Listening,
    ready: Callable[[Addresses], None] = lambda _: None, stop: Stop | None = None,
) -> None:  # fmt: skip
    """Serve with `count` processes until SIGTERM, SIGINT or `stop`; raise `WorkerFailed` if one ended badly.

    command: returns what starts worker number k, given k, the descriptor of its listener and the gRPC port that all
    workers share (0: none).
    """
    check_addresses(listening, ring)
    if listening.tls:
        listening.tls.context()  # refused here, and not by every worker
    for name in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with contextlib.ExitStack() as stack:
        sockets = Sockets(
            public=stack.enter_context(bound(listening.public, shared=True)),
            admin=stack.enter_context(bound(listening.admin)), metrics=stack.enter_context(bound(listening.metrics)),
            scheme=listening.scheme,
        )  # fmt: skip
        if listening.grpc is not None:
            port = stack.enter_context(reserved(listening.grpc)).getsockname()[1]
            listening = replace(listening, grpc=replace(listening.grpc, port=port))
        allow_connections()
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_Parent(count, command, ring, listening).run(sockets, ready, stop or Stop.new()))


class _Parent:
    def __init__(self, count: int, command: Command, ring: KeyRing, at: Listening) -> None:
        self._count, self._command, self._ring, self._at = count, command, ring, at
        self._totals: dict[Key, float] = {}
        self._last: dict[int, list[Metric]] = {}
        self._started = self._hurry = False
        probes: dict[str, Handler] = {"live": self._live, "ready": self._ready, "started": self._startup}
        forwarded = {route.handler: self._forward for route in ADMIN if route.handler not in _HANDLED}
        local = at.admin.loopback
        guard = Gate(ring, always=not local, never=local)
        admin = RoutedApp(
            RouteTable(ADMIN), guard, {**probes, **forwarded, "state": self._state}, _told,
            check_local if local else check_page,
        )  # fmt: skip
        local = at.metrics.loopback
        guard = Gate(ring, always=not local, never=local, scrape=at.scrape)
        metrics = RoutedApp(RouteTable(METRICS), guard, {**probes, "metrics": self._scraped}, _told)
        self._ports: list[Port] = [port_of(admin, BoundedProtocol), port_of(metrics, BoundedProtocol)]
        self._signals = Signals(self._at_once)

    async def run(self, sockets: Sockets, ready: Callable[[Addresses], None], stop: Stop) -> None:
        """Start the workers, speak for them, and end with them."""
        fd, grpc = sockets.public.fileno(), self._at.grpc
        addresses, shared = sockets.addresses(grpc.text if grpc else ""), grpc.port if grpc else 0
        with self._signals.handled():
            self._workers = workers = Workers(
                self._count, lambda number: self._command(number, fd, shared), fd, self._gone
            )
            beside = [
                asyncio.create_task(sweep_forever(p.server_state.connections, self._at.deadlines)) for p in self._ports
            ]
            serving = zip(self._ports, (sockets.admin, sockets.metrics), strict=True)
            ports = [asyncio.create_task(port.serve([at])) for port, at in serving]
            whole = False
            try:
                await workers.started()
                await all_started(self._ports, ports)
                self._started = True
                beside += [asyncio.create_task(workers.watch()), asyncio.create_task(self._poll())]
                ready(addresses)
                while not self._signals.count and not stop.asked.is_set() and not any(task.done() for task in ports):
                    await asyncio.sleep(0.05)
            finally:
                workers.stopping = True
                sockets.public.close()
                workers.signal(signal.SIGTERM)
                whole = await workers.ended(self._at.drain_s + _GRACE_S, lambda: self._hurry)
                for task in beside:
                    task.cancel()
                for port in self._ports:
                    port.should_exit = True
                await asyncio.gather(*ports)
        if not whole and not self._hurry:
            raise WorkerFailed("a worker did not end as it should", fix="see its log")

    def _at_once(self) -> None:
        self._hurry = True
        self._workers.signal(signal.SIGTERM)

    def _gone(self, worker: Worker) -> None:
        for key, value in growing(self._last.pop(worker.number, [])).items():
            self._totals[key] = self._totals.get(key, 0.0) + value

    async def _poll(self) -> None:
        """Know what each worker counted a second ago at most: a worker that is killed takes the rest with it."""
        while True:
            await asyncio.sleep(_POLL_S)
            await self._count_up()
            await asyncio.to_thread(self._ring.look)

    async def _count_up(self) -> None:
        for worker in [worker for worker in self._workers.all if worker.serving]:
            process = worker.process
            found = await self._workers.one(worker, "GET", "/metrics", port="metrics")
            if found is not None and found[0] == _OK and worker.process is process and worker.addresses:
                self._last[worker.number] = families_of(found[1].decode("utf-8"))

    async def _live(self, call: Call) -> None:
        await send_json(call.send, {"live": True})

    async def _startup(self, call: Call) -> None:
        if not self._started:
            raise NotReady("the workers are starting", fix="wait")
        await send_json(call.send, {"started": True})

    async def _ready(self, call: Call) -> None:
        found = await self._workers.each("GET", "/readyz")
        if self._workers.stopping or not any(status == _OK for status, _ in found):
            raise NotReady("no worker is ready", fix="wait, or see GET /admin/state")
        await send_json(call.send, {"ready": True})

    async def _forward(self, call: Call) -> None:
        """Ask every worker; answer with the first refusal, or with all answers as one."""
        body = await read_body(call.receive, call.headers, _LIMIT)
        path = call.route.pattern
        for place, value in call.places.items():
            path = path.replace(f"{{{place}}}", value)
        found = await self._workers.each(call.route.method, path, body)
        refused = next(((status, text) for status, text in found if status != _OK), None)
        if refused is not None:
            await send_bytes(call.send, refused[0], refused[1], [_JSON])
            return
        if not found:
            raise NotReady("no worker answers", fix="wait")
        await send_json(call.send, reduce(joined, [json.loads(text) for _, text in found]))

    async def _state(self, call: Call) -> None:
        found = [json.loads(text) for status, text in await self._workers.each("GET", "/admin/state") if status == _OK]
        if not found:
            raise NotReady("no worker answers", fix="wait")
        clock = found[0]["clock"]
        whole = {**reduce(joined, found), "clock": clock, "weight": found[0]["weight"]}
        workers = [
            {"number": w.number, "pid": w.process.pid, "serving": w.serving, "starts": w.starts}
            for w in self._workers.all
        ]
        await send_json(call.send, {**whole, "workers": workers})

    async def _scraped(self, call: Call) -> None:
        await self._count_up()
        alive = GaugeMetricFamily(
            "mainspring_workers", "Processes that serve", sum(worker.serving for worker in self._workers.all)
        )
        restarts = CounterMetricFamily("mainspring_worker_restarts", "Processes started again", self._workers.restarts)
        whole = added([*self._last.values(), [alive, restarts]], self._totals)
        await send_bytes(call.send, _OK, whole + self._at.beside(), [_TEXT])


def _told(error: Exception) -> RequestRefused:
    if isinstance(error, RequestRefused):
        return error
    _log.error("a request failed", exc_info=error)
    return ModelFailed(f"internal fault: {type(error).__name__}", fix="see the server's log")
