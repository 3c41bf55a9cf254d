"""The whole demo, timed from an empty folder: `mainspring demo --json` with all four policies and the drill.

    python benchmarks/bench_demo.py

Memory is the proportional set size (PSS) of the whole process tree, sampled every second; Linux only.
"""

import json
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

RESULT = Path(__file__).parent / "results" / "demo.json"
PACKAGES = ("mainspring", "duckdb", "onnxruntime", "scikit-learn", "skl2onnx")


def main() -> None:
    """Run the demo once, print the figures, write benchmarks/results/demo.json."""
    with tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, "-m", "mainspring", "demo", "--dir", str(Path(folder) / "demo"), "--json"]
        started, peak = time.perf_counter(), 0.0
        with (Path(folder) / "out.json").open("w") as out:
            process = subprocess.Popen(argv, stdout=out)
            while process.poll() is None:
                peak = max(peak, _pss(process.pid))
                time.sleep(1)
        seconds = time.perf_counter() - started
        found = json.loads((Path(folder) / "out.json").read_text())
    rows = [
        _row("the whole demo, four policies and a drill", seconds, "s", 300.0, 180.0),
        _row("peak memory of its process tree (PSS)", peak / 1e9, "GB", 1.5, 1.0),
    ]
    RESULT.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    for row in rows:
        print(f"{row['work']:<45} {row['ours']:>8.2f} {row['unit']:<3} must {row['must']} aim {row['aim']}")
    print(json.dumps(found["seconds"]))


def _pss(pid: int) -> float:
    total = 0
    try:
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    for process in tree:
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return float(total)


def _row(work: str, ours: float, unit: str, must: float, aim: float) -> dict[str, Any]:
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    return {
        "work": work, "ours": round(ours, 3), "peer": None, "peer_name": None, "unit": unit, "ratio": None,
        "must": must, "aim": aim, "higher_is_better": False, "versions": versions, "runs": [round(ours, 3)],
    }  # fmt: skip


if __name__ == "__main__":
    main()
