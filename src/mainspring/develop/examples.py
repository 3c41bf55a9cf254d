"""Choose the rows to learn from and the rows to judge on, as of one moment. Pure.

Words: the *holdout* is the last stretch before the run's moment. A training row was asked before the holdout began
and its outcome was known by then, so nothing learnt could have been unknown (docs/decisions: champion gate).
"""

import numpy as np

from mainspring.develop.errors import OneClass, TooFewRows
from mainspring.develop.runs import Run
from mainspring.kernel.times import format_time
from mainspring.stats.columns import Columns, length, take

_EARLIEST = -(2**62)
_JUDGED_SHARE = 10


def span_of(run: Run) -> tuple[int, int]:
    """Return [start, end) of the asks that a run looks at, UTC microseconds."""
    window = run.training.window
    return (_EARLIEST if window is None else run.at - window, run.at)


def split(examples: Columns, run: Run) -> Columns:
    """Mark each example as training or holdout and drop those that are neither.

    examples: {row, asked_at, value, known_at}, known by run.at. Returns {row (int64), asked_at (int64),
    target (float64), holdout (float64, 1 or 0)} in the same order. Raises `TooFewRows` or `OneClass`.
    """
    border = run.at - run.training.holdout
    held = examples["asked_at"] >= border
    learnt = ~held & (examples["known_at"] <= border)
    kept = take(examples, held | learnt)
    rows = {
        "row": kept["row"].astype(np.int64),
        "asked_at": kept["asked_at"].astype(np.int64),
        "target": kept["value"].astype(np.float64),
        "holdout": held[held | learnt].astype(np.float64),
    }
    _check(rows, run)
    return rows


def training_rows(rows: Columns) -> Columns:
    """Return the rows to learn from."""
    return take(rows, rows["holdout"] == 0)


def holdout_rows(rows: Columns) -> Columns:
    """Return the rows to judge on."""
    return take(rows, rows["holdout"] == 1)


def _check(rows: Columns, run: Run) -> None:
    plan = run.training
    fewest = max(plan.min_rows, 2)
    for part, need in ((training_rows(rows), fewest), (holdout_rows(rows), max(fewest // _JUDGED_SHARE, 2))):
        learning = part["holdout"].sum() == 0 and need == fewest
        use = "learn from" if learning else "judge on"
        where = f"before {format_time(run.at)} (holdout from {format_time(run.at - plan.holdout)})"
        if length(part) < need:
            raise TooFewRows(
                f"only {length(part)} labelled rows to {use} {where}; at least {need} are needed",
                fix="take a longer training.window or holdout, a later --at, or add data",
            )
        if len(np.unique(part["target"])) < 2:
            raise OneClass(
                f"all {length(part)} rows to {use} {where} have the outcome {part['target'][0]:g}",
                fix="check the target's expression, or take a longer training.window or holdout",
            )
