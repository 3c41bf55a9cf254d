"""Several workers behind one port: counted together, started again when they die, ended together, none left behind."""

import contextlib
import http.client
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
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psutil
import pytest
from tests.unit.serve.serving_kit import MODEL, body

from mainspring.adapters.files.logs_reader import SegmentReader
from mainspring.entry.inference.sums import added, families_of, growing, joined

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has one worker: a listener cannot be handed on"
)

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "unit" / "serve" / "serving_process.py"
INFER = f"/v2/models/{MODEL}/infer"
GOOD = json.dumps(body()).encode()
DEADLY = GOOD.replace(b'"AA"', b'"KILL"')


class Several(NamedTuple):
    """A parent with its addresses."""

    process: "subprocess.Popen[str]"
    at: dict[str, str]

    def ask(self, port: str, method: str, path: str, data: bytes | None = None) -> tuple[int, bytes]:
        parts = urlsplit(self.at[port])
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        try:
            connection.request(method, path, data)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ask("admin", "GET", "/admin/state")[1])
        return found

    def metric(self, name: str) -> float:
        text = self.ask("metrics", "GET", "/metrics")[1].decode()
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if re.match(rf"{name}[{{ ]", line))

    def whole(self) -> bool:
        return all(worker["serving"] for worker in self.state()["workers"])


@contextlib.contextmanager
def several(folder: Path, *more: str, count: int = 2) -> Iterator[Several]:
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), "--workers", str(count), *more], stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        found = Several(process, json.loads(process.stdout.readline()))
        try:
            yield found
        finally:
            if process.poll() is None:
                process.kill()


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def test_workers_share_a_port_are_counted_together_and_end_with_their_parent(tmp_path: Path) -> None:
    with several(tmp_path) as server:
        assert all(server.ask("public", "POST", INFER, GOOD)[0] == 200 for _ in range(60))
        assert server.metric("mainspring_requests_total") == 60
        assert server.metric("mainspring_rows_total") == 120
        assert server.metric("mainspring_workers") == 2
        state = server.state()
        assert (state["requests"], state["ready"], len(state["workers"])) == (60, True, 2)
        for port in ("admin", "metrics"):
            assert [server.ask(port, "GET", path)[0] for path in ("/livez", "/readyz", "/startupz", "/nowhere")] == [
                200, 200, 200, 404,
            ]  # fmt: skip
        assert json.loads(server.ask("admin", "POST", "/admin/flush")[1])["rows"] == 120
        assert json.loads(server.ask("admin", "POST", "/admin/clock", b'{"now": 1367388000000000}')[1])["now"]
        assert server.ask("admin", "POST", "/admin/clock", b'{"now": -1}')[0] == 400
        server.process.terminate()
        assert server.process.wait(20) == 0
    found = SegmentReader(tmp_path).read()
    assert not found.damage
    assert sum(len(record.keys) for record in found.records) == 120


@pytest.mark.slow
def test_a_worker_that_dies_on_an_input_is_started_again_and_its_counts_stay(tmp_path: Path) -> None:
    """F34, the server's side: the others answer on, and what the dead one had counted is not forgotten."""
    with several(tmp_path) as server:
        for _ in range(20):
            assert server.ask("public", "POST", INFER, GOOD)[0] == 200
        assert server.metric("mainspring_requests_total") == 20
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            server.ask("public", "POST", INFER, DEADLY)
        answered = 0
        while not server.whole():
            assert server.ask("public", "POST", INFER, GOOD)[0] == 200
            answered += 1
        assert server.metric("mainspring_worker_restarts_total") == 1
        assert server.metric("mainspring_requests_total") == 20 + answered
        assert sorted(worker["starts"] for worker in server.state()["workers"]) == [1, 2]
        server.process.terminate()
        assert server.process.wait(20) == 0


@pytest.mark.slow
def test_sigterm_under_load_loses_nothing_and_a_second_one_does_not_wait(tmp_path: Path) -> None:
    failures = list[str]()
    with several(tmp_path) as server:
        stop = threading.Event()

        def load() -> None:
            """Ask on kept connections; a new connection that is refused after the end is the end."""
            parts = urlsplit(server.at["public"])
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
            while not stop.is_set():
                try:
                    connection.request("POST", INFER, GOOD)
                    response = connection.getresponse()
                    response.read()
                except ConnectionRefusedError:
                    return
                except (OSError, http.client.HTTPException) as error:
                    failures.append(repr(error))
                    return
                if response.status != 200:
                    failures.append(str(response.status))

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        server.process.terminate()
        assert server.process.wait(20) == 0
        stop.set()
        for thread in threads:
            thread.join(20)
    assert failures == []
    with several(tmp_path / "second") as server:
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert server.process.wait(20) == 0
        assert time.monotonic() - began < 5


@pytest.mark.slow
def test_workers_do_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    with several(tmp_path) as server:
        workers = [psutil.Process(worker["pid"]) for worker in server.state()["workers"]]
        server.process.kill()
        server.process.wait(20)
        assert psutil.wait_procs(workers, timeout=20)[1] == []


@pytest.mark.slow
def test_a_worker_that_cannot_start_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file where the log's folder should be")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "log"), "--workers", "2"], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "server.worker" in done.stderr


EXPOSITION = """# TYPE mainspring_requests_total counter
mainspring_requests_total{{model="m"}} {}
# TYPE mainspring_ready gauge
mainspring_ready {}
"""


def test_accounts_add_up() -> None:
    one = {"a": 1, "b": {"x": 2}, "c": ["u"], "d": True, "e": ""}
    other = {"a": 3, "b": {"y": 1}, "c": ["u", "v"], "d": False, "e": "said"}
    assert joined(one, other) == {"a": 4, "b": {"x": 2, "y": 1}, "c": ["u", "v"], "d": False, "e": "said"}
    found = [families_of(EXPOSITION.format(5, 1)), families_of(EXPOSITION.format(7, 0))]
    whole = added(found, growing(families_of(EXPOSITION.format(100, 1)))).decode()
    assert 'mainspring_requests_total{model="m"} 112.0' in whole
    assert "mainspring_ready 0.0" in whole
