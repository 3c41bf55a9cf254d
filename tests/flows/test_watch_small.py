"""A small project replayed for eight days through a real server process: trained, tried, logged, compacted, traced."""

import json
from pathlib import Path

import pytest
from tests.flows.small_project import START
from tests.unit.app.small_workspace import make_workspace, opened

from mainspring.app.comparison import Rig
from mainspring.app.observing import lineage_ports
from mainspring.app.releases import audit
from mainspring.app.replaying import Period, Scenario, first_run, open_stream
from mainspring.app.stages import Stages
from mainspring.app.training import step_worker, take_snapshot
from mainspring.app.workspace import Workspace
from mainspring.flows.lineage import lineage
from mainspring.flows.memory import remember
from mainspring.flows.status import status
from mainspring.kernel.times import DAY, HOUR, FixedClock
from mainspring.observe.plans import RetrainPolicy

PERIOD = Period(start=START + 50 * DAY, end=START + 58 * DAY)


@pytest.mark.slow
def test_eight_days_of_a_small_project_pass_through_a_real_server(tmp_path: Path) -> None:
    workspace = opened(make_workspace(tmp_path / "small", rows=6_000))
    take_snapshot(workspace)
    told: list[str] = []
    worker = step_worker(workspace)
    try:
        stream = open_stream(workspace, first_run(workspace, PERIOD, worker))
        rig = Rig(workspace=workspace, stream=stream, worker=worker, stages=Stages(say=told.append))
        policy = RetrainPolicy(at=(PERIOD.start + DAY,))
        done = rig.run(Scenario(name="once", title="trained once", policy=policy, period=PERIOD))
    finally:
        worker.close()

    asked = stream.asks_between(PERIOD.start, PERIOD.end)
    assert done.replayed.rows == done.server["logged"] == len(asked["key"]) > 700
    assert done.replayed.ticks == 32
    assert sorted(done.run.scored["key"].tolist()) == sorted(asked["key"].tolist())
    assert told[-1].startswith("  once: client, server and log agree")

    room = Workspace(workspace.paths.replay("once"), workspace.project, clock=FixedClock(PERIOD.end))
    kinds = [event.kind for event in room.ledger.read()]
    assert kinds.count("window.judged") == 32
    assert kinds.count("run.finished") == 2
    assert kinds.count("retrain.started") == 1
    assert kinds.count("release.promoted") + kinds.count("gate.refused") == 2
    assert audit(room).whole
    memory = remember(room.ledger, "local")
    assert memory.trainings == [PERIOD.start, PERIOD.start + DAY]
    present = status("small", "local", every=6 * HOUR, ledger=room.ledger, files=room.releases)
    assert present.windows[0]["end"] == PERIOD.end

    assert len(list(room.paths.predictions.glob("*.parquet"))) == 1
    assert len(list(room.paths.log.glob("*.log"))) == 8
    links = lineage(done.replayed.prediction_id, lineage_ports(room))
    assert [link.kind for link in links][:5] == ["prediction", "label", "release", "model", "run"]
    assert json.loads((room.paths.root / "replay.json").read_text("utf-8"))["policy"] == "once"
