"""The loop's own overheads on the flights: snapshot, steps beyond the user's function, the server on a tick's rows.

    python benchmarks/bench_loop.py

Makes the example project in a temporary folder (about 20 s), trains at two moments in one warm worker, serves the
model in its own process and sends it a tick of 230 rows in one binary V2 request, 200 times, with logging on.
"""

import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mainspring.adapters.runs.files import FileRuns
from mainspring.app.demo import PERIOD, make_project
from mainspring.app.releases import promote_version
from mainspring.app.replaying import open_stream
from mainspring.app.server_process import ServerProcess
from mainspring.app.training import Trainer, step_worker, take_snapshot
from mainspring.app.workspace import Workspace
from mainspring.flows.replay import Stream
from mainspring.flows.train import TrainResult
from mainspring.kernel.times import DAY
from mainspring.stats.columns import take

RESULT = Path(__file__).parent / "results" / "loop.json"
PACKAGES = ("numpy", "duckdb", "onnxruntime", "scikit-learn", "skl2onnx")
ROWS, TIMES = 230, 200


def main() -> None:
    """Measure, print a table, write benchmarks/results/loop.json."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        workspace = make_project(Path(folder) / "flights")
        rows.append(
            _row("first snapshot of three sources", [_timed(lambda: take_snapshot(workspace))], "s", None, 10.0)
        )
        again = [_timed(lambda: take_snapshot(workspace)) for _ in range(5)]
        rows.append(_row("snapshot again, nothing changed", again, "s", 1.0, 0.1))
        with step_worker(workspace) as worker, Trainer(workspace, mirror=False, worker=worker) as trainer:
            first = trainer.train(trainer.run_of(at=PERIOD.start, reason="benchmark"))
            second = trainer.train(trainer.run_of(at=PERIOD.start + 61 * DAY, reason="benchmark"))
        rows.extend(_overheads(workspace, second))
        rows.extend(_serving(workspace, first, open_stream(workspace, first)))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    for row in rows:
        print(f"{row['work']:<62} {row['ours']:>9.3f} {row['unit']:<3} must {row['must']} aim {row['aim']}")


def _overheads(workspace: Workspace, result: TrainResult) -> list[dict[str, Any]]:
    runs, found = FileRuns(workspace.paths.state / "runs"), []
    for step in ("preprocess", "train-model", "validate-model"):
        outcome = runs.outcome(result.run.id, step)
        if outcome is not None:
            beyond = outcome.seconds - outcome.metrics.get("fit_seconds", 0.0)
            found.append(_row(f"{step} beyond the user's function, warm worker", [beyond], "s", 0.5, 0.3))
    return found


def _serving(workspace: Workspace, first: TrainResult, stream: Stream) -> list[dict[str, Any]]:
    moved = promote_version(workspace, first.version, at_once=True, reason="benchmark")
    tick = take(stream.asks_between(PERIOD.start, PERIOD.end), np.arange(ROWS))
    one = take(tick, np.arange(1))
    with ServerProcess(workspace.paths.root, workspace.settings.name) as server:
        server.settle(moved.commit)
        found = []
        for name, asks in (
            (f"{ROWS} rows in one binary request, logged", tick),
            ("1 row in one binary request, logged", one),
        ):
            keys, at = asks["key"].tolist(), asks["asked_at"].tolist()
            spent = [_timed(lambda a=asks, k=keys, t=at: server.infer(a, k, t)) * 1000 for _ in range(TIMES + 20)][20:]
            found.append(_row(name, spent, "ms", None, 3.0))
    return found


def _timed(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _row(work: str, runs: list[float], unit: str, must: float | None, aim: float) -> dict[str, Any]:
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    return {
        "work": work, "ours": round(statistics.median(runs), 4), "peer": None, "peer_name": None, "unit": unit,
        "ratio": None, "must": must, "aim": aim, "higher_is_better": False, "versions": versions,
        "runs": [round(run, 4) for run in runs[:20]],
    }  # fmt: skip


if __name__ == "__main__":
    main()
