"""A whole project to files: `mainspring render`, `render --check` and `mainspring check`, each a process of its own.

    python benchmarks/bench_render.py

Makes the example project with its data in a temporary folder (about 20 s) and gives it six environments, one of each
platform, so that every renderer has work. Seconds of processor time of the whole command, start of Python included: it
has one thread and reads a few files, so on an idle machine that is its wall time. There is no peer.
"""

import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from mainspring.app.demo import make_project

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests import whole_project

RESULT = Path(__file__).parent / "results" / "render.json"
RUNS = 7
WORKS: Sequence[tuple[str, tuple[str, ...], float, float]] = (
    ("render a whole project, six environments", ("render", "--force"), 1.0, 0.7),
    ("render --check", ("render", "--check"), 1.0, 0.7),
    ("check: file, code, data, stale files and policy lint", ("check",), 2.0, 1.5),
    ("check TREE: the policy lint alone", ("check", "."), 2.0, 1.5),
)


def main() -> None:
    """Measure, print a table, write benchmarks/results/render.json."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        root = project(Path(folder))
        run(root, ("render", "--force"))
        print(f"{'work':54} {'median s':>9} {'must':>5} {'aim':>5}")
        for work, words, must, aim in WORKS:
            runs = [run(root, words) for _ in range(RUNS)]
            ours = round(statistics.median(runs), 3)
            print(f"{work:54} {ours:9.3f} {must:5.1f} {aim:5.1f}")
            results.append({
                "work": work, "ours": ours, "peer": None, "peer_name": None, "unit": "s", "ratio": None, "must": must,
                "aim": aim, "higher_is_better": False,
                "versions": {"python": platform.python_version(), "mainspring": version("mainspring")},
                "runs": [round(one, 3) for one in runs],
            })  # fmt: skip
    RESULT.write_text(json.dumps(results, indent=1) + "\n")


def project(folder: Path) -> Path:
    """Return the example project with data, its environments replaced."""
    root = folder / "shop"
    make_project(root)
    path = root / "mainspring.yaml"
    text = path.read_text(encoding="utf-8")
    kept = "".join(part for part in text.split("\n\n") if part.startswith("environments:"))
    text = text.replace(kept, whole_project.DELIVERY + whole_project.environments())
    path.write_text(text, encoding="utf-8")
    return root


def run(root: Path, words: Sequence[str]) -> float:
    """Return the processor's seconds of one command."""
    began = spent()
    done = subprocess.run(
        [sys.executable, "-m", "mainspring", *words], cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"mainspring {' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return spent() - began


def spent() -> float:
    """Return the processor's seconds of all children so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
