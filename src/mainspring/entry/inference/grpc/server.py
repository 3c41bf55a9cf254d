"""The gRPC ports: what `services` allows, on a few threads, with the limits that HTTP has."""

import asyncio
import concurrent.futures
from collections.abc import Mapping
from typing import Any

import grpc

from mainspring.entry.inference.access import Gate
from mainspring.entry.inference.binding import Address, Listening, PortTaken
from mainspring.entry.inference.desk import Desk
from mainspring.entry.inference.grpc import messages
from mainspring.entry.inference.grpc.quick import QuickCalls
from mainspring.entry.inference.grpc.services import ADMIN, PUBLIC, Running, Table, handled, model_infer, reflect
from mainspring.entry.inference.heads import BODY_LIMIT
from mainspring.entry.inference.tls import Tls

_THREADS = 4
_CALLS = 512  # at once; more are answered RESOURCE_EXHAUSTED by the library
_OPTIONS = (
    ("grpc.max_receive_message_length", BODY_LIMIT), ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 16_384), ("grpc.http2.max_ping_strikes", 2),
    ("grpc.max_connection_idle_ms", 300_000), ("grpc.keepalive_time_ms", 120_000),
)  # fmt: skip


class GrpcPort:
    """One listening port. Raises `PortTaken` where it cannot be had.

    shared: other processes of ours listen on it too, and the kernel deals connections among them. tls: None: plain.
    """

    def __init__(
        self, running: Running, tables: Mapping[str, Table], at: Address, *, threads: int = _THREADS,
        shared: bool = False, tls: Tls | None = None,
    ) -> None:  # fmt: skip
        pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="grpc")
        self._pool = pool
        self._server = grpc.server(
            pool, options=(*_OPTIONS, ("grpc.so_reuseport", int(shared))), maximum_concurrent_rpcs=_CALLS
        )
        self._server.add_generic_rpc_handlers(tuple(_service(running, name, table) for name, table in tables.items()))
        host = f"[{at.host}]" if ":" in at.host else at.host
        try:
            if tls is None:
                self.port = int(self._server.add_insecure_port(f"{host}:{at.port}"))
            else:
                secure = grpc.ssl_server_credentials([tls.pair()])
                self.port = int(self._server.add_secure_port(f"{host}:{at.port}", secure))
        except RuntimeError as error:
            raise PortTaken(f"port {at.port} of {at.host} cannot be used", fix="use another port, or 0") from error
        self.address = f"{host}:{self.port}"

    def start(self) -> None:
        """Answer calls from now on."""
        self._server.start()

    def stop(self, grace_s: float) -> None:
        """Take no new call, let those that run end within `grace_s` seconds, then return."""
        self._server.stop(grace_s).wait()
        self._pool.shutdown(wait=False, cancel_futures=True)


class GrpcPorts:
    """The port of predictions, and on loopback the one of the model repository, for this machine's own tools.

    One of several workers has no port of the repository: its parent speaks for all of them, over HTTP.
    """

    def __init__(self, desk: Desk, gate: Gate, loop: asyncio.AbstractEventLoop, at: Listening) -> None:
        local, shared = Gate(gate.ring, never=True), at.listener >= 0
        public = Running(desk=desk, gate=gate, loop=loop, quick=QuickCalls(desk, gate))
        self._public = GrpcPort(public, PUBLIC, at.grpc or Address(), shared=shared, tls=at.tls)
        self._ports = [self._public]
        if not shared:
            repository = Running(desk=desk, gate=local, loop=loop, repository=desk.fleet)
            self._ports.append(GrpcPort(repository, ADMIN, Address(), threads=1))
        self.addresses = (self._public.address, "" if shared else self._ports[-1].address)

    def start(self) -> None:
        """Answer calls from now on."""
        for port in self._ports:
            port.start()

    def stop(self, grace_s: float) -> None:
        """End as `GrpcPort.stop` does, the predictions first."""
        for port in self._ports:
            port.stop(grace_s if port is self._public else 1.0)


def _service(running: Running, name: str, table: Table) -> Any:  # noqa: ANN401 - grpcio has no types
    handlers = {}
    for method, (policy, call) in table.items():
        act = handled(running, policy, call)
        if call is reflect:
            parse = messages.input_of(name, method).FromString
            handlers[method] = grpc.stream_stream_rpc_method_handler(act, parse, _bytes_of)
        elif call is model_infer:
            handlers[method] = grpc.unary_unary_rpc_method_handler(act)  # bytes in, bytes out
        else:
            parse = messages.input_of(name, method).FromString
            handlers[method] = grpc.unary_unary_rpc_method_handler(act, parse, _bytes_of)
    return grpc.method_handlers_generic_handler(name, handlers)


def _bytes_of(message: Any) -> bytes:  # noqa: ANN401 - a protobuf message
    return bytes(message.SerializeToString())
