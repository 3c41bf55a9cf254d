"""The inference server over real sockets: right answers and refusals, hot swaps without a failure, an orderly end."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.unit.serve.bad_requests import BAD_DOCUMENTS, mutated
from tests.unit.serve.serving_kit import (
    MODEL,
    NOW,
    Parts,
    RunningServer,
    TinyEngine,
    body,
    columns,
    digest,
    running,
)

from mainspring.adapters.files.logs_reader import SegmentReader
from mainspring.adapters.http.client import InferenceClient, ServerRefused
from mainspring.entry.inference.server import InsecureBind, Listening, PortTaken, run
from mainspring.serve.log import PredictionLog

INFER = f"/v2/models/{MODEL}/infer"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(tmp_path_factory.mktemp("log")) as found:
        yield found


def test_health_and_metadata(server: RunningServer) -> None:
    for path in (
        "/v2/health/live",
        "/v2/health/ready",
        f"/v2/models/{MODEL}/ready",
        f"/v2/models/{MODEL}/versions/1/ready",
    ):
        assert server.ask("GET", path)[0] == 200
    metadata = json.loads(server.ask("GET", f"/v2/models/{MODEL}")[2])
    assert metadata["inputs"] == [
        {"name": "weather.wind", "datatype": "FP64", "shape": [-1]},
        {"name": "schedule.carrier", "datatype": "BYTES", "shape": [-1]},
    ]
    assert "binary_tensor_data" in json.loads(server.ask("GET", "/v2")[2])["extensions"]


def test_json_and_binary_clients_get_the_same_scores(server: RunningServer) -> None:
    client = server.client()
    answered = client.infer_binary(columns(4), ["a", "b", "c", "d"], np.full(4, NOW))
    document = body(4)
    document["inputs"][1]["data"] = ["AA", None, "AA", None]
    status, answer = server.infer(document)
    client.close()
    assert status == 200
    assert answer["outputs"][0]["data"] == answered.scores.tolist()
    assert answered.versions.tolist() == [1, 1, 1, 1]
    assert len(set(answered.ids)) == 4
    assert re.fullmatch(r"p-\d{10}-[a-z2-7]{16}\.0", answered.ids[0])


def test_the_release_commit_is_in_the_header(server: RunningServer) -> None:
    _, headers, _ = server.ask("POST", INFER, json.dumps(body()).encode())
    routing = server.parts.releases.routing
    assert routing is not None
    assert headers["mainspring-release"] == routing.commit


@pytest.mark.parametrize("name", BAD_DOCUMENTS)
def test_a_bad_body_is_a_4xx_with_a_code(server: RunningServer, name: str) -> None:
    status, document = server.infer(BAD_DOCUMENTS[name])
    assert 400 <= status < 500
    assert document["code"].startswith("request.")
    assert isinstance(document["error"], str)
    assert "Traceback" not in document["error"]


def test_two_hundred_fuzzed_bodies_over_tcp_leave_it_healthy(server: RunningServer) -> None:
    source, good = random.Random(7), json.dumps(body(3)).encode()
    statuses = {server.infer(mutated(good, source))[0] for _ in range(200)}
    assert all(status == 200 or 400 <= status < 500 for status in statuses)
    assert server.infer(body())[0] == 200


BAD_HEADERS = {
    "wrong content type": ({"Content-Type": "text/plain"}, 415),
    "utf-16": ({"Content-Type": "application/json; charset=utf-16"}, 415),
    "octet-stream without a header length": ({"Content-Type": "application/octet-stream"}, 415),
    "gzip": ({"Content-Encoding": "gzip"}, 415),
    "double gzip": ({"Content-Encoding": "gzip, gzip"}, 415),
    "brotli": ({"Content-Encoding": "br"}, 415),
    "header length not a number": ({"Inference-Header-Content-Length": "ten"}, 400),
    "header length negative": ({"Inference-Header-Content-Length": "-1"}, 400),
    "header length too long": ({"Inference-Header-Content-Length": "9" * 40}, 400),
    "header length beyond the body": ({"Inference-Header-Content-Length": "99999"}, 400),
}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_a_bad_header_is_a_4xx(server: RunningServer, name: str) -> None:
    headers, expected = BAD_HEADERS[name]
    assert server.ask("POST", INFER, json.dumps(body()).encode(), headers)[0] == expected


BAD_PATHS = (
    "/v2/models/nobody/infer",
    f"/v2/models/{MODEL}/versions/0/infer",
    f"/v2/models/{MODEL}/versions/-1/infer",
    f"/v2/models/{MODEL}/versions/9/infer",
    f"/v2/models/{MODEL}/versions/latest/../1/infer",
    f"/v2/models/{MODEL}%2Finfer",
    "/v2/models/../../etc/passwd",
    "/v2/models/%00/infer",
    "/v2/models/%ff/infer",
    "/",
    "/v2/",
    "/admin/state",
    "/admin/flush",
    "/v2/models/" + "x" * 10_000 + "/infer",
)


@pytest.mark.parametrize("path", BAD_PATHS, ids=[path[:40] for path in BAD_PATHS])
def test_an_unknown_path_or_version_is_a_404_that_reflects_nothing(server: RunningServer, path: str) -> None:
    status, _, content = server.ask("POST", path, json.dumps(body()).encode())
    assert status == 404
    assert b"passwd" not in content
    assert b"nobody" not in content


@pytest.mark.parametrize("method", ["GET", "DELETE", "TRACE", "PUT", "OPTIONS"])
def test_another_method_is_a_405(server: RunningServer, method: str) -> None:
    assert server.ask(method, INFER)[0] == 405


HEAD = b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
GOOD = json.dumps(body()).encode()
LENGTH = b"Content-Length: %d\r\n\r\n" % len(GOOD)

RAW_BAD = {
    "unknown method": HEAD.replace(b"POST", b"FOO", 1) + LENGTH + GOOD,
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n" + GOOD,
    "length beyond 64 bit": HEAD + b"Content-Length: 99999999999999999999\r\n\r\n" + GOOD,
    "length above the limit": HEAD + b"Content-Length: 999999999\r\n\r\n" + GOOD,
    "two lengths": HEAD + b"Content-Length: 5\r\n" + LENGTH + GOOD,
    "length and chunked": HEAD + b"Transfer-Encoding: chunked\r\n" + LENGTH + GOOD,
    "chunk size overflow": HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx\r\n",
    "no length": HEAD + b"\r\n",
    "length too short": HEAD + b"Content-Length: 10\r\n\r\n" + GOOD,
    "64 KB header line": HEAD + b"X: " + b"a" * 70_000 + b"\r\n" + LENGTH + GOOD,
    "10,000 headers": HEAD + b"X: 1\r\n" * 20_000 + LENGTH + GOOD,
    "100 KB path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "nul in a header": HEAD + b"X: a\x00b\r\n" + LENGTH + GOOD,
    "two content types": HEAD + b"Content-Type: application/json\r\nContent-Type: text/plain\r\n" + LENGTH + GOOD,
    "not http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 100 + b"\r\n\r\n",
    "http/0.9": b"GET /\r\n\r\n",
}


@pytest.mark.parametrize("name", RAW_BAD)
def test_bad_http_is_a_4xx_and_closes(server: RunningServer, name: str) -> None:
    got = server.raw(RAW_BAD[name], wait_s=3)
    assert got.startswith(b"HTTP/1.1 4"), got[:200]
    assert b"HTTP/1.1 5" not in got
    assert server.infer(body())[0] == 200


def test_a_chunked_body_above_the_limit_is_refused_while_it_arrives(server: RunningServer) -> None:
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    got = server.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 18, wait_s=3)
    assert got.startswith(b"HTTP/1.1 413") or got == b""  # closed with bytes unread, the answer may be lost
    assert server.infer(body())[0] == 200


def test_chunked_pipelined_and_expecting_requests_are_answered(server: RunningServer) -> None:
    keep = HEAD.replace(b"Connection: close\r\n", b"")
    chunked = keep + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)
    got = server.raw(chunked + keep + LENGTH + GOOD + HEAD + LENGTH + GOOD)
    assert got.count(b"HTTP/1.1 200 OK") == 3
    assert b"100 Continue" in server.raw(HEAD + b"Expect: 100-continue\r\n" + LENGTH + GOOD)


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
def test_an_upgrade_is_not_taken_up(server: RunningServer, upgrade: bytes) -> None:
    head = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: " + upgrade + b"\r\n\r\n"
    assert b" 101 " not in server.raw(head, wait_s=1)
    assert server.infer(body())[0] == 200


def test_admin_answers_on_its_own_port_and_to_this_machines_tools_alone(server: RunningServer) -> None:
    assert server.ask("GET", "/admin/state")[0] == 404
    assert server.ask("GET", "/admin/state", admin=True)[0] == 200
    assert server.ask("POST", INFER, GOOD, admin=True)[0] == 404
    assert server.ask("GET", "/admin/flush", admin=True)[0] == 405
    assert server.ask("GET", "/admin/state", headers={"Origin": "https://evil.example"}, admin=True)[0] == 403
    assert server.ask("GET", "/admin/state", headers={"Host": "evil.example"}, admin=True)[0] == 403
    for bad in (b"", b"[]", b"{", b'{"now": "x"}', b'{"now": -1}', b'{"now": true}'):
        assert server.ask("POST", "/admin/clock", bad, admin=True)[0] == 400


def test_metrics_count_what_happened(server: RunningServer) -> None:
    def metric(name: str) -> float:
        text = server.ask("GET", "/metrics")[2].decode()
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    before, refused = metric("mainspring_rows_total"), metric('mainspring_refused_total{code="request.body"}')
    server.infer(body(7))
    server.infer(b"{")
    assert metric("mainspring_rows_total") == before + 7
    assert metric('mainspring_refused_total{code="request.body"}') == refused + 1
    assert metric("mainspring_ready") == 1


def test_the_clock_moves_in_a_replay_and_ids_carry_its_hour(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        client = server.client()
        client.set_clock(NOW + 3_600_000_000)
        assert client.infer_binary(columns(1)).ids[0].startswith("p-2013050107-")
        assert client.state()["clock"] == NOW + 3_600_000_000
        client.close()


class RealClock:
    def now(self) -> int:
        return time.time_ns() // 1_000


def test_a_real_clock_cannot_be_set(tmp_path: Path) -> None:
    with running(tmp_path, Parts(clock=RealClock())) as server:
        client = server.client()
        with pytest.raises(ServerRefused, match="404"):
            client.set_clock(NOW)
        client.close()


def test_hot_swaps_under_load_fail_nothing_and_every_row_is_logged(tmp_path: Path) -> None:
    parts = Parts()
    for number in range(1, 22):
        parts.models.add(number, TinyEngine(float(number)))
    with running(tmp_path, parts) as server:
        failures, rows, stop = list[str](), [0, 0], threading.Event()

        def load(worker: int) -> None:
            client = server.client()
            while not stop.is_set():
                try:
                    answered = client.infer_binary(columns(3), [f"{worker}-{rows[worker]}-{row}" for row in range(3)])
                except ServerRefused as error:
                    failures.append(str(error))
                    continue
                rows[worker] += 3
                for score, version in zip(answered.scores, answered.versions, strict=True):
                    if not any(np.isclose(score, expected(int(version), row), atol=1e-12) for row in range(3)):
                        failures.append(f"version {version} did not give {score}")
            client.close()

        workers = [threading.Thread(target=load, args=(number,)) for number in range(2)]
        for worker in workers:
            worker.start()
        admin = server.client()
        for number in range(2, 22):
            commit = parts.releases.set(number - 1, number, weight=50)
            assert admin.reconcile() == commit
            commit = parts.releases.set(number)
            assert admin.reconcile() == commit
        stop.set()
        for worker in workers:
            worker.join(20)
        counts, state = admin.flush(), admin.state()
        admin.close()
    assert failures == []
    assert sum(rows) > 50
    assert counts["rows"] == state["rows"] == sum(rows)
    assert state["dropped"] == 0
    assert sum(len(record.keys) for record in SegmentReader(tmp_path).read().records) == sum(rows)


def expected(version: int, row: int) -> float:
    total = version + 0.5 * row + len(["AA", "", "AA"][row])
    return float(1.0 / (1.0 + np.exp(-0.1 * total)))


def test_the_server_follows_the_release_by_itself_and_reports_what_it_cannot_load(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        client = server.client()
        commit = server.parts.releases.set(2)
        wait_for(lambda: client.state()["release"] == commit)
        server.parts.releases.set(7)
        wait_for(lambda: digest(7) in client.state()["failures"])
        assert client.state()["release"] == commit
        assert client.infer_binary(columns(1)).versions.tolist() == [2]
        assert b"mainspring_load_failures 1.0" in server.ask("GET", "/metrics")[2]
        client.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def test_before_the_first_release_it_is_alive_but_not_ready(tmp_path: Path) -> None:
    parts = Parts()
    parts.models.models.clear()
    with running(tmp_path, parts) as server:
        assert server.ask("GET", "/v2/health/live")[0] == 200
        assert server.ask("GET", "/v2/health/ready")[0] == 503
        status, headers, _ = server.ask("POST", INFER, GOOD)
        assert (status, headers["retry-after"]) == (503, "1")


def test_an_address_that_others_reach_or_a_taken_port_is_refused_before_anything_starts(
    server: RunningServer, tmp_path: Path
) -> None:
    parts = Parts()
    log = PredictionLog(Nowhere())
    for host in ("0.0.0.0", "192.0.2.1", "example.org", "::"):
        with pytest.raises(InsecureBind) as caught:
            run(parts.plane, log, parts.reconciler, listening=Listening(host=host))
        assert caught.value.exit_code == 2
    with pytest.raises(PortTaken):
        run(parts.plane, log, parts.reconciler, listening=Listening(port=server.port))
    log.close()


class Nowhere:
    """A log writer that keeps nothing."""

    def append(self, records: object) -> int:
        return 0

    def sync(self) -> None:
        return

    def close(self) -> None:
        return


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to handle")
def test_sigterm_under_load_loses_no_answer_and_exits_zero(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "unit" / "serve" / "serving_process.py"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        public, admin = process.stdout.readline().split()
        client, rows, refused = InferenceClient(public, admin, MODEL), 0, ""
        process_told = time.monotonic() + 0.3
        told = False
        while not refused:
            if not told and time.monotonic() > process_told:
                process.send_signal(signal.SIGTERM)
                told = True
            try:
                rows += len(client.infer_binary(columns(5)).ids)
            except ServerRefused as error:
                refused = str(error)
        client.close()
        assert process.wait(20) == 0
    assert "does not answer" in refused
    assert sum(len(record.keys) for record in SegmentReader(tmp_path).read().records) == rows > 0
