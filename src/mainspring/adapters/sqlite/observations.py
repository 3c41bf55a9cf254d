"""Scores, labels and profiles in two SQLite files of one folder.

`scores.db` can be made again from the prediction log, so it is written with `synchronous=NORMAL`; `labels.db` cannot,
so it is written with `synchronous=FULL`: an accepted label survives a power cut. Two files, because a power cut that
damages the first must not touch the second.
"""

import sqlite3
from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from mainspring.adapters.sqlite.observations_files import connect, writing
from mainspring.adapters.sqlite.observations_scores import ScoresFile
from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.records import Label
from mainspring.observe.joining import Known, count_coverage, matured_rows
from mainspring.observe.ports import Coverage, Position, ScoredBatch
from mainspring.observe.profiles import TickProfile
from mainspring.stats.columns import Columns

LABELS = """
create table if not exists labels (
    asked_at integer not null, key text not null, known_at integer not null, arrival integer not null,
    value real not null, primary key (asked_at, key, known_at, value)
) without rowid;
create index if not exists labels_by_known on labels (known_at);
create index if not exists labels_by_arrival on labels (arrival)
"""

_LABEL = "asked_at, key, value, known_at"
_WITHIN = "from labels where asked_at >= ? and asked_at < ? and known_at <= ?"
_LAST_WINS = "order by known_at, arrival"


class Observations:
    """All observation ports over `folder/scores.db` and `folder/labels.db`. Close it, or use it in a `with` block."""

    def __init__(self, folder: Path) -> None:
        self._scores = ScoresFile(folder / "scores.db")
        self._labels: sqlite3.Connection = connect(folder / "labels.db", LABELS, "FULL")

    def __enter__(self) -> "Observations":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close both files."""
        self._scores.database.close()
        self._labels.close()

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
        if any(not isfinite(label.value) for label in labels):
            raise InvalidValue("a label is not a finite number", fix="leave questions without an outcome out")
        if not labels:
            return 0
        with writing(self._labels) as database:
            before = database.total_changes
            arrival = database.execute("select coalesce(max(arrival), 0) from labels").fetchone()[0]
            database.executemany(
                "insert or ignore into labels (asked_at, key, known_at, arrival, value) values (?, ?, ?, ?, ?)",
                [(one.asked_at, one.key, one.known_at, arrival + n, one.value) for n, one in enumerate(labels, 1)],
            )
            return database.total_changes - before

    def known_between(self, after: int, until: int) -> int:
        """Count questions that have a label with after < known_at <= until."""
        found = self._labels.execute(
            "select count(*) from (select distinct asked_at, key from labels where known_at > ? and known_at <= ?)",
            (after, until),
        )
        return int(found.fetchone()[0])

    def matured(self, start: int, end: int, as_of: int) -> Columns:
        """Return answered rows whose winning label is known by `as_of`."""
        return matured_rows(self._scores.between(start, end), self._winners(start, end, as_of), start, end)

    def coverage(self, start: int, end: int, as_of: int) -> Coverage:
        """Count rows and labels."""
        return count_coverage(self._scores.between(start, end), self._winners(start, end, as_of), start, end)

    def _winners(self, start: int, end: int, as_of: int) -> Known:
        """Return the winning label a question; the order of arrival is only fetched where a question has several."""
        rows = self._labels.execute(f"select {_LABEL} {_WITHIN}", (start, end, as_of)).fetchall()
        found = {(at, key): (value, known) for at, key, value, known in rows}
        if len(found) < len(rows):
            rows = self._labels.execute(f"select {_LABEL} {_WITHIN} {_LAST_WINS}", (start, end, as_of)).fetchall()
            found = {(at, key): (value, known) for at, key, value, known in rows}
        return found
