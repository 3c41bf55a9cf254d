"""Join scored batches with winning labels: the one rule that every adapter shares. Pure."""

from collections.abc import Iterable, Sequence

import numpy as np

from mainspring.observe.ports import SCORE, Coverage, ScoredBatch
from mainspring.stats.columns import Columns

Question = tuple[int, str]
Known = dict[Question, tuple[float, int]]


def matured_rows(batches: Sequence[ScoredBatch], labels: Known, start: int, end: int) -> Columns:
    """Return the rows of `batches` in [start, end) that have a label, in order of asked_at, then of arrival."""
    picked = [_labelled(batch, labels, start, end) for batch in batches]
    digests = sorted({digest for batch, rows, _, _ in picked if len(rows) for digest in batch.scores})
    keys = [batch.keys[row] for batch, rows, _, _ in picked for row in rows]
    at = np.concatenate([np.asarray(b.asked_at, np.int64)[rows] for b, rows, _, _ in picked] or [np.zeros(0, np.int64)])
    order = np.argsort(at, kind="stable")
    served_by = [batch.served_by[row] for batch, rows, _, _ in picked for row in rows]
    table: Columns = {
        "key": np.array(keys, dtype=object)[order],
        "asked_at": at[order],
        "value": np.array([value for _, _, values, _ in picked for value in values], np.float64)[order],
        "known_at": np.array([known for _, _, _, times in picked for known in times], np.int64)[order],
        "served_by": np.array(served_by, dtype=object)[order],
        "score": np.concatenate([b.served()[rows] for b, rows, _, _ in picked] or [np.zeros(0)])[order],
    }
    for digest in digests:
        parts = [
            np.asarray(b.scores[digest], np.float64)[rows] if digest in b.scores else np.full(len(rows), np.nan)
            for b, rows, _, _ in picked
        ]
        table[SCORE + digest] = np.concatenate(parts)[order]
    return table


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


def _labelled(
    batch: ScoredBatch, labels: Known, start: int, end: int
) -> tuple[ScoredBatch, list[int], list[float], list[int]]:
    questions = zip(batch.asked_at.tolist(), batch.keys, strict=True)
    found = [
        (row, *labels[asked]) for row, asked in enumerate(questions) if asked in labels and start <= asked[0] < end
    ]
    return batch, [one[0] for one in found], [one[1] for one in found], [one[2] for one in found]
