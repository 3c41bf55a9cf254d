"""Scored rows and profiles: one record a batch, columns as little-endian bytes.

A batch is written and read whole, so 230 rows cost one insert, and a 7-day window is 28 records.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mainspring.adapters.sqlite.observations_files import connect, writing
from mainspring.observe.ports import START, Position, ScoredBatch
from mainspring.observe.profiles import TickProfile, read_profile

TABLES = """
create table if not exists batches (
    segment text not null, place integer not null, first integer not null, last integer not null,
    keys text not null, asked_at blob not null, digests text not null, scores blob not null, served blob not null,
    primary key (segment, place)
) without rowid;
create index if not exists batches_by_time on batches (first, last);
create table if not exists profiles (
    digest text not null, tick integer not null, profile blob not null, primary key (digest, tick)
) without rowid
"""

_KEPT = 256


class ScoresFile:
    """Batches and profiles in one SQLite file; `synchronous=NORMAL`, for the log can make it again."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.database = connect(path, TABLES, "NORMAL" if durable else "OFF")
        self._parsed: dict[Position, ScoredBatch] = {}

    def add(self, batch: ScoredBatch) -> bool:
        """Insert a batch and add up its profiles in one transaction, unless its position is known."""
        with writing(self.database) as database:
            if batch.position <= self.position():
                return False
            self._insert(batch)
            for (digest, tick), added in batch.profiles.items():
                stored = self.profiles(digest, [tick]).get(tick)
                data = (stored + added if stored else added).to_bytes()
                database.execute("insert or replace into profiles values (?, ?, ?)", (digest, tick, data))
        return True

    def position(self) -> Position:
        """Return the last batch's position."""
        found = self.database.execute("select segment, place from batches order by segment desc, place desc limit 1")
        row = found.fetchone()
        return (row[0], row[1]) if row else START

    def profiles(self, digest: str, ticks: Sequence[int]) -> dict[int, TickProfile]:
        """Return the stored profiles among `ticks`."""
        if not ticks:
            return {}
        wanted = set(ticks)
        found = self.database.execute(
            "select tick, profile from profiles where digest = ? and tick between ? and ? order by tick",
            (digest, min(wanted), max(wanted)),
        )
        return {tick: read_profile(data) for tick, data in found if tick in wanted}

    def between(self, start: int, end: int) -> list[ScoredBatch]:
        """Return the batches that have rows in [start, end), oldest first (rows outside included)."""
        within = "from batches where first < ? and last >= ? order by segment, place"
        places = self.database.execute(f"select segment, place {within}", (end, start)).fetchall()
        return [self._at(segment, place) for segment, place in places]

    def _at(self, segment: str, place: int) -> ScoredBatch:
        """Return one batch; it never changes, so the last ones read are kept."""
        known = self._parsed.get((segment, place))
        if known is None:
            columns = "segment, place, keys, asked_at, digests, scores, served"
            row = self.database.execute(
                f"select {columns} from batches where segment = ? and place = ?",  # noqa: S608 - constant
                (segment, place),
            ).fetchone()
            while len(self._parsed) >= _KEPT:
                del self._parsed[min(self._parsed)]
            known = self._parsed[segment, place] = _batch(row)
        return known

    def _insert(self, batch: ScoredBatch) -> None:
        at = np.asarray(batch.asked_at, "<i8")
        digests = list(batch.scores)
        place = {digest: number for number, digest in enumerate(digests)}
        scores = b"".join(np.asarray(batch.scores[digest], "<f8").tobytes() for digest in digests)
        served = np.fromiter((place[digest] for digest in batch.served_by), "<u2", len(batch.served_by)).tobytes()
        first, last = (int(at.min()), int(at.max())) if len(at) else (0, -1)
        keys = json.dumps(list(batch.keys), ensure_ascii=False, separators=(",", ":"))
        self.database.execute(
            "insert into batches values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*batch.position, first, last, keys, at.tobytes(), json.dumps(digests), scores, served),
        )


def _batch(row: tuple[str, int, str, bytes, str, bytes, bytes]) -> ScoredBatch:
    segment, place, keys, asked_at, digests, scores, served = row
    names = json.loads(digests)
    table = np.frombuffer(scores, "<f8").reshape(len(names), -1) if names else np.zeros((0, 0))
    return ScoredBatch(
        position=(segment, place),
        keys=json.loads(keys),
        asked_at=np.frombuffer(asked_at, "<i8"),
        scores=dict(zip(names, table, strict=True)),
        served_by=[names[number] for number in np.frombuffer(served, "<u2").tolist()],
    )
