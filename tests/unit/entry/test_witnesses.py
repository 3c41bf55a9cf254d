"""The access log and traces see every prediction, answered or refused, and nothing that a client wrote."""

import io
import json
import threading
import time
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from tests.unit.entry.test_routes import Nowhere
from tests.unit.serve.serving_kit import MODEL, Parts, RealClock, body

from mainspring.adapters.otel.tracing import Tracing
from mainspring.entry.inference.access import Gate, KeyRing, NoTokens
from mainspring.entry.inference.access_log import AccessLog, trace_id_of
from mainspring.entry.inference.desk import Desk, DeskRules, target_of
from mainspring.entry.inference.routes import PUBLIC, RouteTable
from mainspring.serve.errors import RequestRefused
from mainspring.serve.fleet import Fleet, Member
from mainspring.serve.log import PredictionLog
from mainspring.serve.witness import Exchange, Witness

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HEADERS = {b"content-type": b"application/json", b"traceparent": TRACE.encode()}


class Kept:
    """Keeps exchanges in a list."""

    def __init__(self) -> None:
        self.seen: list[Exchange] = []

    def saw(self, exchange: Exchange, /) -> None:
        self.seen.append(exchange)

    def close(self) -> None:
        return


def ask(witness: Witness, data: bytes) -> None:
    parts, log = Parts(), PredictionLog(Nowhere())
    parts.serve()
    fleet = Fleet((Member(label="", plane=parts.plane, log=log, reconciler=parts.reconciler),))
    desk = Desk(fleet, Gate(KeyRing(NoTokens(), RealClock())), DeskRules(witnesses=(witness,)))
    target = target_of(*RouteTable(PUBLIC).find("POST", f"/v2/models/{MODEL}/infer".encode()))
    entry = desk.let_in(target, HEADERS, time.monotonic())
    try:
        desk.answer_now(entry, data)
    except RequestRefused as error:
        desk.missed(target, error, entry.arrived, entry)
    log.close()


def test_an_answer_is_seen_with_its_id_version_and_time() -> None:
    kept = Kept()
    ask(kept, json.dumps(body(3)).encode())
    seen = kept.seen[0]
    assert (seen.protocol, seen.model, seen.version, seen.rows, seen.status) == ("v2", MODEL, 1, 3, 200)
    assert seen.request_id.startswith("p-")
    assert seen.trace == TRACE
    assert 0 < seen.took_us < 60_000_000


def test_a_refusal_is_seen_by_its_code_without_the_clients_words() -> None:
    kept = Kept()
    ask(kept, b'{"secret": "of the client"}')
    seen = kept.seen[0]
    assert (seen.code, seen.status, seen.request_id) == ("request.body", 400, "")
    assert "secret" not in repr(seen)


def test_lines_are_strict_json_with_a_trace_id() -> None:
    out = io.BytesIO()
    log = AccessLog(out)
    ask(log, json.dumps(body(1)).encode())
    ask(log, b"{")
    log.close()
    good, bad = (json.loads(line) for line in out.getvalue().splitlines())
    assert good["prediction_id"].startswith("p-")
    assert good["trace_id"] == TRACE.split("-")[1]
    assert good["at"].endswith("Z")
    assert (bad["status"], bad["code"]) == (400, "request.body")
    assert "prediction_id" not in bad


@pytest.mark.parametrize("text", ["", "x", "00-" + "0" * 32 + "-a-01", "00-" + "Z" * 32 + "-a-01", "a-b-c-d", "-" * 60])
def test_what_is_no_trace_id_is_not_written(text: str) -> None:
    assert trace_id_of(text) == ""


class Stuck(io.BytesIO):
    """A stream that waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.held, self.go = threading.Event(), threading.Event()

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        self.held.set()
        self.go.wait(20)
        return super().write(data)


def test_a_stream_that_hangs_blocks_nothing_and_the_loss_is_told() -> None:
    out = Stuck()
    log = AccessLog(out, most=10)
    log.saw(Exchange(protocol="v2", model="m"))
    assert out.held.wait(20)
    started = time.thread_time()
    for _ in range(999):
        log.saw(Exchange(protocol="v2", model="m"))
    assert time.thread_time() - started < 1.0
    assert not out.getvalue()
    assert log.lost == 989
    out.go.set()
    deadline = time.monotonic() + 20
    while out.getvalue().count(b"\n") < 1_000 - log.lost and time.monotonic() < deadline:
        time.sleep(0.01)
    log.saw(Exchange(protocol="v2", model="m"))
    log.close()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(lines) + sum(line.get("lost_before", 0) for line in lines) == 1_001


def test_a_closed_stream_loses_lines_and_raises_nothing() -> None:
    out = io.BytesIO()
    out.close()
    log = AccessLog(out)
    log.saw(Exchange(protocol="v2", model="m"))
    log.close()
    assert log.lost == 1


class Spans(SpanExporter):
    """Keeps spans in a list."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS


def test_a_span_stands_under_the_clients_trace_with_its_own_times() -> None:
    spans = Spans()
    tracing = Tracing("http://127.0.0.1:9", processor=SimpleSpanProcessor(spans))
    ask(tracing, json.dumps(body(2)).encode())
    tracing.saw(Exchange(protocol="v1", model="m", status=500, code="model.failed", ended_at=2_000_000, took_us=1_000))
    tracing.close()
    first, second = spans.spans
    assert first.parent is not None
    assert f"{first.parent.trace_id:032x}" == TRACE.split("-")[1]
    assert first.attributes is not None
    assert first.attributes["mainspring.rows"] == 2
    assert (second.start_time, second.end_time) == (1_000_000, 2_000_000)
    assert not second.status.is_ok


def test_a_collector_that_is_away_delays_nothing() -> None:
    tracing = Tracing("http://127.0.0.1:9/v1/traces")
    started = time.monotonic()
    for _ in range(100):
        tracing.saw(Exchange(protocol="v2", model="m", ended_at=2_000, took_us=1))
    assert time.monotonic() - started < 1.0
