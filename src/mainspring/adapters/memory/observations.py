"""Scores, labels and profiles in memory: the slow, obviously right reference."""

from collections.abc import Sequence
from math import isfinite

from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.records import Label
from mainspring.observe.joining import Known, count_coverage, matured_rows
from mainspring.observe.ports import START, Coverage, Position, ScoredBatch
from mainspring.observe.profiles import TickProfile
from mainspring.stats.columns import Columns


class Observations:
    """Keeps lists. Not shared between processes."""

    def __init__(self) -> None:
        self._batches: list[ScoredBatch] = []
        self._position = START
        self._profiles: dict[tuple[str, int], TickProfile] = {}
        self._labels: list[Label] = []

    def add_scored(self, batch: ScoredBatch) -> bool:
        """Keep a batch unless its position is known."""
        if batch.position <= self._position:
            return False
        merged = {
            place: self._profiles[place] + added if place in self._profiles else added
            for place, added in batch.profiles.items()
        }
        self._profiles.update(merged)
        self._batches.append(batch)
        self._position = batch.position
        return True

    def position(self) -> Position:
        """Return the position after the last batch."""
        return self._position

    def profiles(self, digest: str, ticks: Sequence[int]) -> dict[int, TickProfile]:
        """Return a model's profiles of those of `ticks` that have one."""
        return {tick: self._profiles[digest, tick] for tick in sorted(ticks) if (digest, tick) in self._profiles}

    def add_labels(self, labels: Sequence[Label]) -> int:
        """Keep labels that are new."""
        if any(not isfinite(label.value) for label in labels):
            raise InvalidValue("a label is not a finite number", fix="leave questions without an outcome out")
        before = len(self._labels)
        for label in labels:
            if label not in self._labels:
                self._labels.append(label)
        return len(self._labels) - before

    def known_between(self, after: int, until: int) -> int:
        """Count questions that have a label with after < known_at <= until."""
        return len({(one.key, one.asked_at) for one in self._labels if after < one.known_at <= until})

    def matured(self, start: int, end: int, as_of: int) -> Columns:
        """Return answered rows whose winning label is known by `as_of`."""
        return matured_rows(self._batches, self._winners(start, end, as_of))

    def coverage(self, start: int, end: int, as_of: int) -> Coverage:
        """Count rows and labels."""
        return count_coverage(self._batches, self._winners(start, end, as_of), start, end)

    def _winners(self, start: int, end: int, as_of: int) -> Known:
        found: Known = {}
        for label in sorted(self._labels, key=lambda one: one.known_at):
            if start <= label.asked_at < end and label.known_at <= as_of:
                found[label.asked_at, label.key] = (label.value, label.known_at)
        return found
