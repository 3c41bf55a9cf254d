"""Score many asks at once, as the server would: the same plane, the same prediction ids, the same log.

The answers go to one Parquet file a part. A part is written beside its place and named when its rows are in the log,
so a job that was killed goes on with the first part that is not there; at worst that part's rows are logged twice,
under two ids, and the output holds the second. What is scored and by which version stands in `job.json`: going on
with other input or another champion is refused. Batch predictions are watched and traced like any other.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from mainspring.kernel.digests import canonical_json, digest_bytes
from mainspring.kernel.errors import InvalidValue, RunFailed
from mainspring.kernel.failpoints import hit
from mainspring.kernel.files import write_atomic
from mainspring.kernel.times import parse_time
from mainspring.stats.columns import Array, Columns, length, take

JOB = "job.json"
PART_ROWS = 50_000
MAX_PART_ROWS = 1_000_000
CALL_ROWS = 10_000
KEY, ASKED_AT = "key", "asked_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Answers: prediction ids, P(positive) and the version a row."""

    ids: list[str]
    scores: Array
    versions: list[int]


class Scoring(Protocol):
    """The server's plane and log."""

    @property
    def champion(self) -> str:
        """Return the digest of the champion."""

    def ask(self, columns: Columns, keys: list[str], asked_at: Array | None) -> Scores:
        """Answer rows and give them to the log. columns: features; none at all means that keys are enough."""

    def settle(self) -> None:
        """Return when everything answered is in the log; raise `RunFailed` if some of it was dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorePorts:
    """What a batch needs. write: columns to a new Parquet file. progress: takes a line for people."""

    scoring: Scoring
    write: Callable[[Path, Columns], None]
    progress: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreResult:
    """A finished batch. parts: all of them; reused: those that were there already."""

    rows: int
    parts: int
    reused: int
    champion: str


def score(table: Columns, out: Path, ports: ScorePorts, *, part_rows: int = PART_ROWS) -> ScoreResult:
    """Score every row of `table` into `out`; call it again to go on where it stopped.

    table: `key` (text) and `asked_at` (int64 us or text) where it has them, and features. Raises what a request would.
    """
    if not 0 < part_rows <= MAX_PART_ROWS:
        raise InvalidValue(f"{part_rows} rows a part", fix=f"use 1 to {MAX_PART_ROWS}")
    rows = length(table)
    if not rows:
        raise InvalidValue("there is nothing to score", fix="give rows, or a longer period")
    keys, asked_at = _keys(table, rows), times_of(table)
    features = {name: values for name, values in table.items() if name not in (KEY, ASKED_AT)}
    _begin(out, {"input": _digest(table), "champion": ports.scoring.champion, "rows": rows, "part_rows": part_rows})
    parts = reused = 0
    for part, start in enumerate(range(0, rows, part_rows)):
        parts += 1
        place = out / f"part-{part:05d}.parquet"
        if place.exists():
            reused += 1
            continue
        _part(place, features, (keys, asked_at), (start, min(start + part_rows, rows)), ports)
        ports.progress(f"{min(start + part_rows, rows):,} of {rows:,} rows scored")
    return ScoreResult(rows=rows, parts=parts, reused=reused, champion=ports.scoring.champion)


def _part(
    place: Path, features: Columns, asks: tuple[list[str], Array | None], span: tuple[int, int], ports: ScorePorts
) -> None:
    keys, asked_at = asks
    found = [_call(features, keys, asked_at, low, high, ports) for low, high in _calls(*span)]
    columns: Columns = {
        "prediction_id": _texts([name for part in found for name in part.ids]),
        KEY: _texts(keys[span[0] : span[1]]),
        "score": np.concatenate([np.asarray(part.scores, np.float64) for part in found]),
        "version": np.array([number for part in found for number in part.versions], np.int64),
    }
    if asked_at is not None:
        columns[ASKED_AT] = asked_at[span[0] : span[1]]
    ports.scoring.settle()
    beside = place.with_suffix(".tmp")
    beside.unlink(missing_ok=True)
    ports.write(beside, columns)
    hit("score.part")
    beside.replace(place)


def _call(
    features: Columns, keys: list[str], asked_at: Array | None, low: int, high: int, ports: ScorePorts
) -> Scores:  # fmt: skip
    some = take(features, np.arange(low, high)) if features else {}
    return ports.scoring.ask(some, keys[low:high], None if asked_at is None else asked_at[low:high])


def _calls(start: int, end: int) -> Iterator[tuple[int, int]]:
    for low in range(start, end, CALL_ROWS):
        yield low, min(low + CALL_ROWS, end)


def _begin(out: Path, job: Mapping[str, object]) -> None:
    """Keep what is scored by whom, or compare it with what was begun here."""
    out.mkdir(parents=True, exist_ok=True)
    wanted = canonical_json(job)
    place = out / JOB
    if not place.exists():
        if any(out.glob("part-*.parquet")):
            raise RunFailed(f"{out.name}/ holds parts of an unknown job", fix="give an empty folder with --out")
        write_atomic(place, wanted)
        return
    if place.read_bytes() != wanted:
        begun = json.loads(place.read_bytes())
        other = [name for name in job if begun.get(name) != json.loads(wanted)[name]]
        raise RunFailed(
            f"{out.name}/ was begun with another {', '.join(other) or 'job'}", fix="give another folder with --out"
        )


def _digest(table: Columns) -> str:
    parts = []
    for name, values in table.items():
        data = canonical_json(values.tolist()) if values.dtype == object else np.ascontiguousarray(values).tobytes()
        parts.append(f"{name}:{digest_bytes(data)}")
    return digest_bytes("\n".join(parts).encode())


def _keys(table: Columns, rows: int) -> list[str]:
    if KEY not in table:
        return [""] * rows
    values = table[KEY]
    if values.dtype != object and (np.isnan(values.astype(np.float64)).any() or (values % 1 != 0).any()):
        raise InvalidValue("a key is missing or not whole", fix="give every row its key, or no column of keys")
    texts = values.tolist() if values.dtype == object else [str(int(value)) for value in values]
    return ["" if value is None else value for value in texts]


def times_of(table: Columns) -> Array | None:
    """Return the column `asked_at` as UTC microseconds, or None where there is none."""
    if ASKED_AT not in table:
        return None
    values = table[ASKED_AT]
    if values.dtype != object:
        return values.astype(np.int64)
    if any(value is None for value in values):
        raise InvalidValue("an asked_at is missing", fix="give every row its time, or no column of times")
    return np.array([parse_time(value) for value in values], np.int64)


def _texts(values: list[str]) -> Array:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found
