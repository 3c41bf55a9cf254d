"""`mainspring up` as a process: what it started ends with it, however it is asked to end."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.unit.app.small_workspace import make_workspace


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as asked:
        asked.settimeout(5)
        return asked.connect_ex((parts.hostname or "", parts.port or 0)) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without asking it")
@pytest.mark.parametrize(("number", "codes"), [(signal.SIGTERM, (0, 143)), (signal.SIGKILL, (-9,))])
def test_whoever_ends_it_ends_the_server_too(tmp_path: Path, number: int, codes: tuple[int, ...]) -> None:
    root = make_workspace(tmp_path / "project", rows=50)
    argv = [sys.executable, "-m", "mainspring", "-C", str(root), "up", "--port", "0", "--page-port", "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        assert told.startswith("predictions"), told + process.stdout.read()
        url = told.split()[1]
        assert _answers(url)
        process.send_signal(number)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode in codes, rest
    assert "Traceback" not in rest
    until = time.monotonic() + 20
    while _answers(url):
        assert time.monotonic() < until
        time.sleep(0.05)
