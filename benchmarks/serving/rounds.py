"""Start each server in turn, compare its answers with the model's own, then time it; one record a timing."""

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serving import bodies, same_model
from serving.bodies import Shape
from serving.load import Pace, Target, timed, warmed
from serving.processes import ServerTree, free_ports, post
from serving.servers import HERE, Server, filled

ROOT = HERE.parent.parent
WORST = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One timing: a model, rows a request, and the shape where it is not the server's own."""

    model: str
    rows: int
    shape: Shape | None = None

    @property
    def name(self) -> str:
        """Return such as gb_100 or gb_100_binary."""
        return f"{self.model}_{self.rows}" + ("_binary" if self.shape else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every start shares. token: what our server's clients present."""

    home: Path
    wrk: str
    pace: Pace
    tokens: dict[str, str]

    def measure(self, server: Server, works: Iterable[Work], round_: int) -> Iterator[dict[str, Any]]:
        """Yield a record a work; all works of a start are of one model."""
        wanted = list(works)
        model = wanted[0].model
        with started(self, server, model) as (tree, port):
            path = server.path.format(model=model)
            headers = self.headers(server, model)
            first, own = server.shape.ask(bodies.rows_of(wanted[0].rows)[0])
            start_s = tree.until_right(port, path, first, {**own, **headers})
            for place, work in enumerate(wanted):
                shape = work.shape or server.shape
                worst = _compared(port, path, shape, work, headers)
                written, sent = bodies.written(self.home / "bodies", shape, work.rows)
                target = Target(port=port, path=path, bodies=written, headers={**sent, **headers})
                warmed(self.wrk, target, self.pace.again_s if place else self.pace.warm_s)
                found = timed(self.wrk, target, tree, self.pace)
                yield {
                    "server": server.name, "work": work.name, "round": round_, **found.plain(), "worst": worst,
                    "start_s": round(start_s, 3), "pss_mb": round(tree.pss_mb(), 1),
                }  # fmt: skip

    def headers(self, server: Server, model: str) -> dict[str, str]:
        """Return the headers of our own clients; none for a peer."""
        token = self.tokens.get(model, "")
        return {"Authorization": f"Bearer {token}"} if token and not server.environment else {}


@contextmanager
def started(bench: Bench, server: Server, model: str) -> Iterator[tuple[ServerTree, int]]:
    """Start a server and yield it with its port; end it whatever happens."""
    port = free_ports()
    bin_ = ROOT / ".venvs" / server.environment / "bin" if server.environment else Path(sys.executable).parent

    def fill(text: str) -> str:
        return filled(text, port=port, model=model, home=bench.home, bin_=bin_)

    env = {
        "PATH": f"{bin_}:/usr/bin:/bin", "PORT": str(port), "MODEL": model, "MODELS": str(bench.home / "models"),
        "PYTHONPATH": f"{HERE}:{HERE / 'peers'}" if server.environment else "",
        **{name: fill(value) for name, value in server.env.items()},
    }  # fmt: skip
    if server.setup:
        subprocess.run([fill(part) for part in server.setup], env={**os.environ, **env}, check=True)
    cwd = Path(fill(server.cwd))
    cwd.mkdir(parents=True, exist_ok=True)
    tree = ServerTree([fill(part) for part in server.argv], env, cwd, bench.home / f"{server.name}.log")
    try:
        yield tree, port
    finally:
        tree.stop()


def _compared(port: int, path: str, shape: Shape, work: Work, headers: dict[str, str]) -> float:
    """Return the worst difference from scikit-learn over all bodies; raise `RuntimeError` above 1e-5."""
    model, worst = same_model.fitted(work.model), 0.0
    for rows in bodies.rows_of(work.rows):
        body, own = shape.ask(rows)
        status, answer, got = post(port, path, body, {**own, **headers})
        if status != 200:
            raise RuntimeError(f"{work.name}: {status} {answer[:300]!r}")
        scores = shape.read(answer, got)
        if scores.shape != (work.rows,):
            raise RuntimeError(f"{work.name}: {scores.shape} scores for {work.rows} rows")
        worst = max(worst, float(np.abs(scores - model.predict_proba(rows)[:, 1]).max()))
    if worst > WORST:
        raise RuntimeError(f"{work.name}: wrong answers, {worst:.1e} off")
    return worst


def version_of(server: Server) -> str:
    """Return the version of a server's package."""
    if not server.environment:
        return importlib.metadata.version(server.package)
    python = ROOT / ".venvs" / server.environment / "bin" / "python"
    code = f"import importlib.metadata as m; print(m.version({server.package!r}))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
