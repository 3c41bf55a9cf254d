"""Turn closed segments of the prediction log into Parquet, one row a prediction, and find a request again there.

Several writers each have their own segment of an hour, and an hour's segments go together: when nothing more will be
written to them and `watch` has taken all of them in. The Parquet file is in place before its segments go, and those of
its oldest hour go last: while one is there the removal goes on where a kill stopped it, so nothing is lost and nothing
is written twice.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mainspring.develop.ports import Frames
from mainspring.kernel.errors import NotFound
from mainspring.kernel.files import make_private, replace
from mainspring.kernel.ids import hour_of, split_prediction_id
from mainspring.kernel.records import LoggedRequest
from mainspring.kernel.times import HOUR, from_us
from mainspring.observe.ports import Position
from mainspring.stats.columns import Columns, take

BATCH = 24
_HOUR = 10
FEATURE, TEXT, SCORE, FAILED, TOOK = "feature:", "text:", "score:", "failed:", "took:"
_PLAIN = ("request_id", "logged_at", "took_us", "release", "layout", "sample")


class Segments(Protocol):
    """The log's files."""

    def closed(self, taken_in: Position) -> list[str]:
        """Return the names, oldest hour first, of the hours that are finished and lie before a position."""

    def records(self, name: str) -> list[LoggedRequest]:
        """Return the records of a segment."""

    def remove(self, name: str) -> None:
        """Remove a segment that was compacted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactPorts:
    """What compaction needs. folder: where the Parquet files go."""

    segments: Segments
    frames: Frames
    folder: Path


def compact(ports: CompactPorts, taken_in: Position) -> int:
    """Write the segments of every `BATCH` closed hours as one Parquet file; return the files written."""
    closed = _go_on(ports.segments.closed(taken_in), ports)
    hours = list(dict.fromkeys(map(_hour, closed)))
    written = 0
    for start in range(0, len(hours) - BATCH + 1, BATCH):
        first, last = hours[start], hours[start + BATCH - 1]
        names = [name for name in closed if first <= _hour(name) <= last]
        _write(names, ports)
        _remove(names, ports)
        written += 1
    return written


def find_compacted(prediction_id: str, folder: Path, frames: Frames) -> LoggedRequest:
    """Return the request of a prediction id from the Parquet files; `NotFound` if it is in none."""
    request, _ = split_prediction_id(prediction_id)
    asked = hour_of(prediction_id)
    hours = {f"{from_us(at):%Y%m%d%H}" for at in (asked, asked + HOUR)}  # it may stand in the next hour's segment
    for path in sorted(folder.glob("*.parquet")):
        first, _, last = path.stem.partition("-")
        if any(first <= hour <= last for hour in hours):
            columns = frames.read(path)
            rows = columns["request_id"] == request
            if rows.any():
                return _record(take(columns, rows))
    raise NotFound(f"prediction {prediction_id} is not in the log", fix="copy the id from an answer of this server")


def _go_on(closed: list[str], ports: CompactPorts) -> list[str]:
    """Remove the segments of a file whose removal was cut short; return the segments that are in no file."""
    for path in sorted(ports.folder.glob("*.parquet")):
        first, _, last = path.stem.partition("-")
        if any(_hour(name) == first for name in closed):
            written = set(ports.frames.read(path)["request_id"].tolist())
            inside = [name for name in closed if first <= _hour(name) <= last]
            done = [name for name in inside if all(r.request_id in written for r in ports.segments.records(name)[:1])]
            _remove(done, ports)
            closed = [name for name in closed if name not in done]
    return closed


def _remove(names: Sequence[str], ports: CompactPorts) -> None:
    for name in reversed(names):
        ports.segments.remove(name)


def _write(names: Sequence[str], ports: CompactPorts) -> None:
    make_private(ports.folder)
    target = ports.folder / f"{_hour(names[0])}-{_hour(names[-1])}.parquet"
    records = [record for name in names for record in ports.segments.records(name)]
    beside = target.with_suffix(".tmp")
    beside.unlink(missing_ok=True)
    ports.frames.write(beside, columns_of(records))
    replace(beside, target)


def columns_of(records: Sequence[LoggedRequest]) -> Columns:
    """Return one row a prediction: plain columns, then those of features (`feature:` numbers, `text:`) and models.

    `layout` names what the row's own request had, for another request of the file may have had more.
    """
    rows = [len(record.keys) for record in records]
    found: Columns = {
        "request_id": _spread([record.request_id for record in records], rows),
        "row": np.concatenate([np.arange(count, dtype=np.int64) for count in rows] or [np.zeros(0, np.int64)]),
        "logged_at": np.repeat(np.array([record.logged_at for record in records], np.int64), rows),
        "took_us": np.repeat(np.array([record.took_us for record in records], np.int64), rows),
        "release": _spread([record.release for record in records], rows),
        "key": _texts([key for record in records for key in record.keys]),
        "asked_at": _joined([np.frombuffer(record.asked_at, "<i8") for record in records]).astype(np.int64),
        "served_by": _texts([record.versions[place] for record in records for place in record.served]),
        "layout": _spread([_layout(record) for record in records], rows),
        "sample": np.repeat(np.array([record.sample for record in records], np.float64), rows),
    }
    for name in dict.fromkeys(name for record in records for name in record.numbers):
        found[FEATURE + name] = _numbers([record.numbers.get(name) for record in records], rows)
    for name in dict.fromkeys(name for record in records for name in record.strings):
        parts = [record.strings.get(name, [None] * len(record.keys)) for record in records]
        found[TEXT + name] = _texts([value for part in parts for value in part])
    for digest in dict.fromkeys(digest for record in records for digest in (*record.scores, *record.errors)):
        found[SCORE + digest] = _numbers([record.scores.get(digest) for record in records], rows)
        found[FAILED + digest] = _spread([record.errors.get(digest) for record in records], rows)
        took = [float(record.took_each.get(digest, -1)) for record in records]
        found[TOOK + digest] = np.repeat(np.array(took, np.float64), rows)
    return found


def _record(columns: Columns) -> LoggedRequest:
    """Return the request that these rows of one request id were."""
    first = {name: columns[name][0] for name in _PLAIN if name in columns}
    versions, numbers, strings, *redacted = json.loads(first["layout"])
    errors = {n.removeprefix(FAILED): v[0] for n, v in columns.items() if n.startswith(FAILED) and v[0] is not None}
    took = {n.removeprefix(TOOK): int(v[0]) for n, v in columns.items() if n.startswith(TOOK) and v[0] >= 0}
    return LoggedRequest(
        request_id=str(first["request_id"]), logged_at=int(first["logged_at"]), took_us=int(first["took_us"]),
        release=str(first["release"]), keys=columns["key"].tolist(),
        asked_at=columns["asked_at"].astype("<i8").tobytes(),
        numbers={name: columns[FEATURE + name].astype("<f8").tobytes() for name in numbers},
        strings={name: columns[TEXT + name].tolist() for name in strings},
        versions=versions, scores={name: columns[SCORE + name].astype("<f8").tobytes() for name in versions},
        served=bytes(versions.index(digest) for digest in columns["served_by"]), errors=errors, took_each=took,
        sample=float(first.get("sample", 1.0)), redacted=redacted[0] if redacted else [],
    )  # fmt: skip


def _layout(record: LoggedRequest) -> str:
    return json.dumps([record.versions, list(record.numbers), list(record.strings), record.redacted])


def _hour(segment: str) -> str:
    return segment[:_HOUR]


def _numbers(parts: Sequence[bytes | None], rows: Sequence[int]) -> Any:  # noqa: ANN401 - an array
    return _joined(
        [np.full(n, np.nan) if raw is None else np.frombuffer(raw, "<f8") for raw, n in zip(parts, rows, strict=True)]
    ).astype(np.float64)


def _joined(parts: Sequence[Any]) -> Any:  # noqa: ANN401 - an array
    return np.concatenate(parts) if parts else np.zeros(0)


def _spread(values: Sequence[str | None], rows: Sequence[int]) -> Any:  # noqa: ANN401 - an array
    return np.repeat(_texts(values), rows)


def _texts(values: Sequence[str | None]) -> Any:  # noqa: ANN401 - an array
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found
