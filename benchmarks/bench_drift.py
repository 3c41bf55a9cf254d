"""The drift check of a 7-day window: 28 stored profiles of 30 columns, read, added up and judged.

Run `python benchmarks/bench_drift.py`: prints a table and writes `benchmarks/results/drift_window.json`. There is no
peer: the bounds are absolute.
"""

import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy

from mainspring.adapters.sqlite.observations import Observations
from mainspring.kernel.records import Label
from mainspring.kernel.times import DAY, HOUR
from mainspring.observe.drift.judgement import judge_drift
from mainspring.observe.plans import DriftRule
from mainspring.observe.ports import ScoredBatch
from mainspring.observe.profiles import Reference, add_up, profile, read_reference
from mainspring.observe.references import reference_profile
from mainspring.stats.columns import Columns

ROWS = 230
TICKS = 28
RUNS = 30
DIGEST = "sha256:" + "a" * 64
RESULT = Path(__file__).parent / "results" / "drift_window.json"


def table(random: np.random.Generator, rows: int) -> Columns:
    """Return 24 numbers and 5 strings of `rows` rows; with the score that makes 30 columns."""
    made: Columns = {f"number_{n}": random.normal(n, 1 + n, rows) for n in range(24)}
    names = np.array([f"level {n}" for n in range(100)], dtype=object)
    return {**made, **{f"string_{n}": random.choice(names, rows) for n in range(5)}}


def timed(work: Callable[[], object]) -> list[float]:
    """Return milliseconds of each run, after one that does not count."""
    work()
    found = []
    for _ in range(RUNS):
        began = time.perf_counter()
        work()
        found.append((time.perf_counter() - began) * 1000)
    return found


def filled(observations: Observations, reference: Reference, random: np.random.Generator) -> None:
    """Store a week: 28 batches of 230 rows, their profiles and labels."""
    for tick in range(TICKS):
        observations.add_scored(batch(reference, random, tick))
        at = tick * 6 * HOUR
        observations.add_labels([Label(key=f"{at + n}", asked_at=at + n, value=1.0, known_at=at) for n in range(ROWS)])


def batch(reference: Reference, random: np.random.Generator, tick: int) -> ScoredBatch:
    """Return one tick's rows, scored by two models."""
    scores, at = random.uniform(size=ROWS), tick * 6 * HOUR
    counted = profile(reference, table(random, ROWS), scores)
    return ScoredBatch(
        position=("log", tick + 1),
        keys=[f"{at + n}" for n in range(ROWS)],
        asked_at=np.arange(at, at + ROWS),
        scores={DIGEST: scores, "sha256:" + "b" * 64: scores},
        served_by=[DIGEST] * ROWS,
        profiles={(DIGEST, at): counted},
    )


def measure(folder: Path) -> dict[str, tuple[list[float], float, float]]:
    """Return (milliseconds, must, aim) of each work."""
    random = np.random.default_rng(0)
    training = table(random, 60_000)
    learnt = reference_profile(training, random.integers(0, 120 * DAY, 60_000), random.uniform(size=60_000))
    stored = learnt.to_bytes()
    reference = read_reference(stored)
    rows, scores, rule = table(random, ROWS), random.uniform(size=ROWS), DriftRule()
    with Observations(folder) as observations:
        filled(observations, reference, random)
        ticks = [tick * 6 * HOUR for tick in range(TICKS)]

        def check() -> object:
            return judge_drift(reference, add_up(reference, observations.profiles(DIGEST, ticks).values()), rule)

        def cold() -> object:
            with Observations(folder) as opened:
                return opened.matured(0, 7 * DAY, 9 * DAY)

        def take_in() -> object:
            place = observations.position()[1]
            return observations.add_scored(batch(reference, random, place))

        return {
            "drift check of a 7-day window, 28 stored profiles x 30 columns": (timed(check), 200.0, 5.0),
            "the same, with the reference read from its bytes": (
                timed(lambda: (read_reference(stored), check())), 200.0, 20.0,
            ),
            "profile of 230 rows x 30 columns": (timed(lambda: profile(reference, rows, scores)), 2.0, 1.0),
            "7-day window of 6,440 scored rows joined with labels": (
                timed(lambda: observations.matured(0, 7 * DAY, 9 * DAY)), 15.0, 10.0,
            ),
            "the same in a new process: files opened, nothing kept in memory": (timed(cold), 60.0, 30.0),
            "taking in one tick: 230 rows made, counted and committed": (timed(take_in), 50.0, 15.0),
        }  # fmt: skip


def main() -> int:
    """Measure, print, write."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    versions = {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__}
    results = []
    print(f"{'work':68} {'median ms':>9} {'must':>6} {'aim':>5}")
    for work, (runs, must, aim) in found.items():
        ours = round(statistics.median(runs), 3)
        print(f"{work:68} {ours:9.3f} {must:6.0f} {aim:5.0f}")
        results.append({
            "work": work, "ours": ours, "peer": None, "peer_name": None, "unit": "ms", "ratio": None, "must": must,
            "aim": aim, "higher_is_better": False, "versions": versions, "runs": [round(run, 3) for run in runs],
        })  # fmt: skip
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
