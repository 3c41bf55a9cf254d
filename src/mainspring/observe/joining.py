"""Join scored batches with winning labels: the one rule that every adapter shares. Pure."""

from collections.abc import Iterable, Sequence

import numpy as np

from mainspring.observe.ports import SCORE, Coverage, ScoredBatch
from mainspring.stats.columns import Array, Columns, Floats

Question = tuple[int, str]
Known = dict[Question, tuple[float, int]]


def matured_rows(batches: Sequence[ScoredBatch], labels: Known) -> Columns:
    """Return the rows of `batches` that have a label in `labels`, in order of asked_at, then of arrival."""
    keys = [key for batch in batches for key in batch.keys]
    at = np.concatenate([np.asarray(batch.asked_at, np.int64) for batch in batches] or [np.zeros(0, np.int64)])
    found = list(map(labels.get, zip(at.tolist(), keys, strict=True)))
    kept = np.array([row for row, label in enumerate(found) if label is not None], np.int64)
    rows = kept[np.argsort(at[kept], kind="stable")]
    order = rows.tolist()
    known = [label for label in map(found.__getitem__, order) if label is not None]
    served_by = [name for batch in batches for name in batch.served_by]
    table: Columns = {
        "key": np.array([*(keys[row] for row in order), None], dtype=object)[:-1],
        "asked_at": at[rows],
        "value": np.array([value for value, _ in known], np.float64),
        "known_at": np.array([moment for _, moment in known], np.int64),
        "served_by": np.array([*(served_by[row] for row in order), None], dtype=object)[:-1],
        "score": np.concatenate([batch.served() for batch in batches] or [np.zeros(0)])[rows],
    }
    for digest in sorted({digest for batch in batches for digest in batch.scores}):
        scores = np.concatenate([_scores(batch, digest) for batch in batches])[rows]
        if np.isfinite(scores).any():
            table[SCORE + digest] = scores
    return table


def stacked(parts: Sequence[Columns], start: int, end: int) -> Columns:
    """Return what `matured_rows` gives for several batches at once, from its answers for each: rows in [start, end)."""
    names = dict.fromkeys(name for part in parts for name in part)
    lengths = [len(part["asked_at"]) for part in parts]
    table = {
        name: np.concatenate([_part(part, name, n) for part, n in zip(parts, lengths, strict=True)]) for name in names
    }
    rows = np.flatnonzero((table["asked_at"] >= start) & (table["asked_at"] < end))
    order = rows[np.argsort(table["asked_at"][rows], kind="stable")]
    ordered = {name: values[order] for name, values in table.items()}
    return {n: v for n, v in ordered.items() if not n.startswith(SCORE) or np.isfinite(v).any()}


def _part(part: Columns, name: str, rows: int) -> Array:
    return part[name] if name in part else np.full(rows, np.nan)


def count_coverage(batches: Iterable[ScoredBatch], labels: Known, start: int, end: int) -> Coverage:
    """Count rows, labelled rows, and labels without a row."""
    asked: set[Question] = set()
    scored = labelled = 0
    for batch in batches:
        for at, key in zip(batch.asked_at.tolist(), batch.keys, strict=True):
            if start <= at < end:
                scored += 1
                labelled += (at, key) in labels
                asked.add((at, key))
    return Coverage(scored=scored, labelled=labelled, unmatched=sum(question not in asked for question in labels))


def _scores(batch: ScoredBatch, digest: str) -> Floats:
    found = batch.scores.get(digest)
    return np.full(len(batch.keys), np.nan) if found is None else np.asarray(found, np.float64)
