"""Wiring of batch scoring: the server's own parts, asked from this process and logging under a writer of its own."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mainspring.app.row_files import rows_of
from mainspring.app.serving import ServerRoom, server_parts
from mainspring.app.steps import step_ports
from mainspring.app.workspace import Workspace
from mainspring.data import views
from mainspring.flows.score import ASKED_AT, KEY, PART_ROWS, ScorePorts, ScoreResult, Scores, score
from mainspring.flows.snapshot import find_snapshot
from mainspring.kernel.contract import Contract
from mainspring.kernel.errors import InvalidValue, NotFound, RunFailed
from mainspring.kernel.times import parse_time
from mainspring.serve.entities import ASK_PREFIX
from mainspring.serve.fleet import Member
from mainspring.serve.questions import Question
from mainspring.serve.tensors import Tensor
from mainspring.stats.columns import Array, Columns, take

if TYPE_CHECKING:
    from mainspring.adapters.objects.bucket import Bucket

WRITER = 9_999  # a batch logs beside the server, in segments of its own
_FLUSH_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a user asks to score: a file, or the asks of [start, end) of the last snapshot, UTC microseconds.

    to: URL of an object store that keeps the answers too, or "". sinks: where the log goes too.
    """

    out: Path
    file: Path | None = None
    start: int | None = None
    end: int | None = None
    part_rows: int = PART_ROWS
    to: str = ""
    sinks: tuple[str, ...] = ()


class PlaneScoring:
    """Answers rows with the release as committed; see `flows.score.Scoring`."""

    def __init__(self, parts: Member) -> None:
        self._parts = parts
        found = parts.reconciler.look()
        serving = parts.plane.serving
        if serving is None:
            why = "; ".join(found.failures.values()) or "nothing is released in this environment"
            raise NotFound(f"no model serves: {why[:300]}", fix="mainspring promote VERSION")
        self._serving = serving

    @property
    def champion(self) -> str:
        """The digest of the champion."""
        return self._serving.champion.digest

    @property
    def contract(self) -> Contract:
        """The champion's contract."""
        return self._serving.champion.contract

    def ask(self, columns: Columns, keys: list[str], asked_at: Array | None) -> Scores:
        """Answer rows, and log them."""
        started, plane = time.perf_counter_ns(), self._parts.plane
        question = Question(
            rows=len(keys), tensors={name: _tensor(name, values) for name, values in columns.items()},
            keys=keys if any(keys) else [], asked_at=asked_at,
        )  # fmt: skip
        answer, record = plane.answer(question, self._serving)
        plane.finish(record, started)
        ids = [f"{answer.request_id}.{row}" for row in range(len(keys))]
        return Scores(ids=ids, scores=answer.scores, versions=answer.versions)

    def settle(self) -> None:
        """Return when everything answered is on disk."""
        try:
            self._parts.log.flush(_FLUSH_S)
        except TimeoutError as error:
            raise RunFailed("the prediction log does not keep up", fix="look at the disk; then go on") from error
        if self._parts.log.counts.dropped_rows:
            what = f"the prediction log lost rows: {self._parts.log.failure or 'it was full'}"
            raise RunFailed(what, fix="free the disk; then run the same command again")


def score_batch(workspace: Workspace, batch: Batch, say: Callable[[str], None] = lambda _: None) -> ScoreResult:
    """Score a batch; see `flows.score`."""
    from mainspring.adapters.frames.parquet import ParquetFrames

    room = ServerRoom(
        root=workspace.paths.root, environment=workspace.environment, worker=WRITER, log_sinks=batch.sinks,
        mounted=replace(workspace.mounted, models=workspace.stores.models, online=_online(workspace, batch)),
    )  # fmt: skip
    kept = _Kept(batch)
    (parts,) = server_parts(room, replay_clock=False).fleet.members
    try:
        scoring = PlaneScoring(parts)
        table = (
            _period(workspace, batch, scoring) if batch.file is None else rows_of(batch.file, scoring.contract.inputs)
        )
        ports = ScorePorts(scoring=scoring, write=ParquetFrames(keep=0).write, progress=kept.told(say))
        return score(_wanted(table, scoring.contract), batch.out, ports, part_rows=batch.part_rows)
    finally:
        parts.log.close()


def _online(workspace: Workspace, batch: Batch) -> str:
    """Return the address that fills features by key, "" for the file here. A period's come from the snapshot."""
    return "" if batch.file is None else workspace.mounted.online or workspace.named_store("online")


class _Kept:
    """The answers of a batch in an object store too: what is there is fetched first, each new part is put there."""

    def __init__(self, batch: Batch) -> None:
        self._out, self._bucket, self._there = batch.out, None, set[str]()
        if batch.to:
            from mainspring.adapters.objects.bucket import Bucket

            self._bucket = Bucket(batch.to)
            self._out.mkdir(parents=True, exist_ok=True)
            for name in self._bucket.names(""):
                if not (self._out / name).exists() and "/" not in name:
                    self._bucket.get_file(name, self._out / name)
                self._there.add(name)

    _bucket: "Bucket | None"

    def told(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """Return what is called after each part; it puts there what is new, the job's own file first."""

        def keep(line: str) -> None:
            if self._bucket is not None:
                names = sorted(path.name for path in self._out.iterdir() if path.suffix in (".json", ".parquet"))
                for name in [name for name in names if name not in self._there]:
                    self._bucket.put_file(name, self._out / name)
                    self._there.add(name)
            say(line)

        return keep


def _period(workspace: Workspace, batch: Batch, scoring: PlaneScoring) -> Columns:
    """Return the features of every ask of the period, point in time, as training sets are built."""
    ports, definitions = (
        step_ports(workspace.stores, workspace.environment),
        views.from_json(scoring.contract.definitions),
    )
    with ports.scratch() as folder:
        place = folder / "features.parquet"
        ports.sets(str(find_snapshot(workspace.ledger).body["digest"])).write(definitions, place)
        table = ports.frames.read(place)
    asked_at = table[ASKED_AT]
    chosen = np.ones(len(asked_at), dtype=bool)
    if batch.start is not None:
        chosen &= asked_at >= batch.start
    if batch.end is not None:
        chosen &= asked_at < batch.end
    return take(table, chosen)


def _wanted(table: Columns, contract: Contract) -> Columns:
    """Return the columns that are asked with: inputs, or columns of the ask's own row, and key and time."""
    inputs = {item.name: item.kind for item in contract.inputs}
    by_key = not inputs.keys() & table.keys()
    found = {
        name: values
        for name, values in table.items()
        if name in (KEY, ASKED_AT) or name in inputs or (by_key and name.startswith(ASK_PREFIX))
    }
    for name, values in found.items():
        if name in inputs and (values.dtype == object) != (inputs[name] == "string"):
            raise InvalidValue(f"column {name!r} is not of kind {inputs[name]}", fix="see the model's inputs: GET /v2")
    if not found.keys() - {KEY, ASKED_AT} and KEY not in found:
        raise InvalidValue("the file has neither inputs nor keys", fix=f"it needs {', '.join(list(inputs)[:5])} or key")
    return found


def _tensor(name: str, values: Array) -> Tensor:
    return Tensor(name, "BYTES" if values.dtype == object else "FP64", values)


def moment(text: str) -> int | None:
    """Return a time of the command line in UTC microseconds; None for ""."""
    return parse_time(text) if text else None
