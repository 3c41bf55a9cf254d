"""A tiny model, release and server for tests: real serve objects, with an engine of three lines."""

import contextlib
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mainspring.adapters.files.logs import SegmentWriter
from mainspring.adapters.http.client import InferenceClient
from mainspring.entry.inference.access import KeyRing, NoTokens, TokenSource
from mainspring.entry.inference.binding import Addresses, Listening
from mainspring.entry.inference.desk import DeskRules
from mainspring.entry.inference.server import Stop, run
from mainspring.kernel.contract import Contract, Input
from mainspring.kernel.digests import digest_bytes
from mainspring.kernel.errors import Damaged, MainspringError
from mainspring.kernel.records import LoggedRequest
from mainspring.kernel.times import Clock, FixedClock
from mainspring.serve.admission import ConcurrencyRules
from mainspring.serve.explaining import Explaining
from mainspring.serve.fleet import Fleet, Member
from mainspring.serve.inference import Asked, Reply, infer_now
from mainspring.serve.log import PredictionLog
from mainspring.serve.log_rows import Row, whole
from mainspring.serve.plane import Plane, PlaneRules
from mainspring.serve.ports import (
    Assemble,
    Challenger,
    Labels,
    LoadedModel,
    LogSink,
    Mode,
    Routing,
    Served,
    rollout_id_of,
)
from mainspring.serve.protocols.v2 import V2
from mainspring.serve.questions import Codec, Wire
from mainspring.serve.reconciler import Reconciler
from mainspring.stats.columns import Columns, Floats

NOW = 1_367_388_000_000_000  # 2013-05-01T06:00:00Z
MODEL = "flight-delay"
INPUTS = (Input(name="weather.wind", kind="number"), Input(name="schedule.carrier", kind="string"))


class TinyEngine:
    """Scores by a logistic of the numbers and text lengths; `shift` tells two versions apart."""

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def __call__(self, columns: Columns, /) -> Floats:
        total = np.full(len(next(iter(columns.values()))), self.shift)
        for values in columns.values():
            if values.dtype == object:
                total = total + np.array([len(value or "") for value in values])
            else:
                total = total + np.nan_to_num(values)
        scores: Floats = 1.0 / (1.0 + np.exp(-0.1 * total))
        return scores


class BrokenEngine(TinyEngine):
    """Right on its one-row sample, then NaN, raising or slow by choice on anything larger."""

    def __init__(self, fail: Callable[[Floats], Floats], shift: float = 1.0) -> None:
        super().__init__(shift)
        self._fail = fail

    def __call__(self, columns: Columns, /) -> Floats:
        scores = super().__call__(columns)
        return scores if len(scores) == 2 else self._fail(scores)


def digest(number: int) -> str:
    return digest_bytes(str(number).encode())


def contract(inputs: Sequence[Input] = INPUTS, engine: TinyEngine | None = None) -> Contract:
    """A contract whose two-row sample holds for `engine`."""
    columns: dict[str, list[Any]] = {i.name: ["1.5", None] if i.kind == "number" else ["AA", None] for i in inputs}
    arrays: Columns = {
        i.name: np.array([1.5, np.nan]) if i.kind == "number" else np.array(["AA", None], dtype=object) for i in inputs
    }
    scores = (engine or TinyEngine())(arrays)
    return Contract(
        model=MODEL, inputs=inputs, output="probability", ask={"from": "flights", "key": "id", "at": "at"},
        definitions={}, limits={"rows": 1_000}, sample={"columns": columns, "scores": [repr(float(s)) for s in scores]},
    )  # fmt: skip


class MemoryModels:
    """Models by digest; an exception in the place of a model is raised."""

    def __init__(self) -> None:
        self.models: dict[str, LoadedModel | MainspringError] = {}

    def add(self, number: int, engine: TinyEngine, inputs: Sequence[Input] = INPUTS) -> None:
        self.models[digest(number)] = LoadedModel(contract=contract(inputs, engine), engine=engine)

    def open(self, digest: str) -> LoadedModel:
        model = self.models.get(digest, Damaged("model.onnx is damaged", fix="restore it"))
        if isinstance(model, MainspringError):
            raise model
        return model


class MemoryReleases:
    """A release that a test sets; `commit` counts up."""

    def __init__(self) -> None:
        self.routing: Routing | None = None
        self._count = 0

    def set(self, champion: int, challenger: int | None = None, weight: float = 0, mode: Mode = "canary") -> str:
        self._count += 1
        other = None
        if challenger is not None:
            other = Challenger(version=challenger, digest=digest(challenger), weight=weight, mode=mode)
        self.routing = Routing(
            model=MODEL, commit=f"{self._count:040x}", champion=Served(version=champion, digest=digest(champion)),
            challenger=other, rollout_id=rollout_id_of(digest(champion), digest(challenger or 0)),
        )  # fmt: skip
        return self.routing.commit

    def current(self) -> Routing | None:
        return self.routing


class ListSink:
    """A log that keeps records in a list."""

    def __init__(self) -> None:
        self.records: list[LoggedRequest] = []

    def put(self, record: LoggedRequest, /) -> bool:
        self.records.append(record)
        return True

    def put_row(self, row: Row, /) -> bool:
        return self.put(whole(row))


class Parts:
    """A plane with its models and releases, in memory."""

    def __init__(
        self,
        log: LogSink | None = None,
        clock: Clock | None = None,
        assemble: Assemble | None = None,
        rules: PlaneRules | None = None,
        releases: "MemoryReleases | None" = None,
    ) -> None:
        self.models, self.releases, self.log = MemoryModels(), releases or MemoryReleases(), log or ListSink()
        self.clock = clock or FixedClock(NOW)
        self.plane = Plane(
            log=self.log, clock=self.clock, random=os.urandom, assemble=assemble, rules=rules or PlaneRules()
        )
        self.reconciler = Reconciler(self.plane, self.releases, self.models)
        self.models.add(1, TinyEngine(0.0))
        self.models.add(2, TinyEngine(1.0))

    def serve(self, champion: int = 1, challenger: int | None = None, weight: float = 0, mode: Mode = "canary") -> None:
        self.releases.set(champion, challenger, weight, mode)
        self.reconciler.look()


def body(rows: int = 2, **more: object) -> dict[str, Any]:
    """A good V2 request of the tiny model."""
    return {
        "inputs": [
            {"name": "weather.wind", "shape": [rows], "datatype": "FP64", "data": [0.5 * row for row in range(rows)]},
            {"name": "schedule.carrier", "shape": [rows], "datatype": "BYTES", "data": ["AA"] * rows},
        ],
        **more,
    }


def columns(rows: int) -> Columns:
    return {
        "weather.wind": np.arange(rows) * 0.5,
        "schedule.carrier": np.array(["AA", None] * rows, dtype=object)[:rows],
    }


def infer(
    plane: Plane, data: bytes, model: str, *, version: int | None = None, header_length: int | None = None,
    codec: Codec = V2,
) -> Reply:  # fmt: skip
    """Ask a plane as a transport would, without one."""
    return infer_now(plane, codec, data, Asked(model=model, version=version, wire=Wire(header_length=header_length)))


class RunningServer:
    """A server on real sockets, and a raw connection to it."""

    def __init__(self, parts: Parts, at: Addresses) -> None:
        self.parts, self.at = parts, at
        self.port = int(at.public.rpartition(":")[2])
        self.admin_port = int(at.admin.rpartition(":")[2])
        self.metrics_port = int(at.metrics.rpartition(":")[2])

    def client(self) -> InferenceClient:
        return InferenceClient(self.at.public, self.at.admin, MODEL)

    def ask(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
        admin: bool = False,
    ) -> tuple[int, dict[str, str], bytes]:
        port = self.admin_port if admin else self.metrics_port if path == "/metrics" else self.port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request(method, path, data, headers or {})
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def infer(self, document: object, **headers: str) -> tuple[int, Any]:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        status, _, content = self.ask("POST", f"/v2/models/{MODEL}/infer", data, headers)
        return status, json.loads(content)

    def raw(self, data: bytes, wait_s: float = 5.0) -> bytes:
        """Send bytes as they are; return what comes back until the server closes or `wait_s` passes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait_s) as connection:
            got = b""
            with contextlib.suppress(TimeoutError, ConnectionError):
                connection.sendall(data)
                while chunk := connection.recv(65_536):
                    got += chunk
            return got


class RealClock:
    """Tells real time."""

    def now(self) -> int:
        return time.time_ns() // 1_000


def fleet_of(
    parts: Parts, log: PredictionLog, labels: Labels | None = None, explaining: Explaining | None = None
) -> Fleet:  # fmt: skip
    return Fleet((
        Member(
            label="", plane=parts.plane, log=log, reconciler=parts.reconciler, labels=labels, explaining=explaining
        ),
    ))  # fmt: skip


ROOMY = DeskRules(concurrency=ConcurrencyRules(smallest=100, first=100))  # admission has tests of its own


@contextlib.contextmanager
def running(
    root: Path, parts: Parts | None = None, listening: Listening | None = None, *,
    tokens: TokenSource | None = None, rules: DeskRules | None = None, labels: Labels | None = None,
) -> Iterator[RunningServer]:  # fmt: skip
    """Run a server in a thread until the block ends."""
    log = PredictionLog(SegmentWriter(root))
    made = parts or Parts()
    made.plane.log, made.log = log, log
    if made.releases.routing is None:
        made.releases.set(1)
    ring = KeyRing(tokens or NoTokens(), RealClock())
    ready, stop, found = threading.Event(), Stop.new(), list[Addresses]()

    def announced(at: Addresses) -> None:
        found.append(at)
        ready.set()

    at = listening or Listening(drain_s=0.1, poll_s=0.05)
    thread = threading.Thread(
        target=lambda: run(
            fleet_of(made, log, labels), ring, listening=at, rules=rules or ROOMY, ready=announced, stop=stop
        )
    )
    thread.start()
    if not ready.wait(20):
        raise TimeoutError("the server did not start")
    try:
        yield RunningServer(made, found[0])
    finally:
        stop.asked.set()
        thread.join(20)
        if thread.is_alive():
            raise TimeoutError("the server did not stop")
