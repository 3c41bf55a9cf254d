"""Where one prediction came from: prediction -> release -> model -> run -> code -> snapshot -> sources.

What came true, where it is known, stands after the prediction.

Every link is checked against what it names: a run must have made the model, a snapshot must be in the ledger.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mainspring.data.snapshots import Snapshot
from mainspring.kernel.errors import NotFound
from mainspring.kernel.events import Event, Ledger
from mainspring.kernel.ids import split_prediction_id
from mainspring.kernel.records import LoggedRequest
from mainspring.kernel.times import format_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One step back: what it is, its identity, and a line about it."""

    kind: str
    id: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineagePorts:
    """What lineage reads.

    find: the logged request of a prediction id. evidence: bytes attested beside a model, by name.
    snapshot: the document of a snapshot digest. label: (value, known at) of an answered question, by key and time
    (UTC microseconds), or None.
    """

    find: Callable[[str], LoggedRequest]
    evidence: Callable[[str, str], bytes | None]
    snapshot: Callable[[str], Snapshot]
    ledger: Ledger
    label: Callable[[str, int], tuple[float, int] | None] = lambda _key, _asked_at: None


def lineage(prediction_id: str, ports: LineagePorts) -> list[Link]:
    """Return the chain from a prediction id back to the sources."""
    _, row = split_prediction_id(prediction_id)
    logged = ports.find(prediction_id)
    if row >= len(logged.keys):
        raise NotFound(
            f"request {logged.request_id} has {len(logged.keys)} rows, not row {row}", fix="rows count from 0"
        )
    model = logged.versions[logged.served[row]]
    asked = [_prediction(prediction_id, logged, row), *_label(logged, row, ports)]
    return [*asked, _release(logged), *_model(model, ports), *_made(model, ports)]


def _prediction(prediction_id: str, logged: LoggedRequest, row: int) -> Link:
    asked = format_time(int(np.frombuffer(logged.asked_at, "<i8")[row]))
    model = logged.versions[logged.served[row]]
    score = float(np.frombuffer(logged.scores[model], "<f8")[row])
    detail = f"key {logged.keys[row] or '(none)'}, asked at {asked}, answered {score:.4f}"
    return Link(kind="prediction", id=prediction_id, detail=detail)


def _label(logged: LoggedRequest, row: int, ports: LineagePorts) -> list[Link]:
    key = logged.keys[row] or f"{logged.request_id}.{row}"
    found = ports.label(key, int(np.frombuffer(logged.asked_at, "<i8")[row]))
    if found is None:
        return []
    return [Link(kind="label", id=f"{found[0]:g}", detail=f"what came true, known at {format_time(found[1])}")]


def _release(logged: LoggedRequest) -> Link:
    return Link(kind="release", id=logged.release, detail=f"commit in force at {format_time(logged.logged_at)}")


def _model(digest: str, ports: LineagePorts) -> list[Link]:
    told = [*ports.ledger.read(kind="run.finished"), *ports.ledger.read(kind="model.imported")]
    finished = _last(told, "digest", digest)
    version = finished.body.get("version") if finished else None
    metrics = json.loads(ports.evidence(digest, "evidence") or b"{}").get("metrics", {})
    loss = f", holdout log loss {float(metrics['log_loss']):.4f}" if "log_loss" in metrics else ""
    return [Link(kind="model", id=digest, detail=f"version {version}{loss}")]


def _made(digest: str, ports: LineagePorts) -> list[Link]:
    """Return where a model came from: the run that fitted it, or the artifact that was adopted."""
    imported = _last(ports.ledger.read(kind="model.imported"), "digest", digest)
    if imported is None or ports.evidence(digest, "run") is not None:
        return _origin(_run_of(digest, ports), ports)
    body = imported.body
    return [Link(kind="import", id=str(body["artifact"]), detail=f"{body['source']}, adopted by {imported.actor}")]


def _run_of(digest: str, ports: LineagePorts) -> dict[str, object]:
    raw = ports.evidence(digest, "run")
    if raw is None:
        raise NotFound(f"no run is recorded beside model {digest}", fix="run `mainspring audit verify`")
    return dict(json.loads(raw))


def _origin(run: dict[str, object], ports: LineagePorts) -> list[Link]:
    snapshot = str(run["snapshot"])
    taken = _last(ports.ledger.read(kind="snapshot.taken"), "digest", snapshot)
    version = taken.body["version"] if taken else "?"
    state = "dirty work tree" if run["dirty"] else "clean work tree"
    links = [
        Link(kind="run", id=str(run["id"]), detail=f"as of {format_time(int(str(run['at'])))}: {run['reason']}"),
        Link(kind="code", id=str(run["commit"]) or "(no commit)", detail=f"{state}, code {run['code']}"),
        Link(kind="snapshot", id=snapshot, detail=f"version {version}"),
    ]
    for table in ports.snapshot(snapshot).sources:
        links.append(Link(kind="source", id=table.fingerprint, detail=f"{table.name}: {table.rows} rows"))
    return links


def _last(events: list[Event], field: str, value: str) -> Event | None:
    return next((event for event in reversed(events) if event.body.get(field) == value), None)
