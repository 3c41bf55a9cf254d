"""A server as a process tree on one core: start, memory, processor time, end. Linux only."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

SERVER_CORE, LOAD_CORE = 0, 1
_HIDDEN = ("OPENBLAS_", "PYTHON", "COVERAGE", "PYTEST", "VIRTUAL_ENV")
_QUIET = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "ignore",
}  # fmt: skip
_UP_S = 90.0


def free_ports(count: int = 3) -> int:
    """Return the first of `count` free ports in a row; some servers take the next ones for gRPC and metrics."""
    while True:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                for more in range(1, count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port + more))
            except OSError:
                continue
            return port


class ServerTree:
    """A started server with all its children."""

    def __init__(self, argv: list[str], env: Mapping[str, str], cwd: Path, log: Path) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_HIDDEN)}
        self._log = log.open("w")
        self.began = time.perf_counter()
        self._process = subprocess.Popen(
            ["taskset", "-c", str(SERVER_CORE), *argv], env={**kept, **_QUIET, **env}, cwd=cwd,
            stdout=self._log, stderr=self._log, start_new_session=True,
        )  # fmt: skip

    @property
    def ended(self) -> bool:
        """Say whether it ended by itself."""
        return self._process.poll() is not None

    def tree(self) -> list[psutil.Process]:
        """Return the processes that live now."""
        try:
            first = psutil.Process(self._process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.Error:
            return []

    def pss_mb(self) -> float:
        """Return the proportional set size of the tree: shared pages count once."""
        total = 0
        for process in self.tree():
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().pss
        return total / 2**20

    def cpu_s(self) -> float:
        """Return processor seconds used so far."""
        total = 0.0
        for process in self.tree():
            with contextlib.suppress(psutil.Error):
                total += sum(process.cpu_times()[:2])
        return total

    def until_right(self, port: int, path: str, body: bytes, headers: Mapping[str, str]) -> float:
        """Return seconds from the start to the first 200; raise `TimeoutError` with what was seen last."""
        seen = "nothing"
        while time.perf_counter() - self.began < _UP_S and not self.ended:
            try:
                status, answer, _ = post(port, path, body, headers)
                if status == 200:
                    return time.perf_counter() - self.began
                seen = f"{status} {answer[:300]!r}"
            except (OSError, http.client.HTTPException) as error:
                seen = repr(error)
            time.sleep(0.01)
        raise TimeoutError(f"{'it ended' if self.ended else 'not up in time'}: {seen}; see {self._log.name}")

    def stop(self) -> None:
        """End the tree: ask first, then insist."""
        living = self.tree()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        _, left = psutil.wait_procs(living, timeout=6)
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=3)
        self._process.wait(timeout=10)
        self._log.close()


def post(port: int, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, Mapping[str, str]]:
    """Send one request on a new connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request("POST", path, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}
    finally:
        connection.close()


def busy_s() -> float:
    """Return processor seconds that all cores together spent working, as the system counts them."""
    return sum(
        sum(core) - core.idle - core.iowait - core.steal - core.guest - core.guest_nice
        for core in psutil.cpu_times(percpu=True)
    )
