"""What observe needs from outside: scores as they were served, labels as they arrive, profiles by tick.

Three small ports; one adapter may be all of them (`Observations`). Everything but labels can be made again from the
prediction log, and taking in a log frame again is harmless: the position in the log is kept in the same
transaction as the rows. Every adapter passes tests/conformance/test_observations.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.records import Label
from mainspring.observe.profiles import TickProfile
from mainspring.stats.columns import Array, Columns

Position = tuple[str, int]
START: Position = ("", 0)
SCORE = "score:"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredBatch:
    """Rows that were answered, as read from one stretch of a prediction log.

    position: (segment, offset) after them. keys: ask keys ("" where unknown). asked_at: int64 UTC microseconds.
    scores: a digest's float64 scores, NaN where it did not score the row. served_by: digest a row whose score the
    client was given. profiles: what to add to (digest, tick).
    """

    position: Position
    keys: Sequence[str]
    asked_at: Array
    scores: Mapping[str, Array]
    served_by: Sequence[str]
    profiles: Mapping[tuple[str, int], TickProfile] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = len(self.keys)
        if any(len(part) != rows for part in (self.asked_at, self.served_by, *self.scores.values())):
            raise InvalidValue("the columns of a scored batch differ in length", fix="give one value a row")
        if not set(self.served_by) <= set(self.scores):
            raise InvalidValue("a row was served by a model without scores", fix="log the score that was served")

    def served(self) -> Array:
        """Return the scores that clients were given."""
        names = list(self.scores)
        table = np.vstack([np.asarray(self.scores[name], np.float64) for name in names]) if names else np.zeros((0, 0))
        place = {name: row for row, name in enumerate(names)}
        rows = np.fromiter((place[name] for name in self.served_by), np.int64, len(self.served_by))
        return table[rows, np.arange(len(rows))] if names else np.zeros(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How labels and predictions met: `unmatched` labels belong to no question that was answered."""

    scored: int
    labelled: int
    unmatched: int


class Scores(Protocol):
    """Keeps what was answered."""

    def add_scored(self, batch: ScoredBatch) -> bool:
        """Keep a batch and add its profiles, in one transaction; False (and no change) if its position is known."""

    def position(self) -> Position:
        """Return the position after the last batch; `START` before the first."""

    def profiles(self, digest: str, ticks: Sequence[int]) -> dict[int, TickProfile]:
        """Return a model's profiles of those of `ticks` that have one."""


class Labels(Protocol):
    """Keeps what came true. The highest `known_at` wins, then the later arrival; nothing is deleted."""

    def add_labels(self, labels: Sequence[Label]) -> int:
        """Keep labels durably and return how many were new; a repeated label changes nothing."""

    def known_between(self, after: int, until: int) -> int:
        """Count questions that have a label with after < known_at <= until."""


class Observations(Scores, Labels, Protocol):
    """Both, joined by (key, asked_at)."""

    def matured(self, start: int, end: int, as_of: int) -> Columns:
        """Return answered rows with start <= asked_at < end whose winning label with known_at <= as_of is known.

        Columns: key and served_by (object), asked_at and known_at (int64), value and score (float64), and
        `score:<digest>` for every model that has a finite score for any of them. In order of asked_at, then of arrival.
        """

    def coverage(self, start: int, end: int, as_of: int) -> Coverage:
        """Count rows and labels of start <= asked_at < end as known at `as_of`."""
