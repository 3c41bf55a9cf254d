"""A live `mainspring serve` for real clients: its own process, a trained and promoted model, an API key."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from tests import tools
from tests.unit.app.small_workspace import NAME, make_workspace

ROWS = 6_000
COLUMNS: Mapping[str, list[Any]] = {
    "visit.kind": ["walk", "bus", "car", "walk", None, "bus"],
    "visit.size": [3.25, 2.0, 4.5, 1.75, 3.0, 5.0],
    "visit.hour": [8.0, 17.0, 23.0, 0.0, 12.0, 3.0],
    "lately.bad_share": [0.5, 0.25, 0.75, 0.5, None, 0.125],
}
TEXTS = ("visit.kind",)


@dataclass(frozen=True, slots=True)
class Live:
    """A running server. url: of its public port, without a slash. grpc: host:port. token: its API key's secret."""

    url: str
    grpc: str
    token: str
    model: str
    graph: bytes

    @property
    def address(self) -> str:
        """Return host:port."""
        return self.url.removeprefix("http://")

    @property
    def authorization(self) -> dict[str, str]:
        """Return the header that a client sends."""
        return {"Authorization": f"Bearer {self.token}"}

    def expected(self, rows: slice = slice(None)) -> list[float]:
        """Return what the model says of `COLUMNS`, asked of the stored graph without our server."""
        session = ort.InferenceSession(self.graph, providers=["CPUExecutionProvider"])
        feed = {}
        for item in session.get_inputs():
            values = COLUMNS[item.name][rows]
            if item.name in TEXTS:
                feed[item.name] = np.array([value or "" for value in values], dtype=object).reshape(-1, 1)
            else:
                numbers = [np.nan if value is None else value for value in values]
                feed[item.name] = np.array(numbers, np.float32).reshape(-1, 1)
        return [float(score) for score in session.run(None, feed)[0].reshape(-1)]


def made(root: Path) -> Path:
    """Train and promote a model by the command line; return the project's folder."""
    make_workspace(root, ROWS)
    for command in (["snapshot"], ["train"], ["promote", "1"]):
        _told(root, *command)
    return root


@contextmanager
def served(root: Path, *options: str, keys: bool) -> Iterator[Live]:
    """Serve a project, with an API key or without any; end the server afterwards. options: more of the command line."""
    roles = ("predict", "metadata", "label", "metrics")
    asked = [part for role in roles for part in ("--role", role)]
    token = json.loads(_told(root, "tokens", "create", "clients", *asked, "--json"))["secret"] if keys else ""
    (model,) = (root / ".mainspring" / "models").rglob("files/model.*")
    argv = [*_mainspring(root), "serve", "--port", "0", "--grpc-port", "0", "--json", *options]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            at = json.loads(process.stdout.readline())
            yield Live(at["public"], at["grpc"], token, NAME, model.read_bytes())
        finally:
            process.terminate()
            assert process.wait(30) == 0


def ask(environment: str, script: str, *arguments: str, given: object = None) -> Any:  # noqa: ANN401 - a JSON document
    """Run a script with a tool environment's Python; `given` comes on its stdin, its last line is the answer."""
    argv = [tools.python(environment), "-c", script, *arguments]
    done = subprocess.run(
        argv, input=json.dumps(given), capture_output=True, text=True, check=False, env=tools.quiet(), timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def _mainspring(root: Path) -> Sequence[str]:
    return [sys.executable, "-m", "mainspring", "-C", str(root)]


def _told(root: Path, *command: str) -> str:
    done = subprocess.run([*_mainspring(root), *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
