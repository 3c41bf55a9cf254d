"""Scores, labels and profiles in two SQLite files of one folder.

`scores.db` can be made again from the prediction log, so it is written with `synchronous=NORMAL`; `labels.db` cannot,
so it is written with `synchronous=FULL`: an accepted label survives a power cut. Two files, because a power cut that
damages the first must not touch the second.
"""

from collections.abc import Sequence
from pathlib import Path

from mainspring.adapters.sqlite.observations_labels import MAX_DAYS, Day, LabelsFile
from mainspring.adapters.sqlite.observations_scores import ScoresFile
from mainspring.kernel.records import Label
from mainspring.kernel.times import DAY
from mainspring.observe.joining import count_coverage, matured_rows, stacked
from mainspring.observe.ports import Coverage, Position, ScoredBatch
from mainspring.observe.profiles import TickProfile
from mainspring.stats.columns import Columns

_PARTS = 256


class Observations:
    """All observation ports over `folder/scores.db` and `folder/labels.db`. Close it, or use it in a `with` block.

    durable: False for a replay, whose labels can be fed again: then a power cut may cost the files.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self._scores = ScoresFile(folder / "scores.db", durable=durable)
        self._labels = LabelsFile(folder / "labels.db", durable=durable)
        self._joined: dict[Position, tuple[tuple[Day, ...], Columns]] = {}

    def __enter__(self) -> "Observations":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close both files."""
        self._scores.database.close()
        self._labels.database.close()

    def add_scored(self, batch: ScoredBatch) -> bool:
        """Keep a batch and its profiles in one transaction, unless its position is known."""
        return self._scores.add(batch)

    def position(self) -> Position:
        """Return the position after the last batch."""
        return self._scores.position()

    def profiles(self, digest: str, ticks: Sequence[int]) -> dict[int, TickProfile]:
        """Return a model's profiles of those of `ticks` that have one."""
        return self._scores.profiles(digest, ticks)

    def add_labels(self, labels: Sequence[Label]) -> int:
        """Keep labels that are new, durably, in one transaction."""
        return self._labels.add(labels)

    def known_between(self, after: int, until: int) -> int:
        """Count questions that have a label with after < known_at <= until."""
        return self._labels.known_between(after, until)

    def matured(self, start: int, end: int, as_of: int) -> Columns:
        """Return answered rows whose winning label is known by `as_of`; settled batches are joined once."""
        batches = self._scores.between(start, end)
        if not batches or end - start > MAX_DAYS * DAY // 2:
            return matured_rows(batches, self._labels.winners(start, end, as_of))
        return stacked([self._part(batch, as_of) for batch in batches], start, end)

    def _part(self, batch: ScoredBatch, as_of: int) -> Columns:
        """Return one batch joined with its labels; kept as long as the labels of its days are the same."""
        first, last = int(batch.asked_at.min()), int(batch.asked_at.max())
        days = self._labels.days(first, last + 1) if last - first < MAX_DAYS * DAY // 2 else ()
        if not days or any(as_of < day.latest for day in days):
            return matured_rows([batch], self._labels.winners(first, last + 1, as_of))
        kept = self._joined.get(batch.position)
        if kept is None or len(kept[0]) != len(days) or any(a is not b for a, b in zip(kept[0], days, strict=True)):
            while len(self._joined) >= _PARTS:
                del self._joined[min(self._joined)]
            kept = self._joined[batch.position] = (
                days,
                matured_rows([batch], self._labels.winners(first, last + 1, as_of)),
            )
        return kept[1]

    def coverage(self, start: int, end: int, as_of: int) -> Coverage:
        """Count rows and labels."""
        return count_coverage(self._scores.between(start, end), self._labels.winners(start, end, as_of), start, end)
