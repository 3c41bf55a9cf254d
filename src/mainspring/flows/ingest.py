"""Take in what the server logged: scores for quality, profiles for drift, counts for the rollout.

Rows and profiles of one stretch of the log are kept in one transaction with the position after them, so a crash
between two stretches loses nothing and counts nothing twice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from mainspring.kernel.records import LoggedRequest
from mainspring.observe.ports import Observations, Position, ScoredBatch
from mainspring.observe.profiles import Reference, TickProfile, profile, without
from mainspring.stats.columns import Columns, Floats, take

_STRETCH = 500
References = Callable[[str], Reference | None]


class Gap(Protocol):
    """Bytes of a segment that are no record: what stood there is lost."""

    @property
    def segment(self) -> str:
        """The segment's name."""

    @property
    def offset(self) -> int:
        """Where they begin."""

    @property
    def size(self) -> int:
        """How many there are."""


class LogStretch(Protocol):
    """Records in order, and the position after them."""

    @property
    def records(self) -> Sequence[LoggedRequest]:
        """The records."""

    @property
    def position(self) -> Position:
        """Where to go on."""

    @property
    def damage(self) -> Sequence[Gap]:
        """Bytes that were passed over."""


class PredictionLog(Protocol):
    """Reads the log onwards from a position."""

    def read(self, after: Position, limit: int) -> LogStretch:
        """Return at most `limit` records after a position."""


@dataclass(slots=True)
class Tally:
    """What one model did in the stretch: rows asked of it, rows it failed, microseconds a request."""

    rows: int = 0
    failed: int = 0
    took: list[int] = field(default_factory=list)

    @property
    def p99_us(self) -> float | None:
        """The 99th percentile of a request's microseconds, None without any."""
        return float(np.quantile(self.took, 0.99)) if self.took else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """What was new: requests, rows, each model's tally by digest, and the damage that was passed over, told once."""

    requests: int
    rows: int
    damage: Sequence[Gap]
    tallies: Mapping[str, Tally]


def ingest(log: PredictionLog, observations: Observations, references: References, *, every: int) -> Ingested:
    """Read everything new and keep it. every: microseconds of a tick."""
    requests = rows = 0
    damage: list[Gap] = []
    tallies: dict[str, Tally] = {}
    while True:
        found = log.read(observations.position(), _STRETCH)
        if not found.records:
            return Ingested(requests=requests, rows=rows, damage=damage, tallies=tallies)  # else told with what follows
        batch = _batch(found.records, found.position)
        columns = _columns(found.records)
        hidden = frozenset(name for record in found.records for name in record.redacted)
        observations.add_scored(_profiled(batch, columns, references, every, hidden))
        for record in found.records:
            _count(record, tallies)
        requests, rows = requests + len(found.records), rows + len(batch.keys)
        damage += found.damage


def _batch(records: Sequence[LoggedRequest], position: Position) -> ScoredBatch:
    keys = [key or f"{record.request_id}.{row}" for record in records for row, key in enumerate(record.keys)]
    digests = list(dict.fromkeys(digest for record in records for digest in record.scores))
    scores = {digest: np.concatenate([_score(record, digest) for record in records]) for digest in digests}
    served = [record.versions[place] for record in records for place in record.served]
    asked_at = np.concatenate([np.frombuffer(record.asked_at, "<i8") for record in records])
    return ScoredBatch(position=position, keys=keys, asked_at=asked_at, scores=scores, served_by=served)


def _columns(records: Sequence[LoggedRequest]) -> Mapping[str, Columns]:
    """Return the features by kind, then name: a version may read as text what another reads as a number."""
    numbers = dict.fromkeys(name for record in records for name in record.numbers)
    strings: Columns = {}
    for name in dict.fromkeys(name for record in records for name in record.strings):
        values = [value for record in records for value in record.strings.get(name, [None] * len(record.keys))]
        strings[name] = np.array([*values, None], dtype=object)[:-1]
    known = {name: np.concatenate([_number(record, name) for record in records]) for name in numbers}
    return {"number": known, "string": strings}


def _profiled(
    batch: ScoredBatch, columns: Mapping[str, Columns], references: References, every: int, hidden: frozenset[str]
) -> ScoredBatch:  # fmt: skip
    ticks = np.asarray(batch.asked_at, np.int64) // every * every
    profiles: dict[tuple[str, int], TickProfile] = {}
    for digest, scores in batch.scores.items():
        reference = references(digest)
        if reference is None:
            continue
        wanted = [column for column in reference.columns if column.name in columns[column.kind]]
        picked = {column.name: columns[column.kind][column.name] for column in wanted}
        for tick in np.unique(ticks).tolist():
            rows = (ticks == tick) & np.isfinite(scores)
            if rows.any():
                profiles[digest, tick] = without(
                    reference, profile(reference, take(picked, rows), scores[rows]), hidden
                )
    return ScoredBatch(
        position=batch.position, keys=batch.keys, asked_at=batch.asked_at, scores=batch.scores,
        served_by=batch.served_by, profiles=profiles,
    )  # fmt: skip


def _count(record: LoggedRequest, tallies: dict[str, Tally]) -> None:
    for digest in dict.fromkeys([*record.versions, *record.errors]):
        tally = tallies.setdefault(digest, Tally())
        rows = len(record.keys)
        tally.rows += rows
        tally.failed += rows if digest in record.errors else int((~np.isfinite(_score(record, digest))).sum())
        if digest in record.took_each:
            tally.took.append(record.took_each[digest])


def _score(record: LoggedRequest, digest: str) -> Floats:
    raw = record.scores.get(digest)
    return np.full(len(record.keys), np.nan) if raw is None else np.frombuffer(raw, "<f8").astype(np.float64)


def _number(record: LoggedRequest, name: str) -> Floats:
    raw = record.numbers.get(name)
    return np.full(len(record.keys), np.nan) if raw is None else np.frombuffer(raw, "<f8").astype(np.float64)
