"""What engines take for themselves: the compiled trees beside ONNX Runtime, and a model that runs as Python.

    python benchmarks/bench_engines.py

Trees: microseconds of processor time of one call in this thread, answers compared first; the peer is onnxruntime on the
same graph, one thread, as it serves where the compiled part was not built. Python: wall milliseconds of one row through
the process beside the server, and that process's memory (resident, and its own: USS).
"""

import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier

from mainspring.adapters.onnx.session import Session
from mainspring.adapters.onnx.trees import Trees
from mainspring.adapters.sklearn.convert import convert
from mainspring.adapters.skops.estimators import saved
from mainspring.app.python_models import PythonEngine
from mainspring.kernel.contract import Input
from mainspring.stats.columns import Array, Floats

RESULT = Path(__file__).parent / "results" / "engines.json"
COLUMNS, TREES, LEARNT, RUNS, CALLS = 30, 100, 2_000, 7, 300
INPUTS = tuple(Input(name=f"f{place}", kind="number") for place in range(COLUMNS))
TRUST = (
    "functools.partial", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
)  # fmt: skip
PACKAGES = ("mainspring", "onnxruntime", "scikit-learn", "skops")


def main() -> None:
    """Measure, print a table, write benchmarks/results/engines.json."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(LEARNT, COLUMNS)), columns=[item.name for item in INPUTS])
    target = (frame["f0"] + frame["f1"] * frame["f2"] + random.normal(size=LEARNT) > 0).astype(int)
    results = [*_forests(frame, target), *_python(frame, target)]
    print(f"{'work':64} {'ours':>9} {'peer':>9}")
    for row in results:
        print(f"{row['work']:64} {row['ours']:9.2f} {row['peer'] or 0:9.2f} {row['unit']}")
    RESULT.write_text(json.dumps(results, indent=1) + "\n")


def _forests(frame: pd.DataFrame, target: Array) -> Iterator[dict[str, Any]]:
    fitted = {
        "GradientBoosting": GradientBoostingClassifier(n_estimators=TREES, random_state=0),
        "RandomForest": RandomForestClassifier(TREES, random_state=0),
    }
    for name, estimator in fitted.items():
        graph, inputs = convert(estimator.fit(frame, target), INPUTS)
        ours, peer = Trees(graph, inputs), Session(graph, inputs)
        for rows in (1, 100):
            block = np.ascontiguousarray(frame.to_numpy()[:rows])
            texts = np.empty((rows, 0), dtype=object)
            assert np.abs(ours.packed(block, texts) - peer.packed(block, texts)).max() < 1e-6
            mine = _spent(ours.packed, block, texts)
            theirs = statistics.median(_spent(peer.packed, block, texts))
            yield _row(f"{name}({TREES}), {rows} rows, one call", mine, "us", theirs)


def _spent(score: Callable[[Floats, Array], Floats], block: Floats, texts: Array) -> list[float]:
    """Return microseconds of this thread a call, of each run."""
    found = []
    for _ in range(RUNS):
        began = time.thread_time_ns()
        for _ in range(CALLS):
            score(block, texts)
        found.append((time.thread_time_ns() - began) / CALLS / 1e3)
    return found


def _python(frame: pd.DataFrame, target: Array) -> Iterator[dict[str, Any]]:
    fitted = HistGradientBoostingClassifier(max_iter=TREES, random_state=0).fit(frame, target)
    with tempfile.TemporaryDirectory() as folder:
        engine = PythonEngine(saved(fitted, TRUST), INPUTS, TRUST, log=Path(folder) / "log")
        took = []
        for place in range(CALLS):
            row = {item.name: frame[item.name].to_numpy()[place : place + 1] for item in INPUTS}
            began = time.perf_counter()
            engine(row)
            took.append((time.perf_counter() - began) * 1e3)
        memory = psutil.Process(engine.sidecar.pid).memory_full_info()
        engine.sidecar.close()
    yield _row(f"HistGradientBoosting({TREES}) as Python, one row", [statistics.median(took)], "ms")
    yield _row("its process: resident memory", [memory.rss / 1e6], "MB")
    yield _row("its process: memory of its own", [memory.uss / 1e6], "MB")


def _row(work: str, runs: list[float], unit: str, peer: float | None = None) -> dict[str, Any]:
    ours = round(statistics.median(runs), 2)
    return {
        "work": work, "ours": ours, "peer": None if peer is None else round(peer, 2),
        "peer_name": None if peer is None else "onnxruntime", "unit": unit,
        "ratio": None if peer is None else round(ours / peer, 3), "must": None if peer is None else 1.0, "aim": None,
        "higher_is_better": False,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "runs": [round(one, 2) for one in runs],
    }  # fmt: skip


if __name__ == "__main__":
    main()
