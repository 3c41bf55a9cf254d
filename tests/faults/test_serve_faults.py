"""What may go wrong around a server: disks, slow clients, sick challengers, kills. Answers and counts stay right."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.unit.serve.serving_kit import MODEL, BrokenEngine, Parts, RunningServer, body, columns, running

from mainspring.adapters.files.logs import SegmentWriter
from mainspring.adapters.files.logs_reader import SegmentReader
from mainspring.adapters.http.client import InferenceClient, ServerRefused
from mainspring.entry.inference.binding import Listening
from mainspring.entry.inference.protocol import Deadlines
from mainspring.stats.columns import Floats

INFER = f"/v2/models/{MODEL}/infer"
ROOT = Path(__file__).parents[2]


def test_a_full_disk_fails_no_answer_and_every_lost_row_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path) as server:
        client = server.client()
        client.infer_binary(columns(3))
        client.flush()
        monkeypatch.setenv("MAINSPRING_FAILPOINT", "log.write:err")
        for _ in range(10):
            assert len(client.infer_binary(columns(3)).scores) == 3
        client.flush()
        assert metric(server, "mainspring_log_sink_dropped_rows_total") == 30
        assert metric(server, "mainspring_log_sink_failing") == 1
        monkeypatch.delenv("MAINSPRING_FAILPOINT")
        client.infer_binary(columns(3))
        client.flush()
        state = client.state()
        client.close()
    assert (state["rows"], state["logged"], state["dropped"]) == (36, 6, 30)
    assert "failpoint" in state["log_failure"]
    assert len(SegmentReader(tmp_path).read().records) == 2


def started(folder: Path, **environment: str) -> tuple["subprocess.Popen[str]", InferenceClient]:
    script = ROOT / "tests" / "unit" / "serve" / "serving_process.py"
    process = subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip
    assert process.stdout is not None
    public, admin = process.stdout.readline().split()
    return process, InferenceClient(public, admin, MODEL)


def test_a_server_killed_while_logging_loses_no_flushed_row_and_starts_again(tmp_path: Path) -> None:
    process, client = started(tmp_path)
    with process:
        flushed = 0
        for _ in range(5):
            client.infer_binary(columns(4))
            flushed = client.flush()["rows"]
        client.infer_binary(columns(4))
        process.kill()
    client.close()
    segment = next(tmp_path.glob("*.log"))
    segment.write_bytes(segment.read_bytes() + SegmentReader.__doc__.encode()[:7])  # type: ignore[union-attr]
    process, client = started(tmp_path)
    with process:
        client.infer_binary(columns(4))
        client.flush()
        process.terminate()
        assert process.wait(20) == 0
    client.close()
    found = SegmentReader(tmp_path).read()
    assert not found.damage
    rows = sum(len(record.keys) for record in found.records)
    assert flushed + 4 <= rows <= flushed + 8


def test_a_kill_inside_the_log_writer_leaves_a_readable_log(tmp_path: Path) -> None:
    process, client = started(tmp_path, MAINSPRING_FAILPOINT="log.write:kill")
    with process:
        client.infer_binary(columns(4))
        assert process.wait(20) == 137
    with pytest.raises(ServerRefused, match="does not answer"):
        client.infer_binary(columns(4))
    client.close()
    assert not SegmentReader(tmp_path).read().damage
    SegmentWriter(tmp_path).close()


@pytest.mark.parametrize(
    "start", [b"", b"P", b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"]
)
def test_slow_clients_are_closed_while_others_are_served(tmp_path: Path, start: bytes) -> None:
    quick = Listening(drain_s=0.1, deadlines=Deadlines(head_s=0.5, body_s=0.5, write_s=0.5))
    with running(tmp_path, listening=quick) as server:
        slow = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(50)]
        for connection in slow:
            connection.sendall(start)
        client, began = server.client(), time.monotonic()
        for connection in slow:
            answer = b""
            while chunk := connection.recv(1_000):
                answer += chunk
            assert answer.startswith(b"HTTP/1.1 408")
            connection.close()
            assert len(client.infer_binary(columns(2)).scores) == 2
        assert time.monotonic() - began < 8
        client.close()


def test_a_client_that_never_reads_is_closed(tmp_path: Path) -> None:
    quick = Listening(drain_s=0.1, deadlines=Deadlines(write_s=0.5))
    data = json.dumps(body(1_000)).encode()
    request = b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(data) + data
    with running(tmp_path, listening=quick) as server:
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=0.2)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deadline, closed = time.monotonic() + 15, False
        while not closed and time.monotonic() < deadline:
            try:
                connection.sendall(request)
            except TimeoutError:
                continue
            except ConnectionError:
                closed = True
        connection.close()
        assert closed
        assert server.infer(body())[0] == 200


def test_a_client_that_leaves_in_the_middle_of_a_body_harms_nobody(tmp_path: Path) -> None:
    head = b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{"
    with running(tmp_path) as server:
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
                connection.sendall(head)
        assert server.infer(body())[0] == 200
        assert metric(server, "mainspring_requests_total") == 1


def metric(server: RunningServer, name: str) -> float:
    text = server.ask("GET", "/metrics")[2].decode()
    return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


def test_no_nan_of_a_sick_challenger_reaches_a_client_and_it_is_stopped_within_twenty_requests(tmp_path: Path) -> None:
    parts = Parts()
    parts.models.add(2, BrokenEngine(lambda scores: np.full_like(scores, np.nan)))
    parts.releases.set(1, 2, weight=50)
    with running(tmp_path, parts) as server:
        client = server.client()
        for turn in range(20):
            answered = client.infer_binary(columns(10), [f"{turn}-{row}" for row in range(10)])
            assert np.isfinite(answered.scores).all()
            assert set(answered.versions.tolist()) == {1}
        assert client.state()["aborted"]
        client.close()
        assert metric(server, "mainspring_challenger_aborted") == 1
        assert metric(server, "mainspring_challenger_weight") == 0


def test_a_challenger_that_raises_costs_no_request(tmp_path: Path) -> None:
    def broken(scores: Floats) -> Floats:
        raise RuntimeError(f"{len(scores)} rows are too many")

    parts = Parts()
    parts.models.add(2, BrokenEngine(broken))
    parts.releases.set(1, 2, weight=100)
    with running(tmp_path, parts) as server:
        client = server.client()
        versions = {version for _ in range(20) for version in client.infer_binary(columns(10)).versions.tolist()}
        client.close()
    assert versions == {1}
