"""From a prediction back to its sources."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.unit.flows.story import START, request

from mainspring.adapters.memory.ledger import Ledger
from mainspring.data.snapshots import Partition, Snapshot, SourceTable
from mainspring.flows.lineage import LineagePorts, lineage
from mainspring.kernel.errors import InvalidValue, NotFound
from mainspring.kernel.events import Draft
from mainspring.kernel.records import LoggedRequest

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
RECORD = request(
    ["k1", ""], [START, START + 1], {OLD: np.array([0.25, 0.5]), NEW: np.array([0.75, 1.0])}, served=[OLD, NEW]
)
SNAPSHOT = Snapshot(
    sources=(
        SourceTable(
            name="visits", fingerprint="f" * 64, spec="", columns=(),
            partitions=(Partition(digest="d", rows=40, start=0, end=1), Partition(digest="e", rows=2, start=1, end=2)),
        ),
    )
)  # fmt: skip


@pytest.fixture
def ports() -> LineagePorts:
    ledger = Ledger()
    taken = {"version": 3, "digest": SNAPSHOT.digest, "rows": {"visits": 42}}
    finished = {"digest": NEW, "version": 2}
    ledger.append([Draft(kind="snapshot.taken", subject="s", actor="t", body=taken)], at=1)
    ledger.append([Draft(kind="run.finished", subject="r", actor="t", body=finished)], at=2)
    run = {"id": "r2", "at": START, "reason": "drift", "snapshot": SNAPSHOT.digest, "commit": "abc", "code": "c0"}
    beside = {
        (NEW, "run"): {**run, "dirty": True},
        (NEW, "evidence"): {"metrics": {"log_loss": "0.4711"}},
        (OLD, "run"): {**run, "id": "r1", "commit": "", "dirty": False},
    }

    def find(prediction_id: str) -> LoggedRequest:
        if not prediction_id.startswith(RECORD.request_id):
            raise NotFound("it is not in the log", fix="copy it")
        return RECORD

    def evidence(digest: str, name: str) -> bytes | None:
        return json.dumps(beside[digest, name]).encode() if (digest, name) in beside else None

    return LineagePorts(find=find, evidence=evidence, snapshot=lambda _: SNAPSHOT, ledger=ledger)


def test_the_chain_leads_from_the_prediction_to_the_sources(ports: LineagePorts) -> None:
    links = lineage(f"{RECORD.request_id}.1", ports)
    assert [link.kind for link in links] == ["prediction", "release", "model", "run", "code", "snapshot", "source"]
    told = {link.kind: (link.id, link.detail) for link in links}
    assert told["prediction"][1] == "key (none), asked at 2024-01-01T00:00:00.000001Z, answered 1.0000"
    assert told["release"][0] == RECORD.release
    assert told["model"] == (NEW, "version 2, holdout log loss 0.4711")
    assert told["run"] == ("r2", "as of 2024-01-01T00:00:00Z: drift")
    assert told["code"] == ("abc", "dirty work tree, code c0")
    assert told["snapshot"] == (SNAPSHOT.digest, "version 3")
    assert told["source"] == ("f" * 64, "visits: 42 rows")


def test_what_came_true_stands_after_the_prediction(ports: LineagePorts) -> None:
    known = {("k1", START): (0.0, START + 1), (f"{RECORD.request_id}.1", START + 1): (1.0, START + 2)}
    ports = replace(ports, label=lambda key, asked_at: known.get((key, asked_at)))
    links = lineage(f"{RECORD.request_id}.1", ports)
    assert [link.kind for link in links][:3] == ["prediction", "label", "release"]
    assert (links[1].id, links[1].detail) == ("1", "what came true, known at 2024-01-01T00:00:00.000002Z")


def test_a_row_is_traced_to_the_version_that_answered_it(ports: LineagePorts) -> None:
    links = {link.kind: link for link in lineage(f"{RECORD.request_id}.0", ports)}
    assert links["model"].id == OLD
    assert links["prediction"].detail.endswith("answered 0.2500")
    assert links["code"].id == "(no commit)"


def test_a_bare_request_id_means_its_first_row(ports: LineagePorts) -> None:
    bare, first = lineage(RECORD.request_id, ports), lineage(f"{RECORD.request_id}.0", ports)
    assert bare[1:] == first[1:]
    assert bare[0].detail == first[0].detail


def test_what_is_not_there_is_said(ports: LineagePorts) -> None:
    with pytest.raises(NotFound, match="has 2 rows, not row 2"):
        lineage(f"{RECORD.request_id}.2", ports)
    with pytest.raises(NotFound, match="not in the log"):
        lineage("p-2024010100-bbbbbbbbbbbbbbbb.0", ports)
    with pytest.raises(InvalidValue, match="is not a prediction id"):
        lineage("p-1; drop table", ports)


def test_a_model_without_its_run_is_said(ports: LineagePorts) -> None:
    bare = LineagePorts(find=ports.find, evidence=lambda *_: None, snapshot=ports.snapshot, ledger=ports.ledger)
    with pytest.raises(NotFound, match="no run is recorded"):
        lineage(RECORD.request_id, bare)


def test_an_adopted_model_leads_to_its_artifact(ports: LineagePorts) -> None:
    body = {"digest": OLD, "version": 1, "artifact": "sha256:given", "source": "model.onnx"}
    ports.ledger.append([Draft(kind="model.imported", subject=OLD, actor="user:ann", body=body)], at=3)
    bare = LineagePorts(find=ports.find, evidence=lambda *_: None, snapshot=ports.snapshot, ledger=ports.ledger)
    *_, model, origin = lineage(f"{RECORD.request_id}.0", bare)
    assert model.detail == "version 1"
    assert (origin.kind, origin.id, origin.detail) == ("import", "sha256:given", "model.onnx, adopted by user:ann")
