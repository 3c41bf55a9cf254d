"""The inference server over real sockets: right answers and refusals, hot swaps without a failure, an orderly end."""

import json
import os
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
from tests.unit.serve.serving_kit import (
    MODEL,
    NOW,
    MemoryReleases,
    Parts,
    RealClock,
    RunningServer,
    TinyEngine,
    body,
    columns,
    digest,
    fleet_of,
    running,
)

from mainspring.adapters.files.logs_reader import SegmentReader
from mainspring.adapters.http.client import InferenceClient, ServerRefused
from mainspring.entry.inference.access import KeyRing, NoTokens
from mainspring.entry.inference.binding import Address, InsecureBind, Listening, PortTaken
from mainspring.entry.inference.server import run
from mainspring.serve.log import PredictionLog
from mainspring.serve.ports import Routing

INFER = f"/v2/models/{MODEL}/infer"
GOOD = json.dumps(body()).encode()


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
        assert b'mainspring_load_failures{model="flight-delay"} 1.0' in server.ask("GET", "/metrics")[2]
        client.close()


class FlakyReleases(MemoryReleases):
    """A release port with a fault of its own kind, for a while."""

    broken = False

    def current(self) -> Routing | None:
        if self.broken:
            raise RuntimeError("the repository is being repacked")
        return super().current()


def test_a_fault_in_the_release_port_or_a_late_model_is_survived(tmp_path: Path) -> None:
    releases = FlakyReleases()
    parts = Parts(releases=releases)
    releases.set(1)
    with running(tmp_path, parts, Listening(drain_s=0.1, poll_s=0.02, retry_s=0.1)) as server:
        client = server.client()
        releases.broken = True
        time.sleep(0.1)
        assert client.infer_binary(columns(1)).versions.tolist() == [1]
        with pytest.raises(ServerRefused, match="500"):
            client.reconcile()
        releases.broken = False
        commit = releases.set(7)
        wait_for(lambda: digest(7) in client.state()["failures"])
        parts.models.add(7, TinyEngine(7.0))
        wait_for(lambda: client.state()["release"] == commit)
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
    log, ring = PredictionLog(Nowhere()), KeyRing(NoTokens(), RealClock())
    for host in ("0.0.0.0", "192.0.2.1", "example.org", "::"):
        with pytest.raises(InsecureBind) as caught:
            run(fleet_of(parts, log), ring, listening=Listening(public=Address(host=host)))
        assert caught.value.exit_code == 2
    with pytest.raises(PortTaken):
        run(fleet_of(parts, log), ring, listening=Listening(public=Address(port=server.port)))
    log.close()


class Nowhere:
    """A log writer that keeps nothing."""

    def write(self, chunks: object, /) -> None:
        return

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
