"""schemathesis against a live server and its own OpenAPI document: no fault, and only documented answers."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.serve.serving_kit import RunningServer, body, running

from mainspring.adapters.files.label_inbox import LabelInbox

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
SEED, EXAMPLES, MANY = "20261126", "100", 500


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running(tmp_path / "log", labels=LabelInbox(tmp_path / "labels")) as found:
        yield found


@pytest.mark.slow
def test_schemathesis_finds_no_fault_in_what_we_document(server: RunningServer, tmp_path: Path) -> None:
    home = server.at.public if server.at.public.startswith("http") else f"http://{server.at.public}"
    pid = os.getpid()
    program = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [
            program, "run", f"{home}/docs", "--url", home, "--checks", CHECKS, "--seed", SEED,
            "--max-examples", EXAMPLES,
            "--phases", "examples,coverage,fuzzing", "--mode", "all", "--no-color", "--continue-on-failure",
            "--exclude-path-regex", "^/docs",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, "COLUMNS": "120"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    generated = re.search(r"(\d[\d,]*) generated", done.stdout)
    assert generated, done.stdout[-2_000:]
    assert int(generated[1].replace(",", "")) > MANY
    assert server.infer(body())[0] == 200
    assert os.getpid() == pid
    assert server.parts.plane.counters.requests > 0
