"""preprocess: which rows to learn from and which to judge on, as of the run's moment.

It writes row numbers into the features file, not a copy of it: choosing costs little, and a training reads the
features once however many windows are tried.
"""

from collections.abc import Mapping

from mainspring.develop.examples import holdout_rows, span_of, split, training_rows
from mainspring.develop.runs import Run
from mainspring.flows.steps.ports import Made, StepPorts
from mainspring.stats.columns import length


def preprocess(run: Run, files: Mapping[str, str], ports: StepPorts) -> Made:
    """Write `rows` (row, asked_at, target, holdout). Raises `TooFewRows` or `OneClass`."""
    features, targets = (ports.store.path(files[name]) for name in ("features", "targets"))
    rows = split(ports.frames.examples(features, targets, span_of(run)), run)
    with ports.scratch() as folder:
        ports.frames.write(folder / "rows.parquet", rows)
        digest = ports.store.put_file(folder / "rows.parquet")
    counts = {
        "training_rows": float(length(training_rows(rows))),
        "holdout_rows": float(length(holdout_rows(rows))),
        "target_mean": float(rows["target"].mean()),
    }
    return Made(outputs={"rows": digest}, metrics=counts)
