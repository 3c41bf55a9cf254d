"""What the wiring makes of a real project folder: plans, the end of the data, logged requests, the label inbox."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.flows.small_project import START
from tests.unit.app.small_workspace import add_model, make_workspace, opened
from tests.unit.flows.story import request

from mainspring.adapters.files.logs import SegmentWriter
from mainspring.app.clock import SystemClock
from mainspring.app.features import known_keys, materialise_features
from mainspring.app.observing import find_logged, open_observations, watch_plan
from mainspring.app.online import assembler
from mainspring.app.releases import audit, promote_version, roll_back
from mainspring.app.serving import ServerRoom, server_parts
from mainspring.app.stages import Stages
from mainspring.app.training import code_digest, end_of_data, take_snapshot, training_plan
from mainspring.app.watching import label_file, present_status, watch_once
from mainspring.app.workspace import open_workspace
from mainspring.data.views import to_json
from mainspring.kernel.contract import Contract
from mainspring.kernel.errors import InvalidValue, MainspringError, NotFound
from mainspring.kernel.times import DAY, HOUR, from_us
from mainspring.observe.plans import RetrainPolicy

OLD = "sha256:" + "a" * 64


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("wiring") / "small")


def test_the_plan_is_the_projects(root: Path) -> None:
    plan = watch_plan(opened(root))
    assert (plan.model, plan.environment, plan.margin) == ("small", "local", 0.02)
    assert (plan.monitoring.every, plan.monitoring.label_delay) == (6 * HOUR, 12 * HOUR)
    assert plan.rollout.steps == (5, 100)
    assert plan.rollout.abort == {"min_requests": 50, "error_rate": 0.01, "quality": True}
    assert plan.retraining.when == ("output_drift", "quality")
    never = RetrainPolicy()
    assert watch_plan(opened(root), never).retraining is never


def test_parameters_override_the_plan_and_leave_the_project_alone(root: Path) -> None:
    workspace = opened(root)
    assert training_plan(workspace, {"alpha": 0.5}).params == {"alpha": 0.5}
    assert training_plan(workspace).params == {}
    assert training_plan(workspace).confidence == 0.95


def test_the_data_ends_after_its_last_question(root: Path) -> None:
    workspace = opened(root)
    taken = take_snapshot(workspace)
    assert taken.rows == {"visits": 400}
    assert START + 55 * DAY < end_of_data(workspace) <= START + 60 * DAY
    assert not take_snapshot(workspace).new
    assert materialise_features(workspace) > 400
    assert materialise_features(workspace) == 0


def test_a_server_finds_the_online_store_that_was_made_after_its_first_question(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "p", rows=50)
    workspace = opened(root)
    definitions = to_json(workspace.settings.definitions)
    contract = Contract(
        model="small", inputs=(), output="p", ask=definitions["ask"], definitions=definitions, limits={}, sample={}
    )
    fill = assembler(workspace.paths.state, "", "local")
    asked_at = np.array([START + 60 * DAY])
    with pytest.raises(InvalidValue, match="no online store"):
        fill(contract, {}, ["v0"], asked_at)
    take_snapshot(workspace)
    materialise_features(workspace)
    assert np.isfinite(fill(contract, {}, ["v00000"], asked_at)["visit.size"]).all()
    for keys in (["v00000", "nobody"], ["nobody"]):
        with pytest.raises(InvalidValue, match=r"no row of key 'nobody' at that time \(1 such\)"):
            fill(contract, {}, keys, np.repeat(asked_at, len(keys)))
    with pytest.raises(InvalidValue, match="no row of key 'v00000'"):
        fill(contract, {}, ["v00000"], np.array([START - DAY]))
    known = {"kind": np.array(["bus"], dtype=object)}
    assert fill(contract, known, ["nobody"], asked_at)["visit.kind"].tolist() == ["bus"]


def test_a_workspace_is_found_from_a_folder_below(root: Path) -> None:
    assert open_workspace(root / "src" / "small").paths.root == root
    assert code_digest(root) == code_digest(root)
    assert abs(from_us(SystemClock().now()).timestamp() - SystemClock().now() / 1e6) < 60


def test_a_model_goes_out_and_back_and_the_record_is_whole(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "p", rows=50)
    first, second = add_model(root, 1), add_model(root, 2)
    workspace = opened(root)
    assert promote_version(workspace, 1, at_once=False, reason="first").release.champion.digest == first
    promote_version(workspace, second, at_once=False, reason="a trial")
    status = present_status(opened(root))
    assert status.release is not None
    assert status.release.challenger is not None
    assert (status.release.challenger.digest, status.release.challenger.weight) == (second, 5)
    assert roll_back(workspace, "enough").release.challenger is None
    report = audit(workspace)
    assert (report.whole, report.commits, report.versions) == (True, 3, 2)
    assert [key.where for key in known_keys(workspace)] == ["own"]


def test_a_watch_with_nothing_released_looks_and_does_nothing(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "p", rows=50)
    looked = watch_once(opened(root))
    assert (looked.ingested.rows, looked.window, looked.commit) == (0, None, present_status(opened(root)).commit)


def test_a_watch_lets_the_work_tree_follow_a_move_that_was_interrupted(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "p", rows=50)
    for version in (1, 2):
        add_model(root, version)
        promote_version(opened(root), version, at_once=True, reason="")
    release = root / "environments" / "local" / "release.yaml"
    committed = release.read_bytes()
    subprocess.run(["git", "checkout", "-q", "HEAD~1", "--", release.parent], cwd=root, check=True)
    assert release.read_bytes() != committed
    watch_once(opened(root))
    assert release.read_bytes() == committed
    assert not subprocess.run(["git", "diff", "HEAD", "--stat"], cwd=root, check=True, capture_output=True).stdout


def test_a_logged_request_is_found_and_labelled_from_a_file(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "p", rows=50)
    workspace = opened(root)
    record = request(["k1", "k2"], [START, START], {OLD: np.array([0.5, 0.6])})
    writer = SegmentWriter(workspace.paths.log)
    writer.append([record])
    writer.close()
    assert find_logged(workspace)(f"{record.request_id}.1") == record
    with pytest.raises(NotFound):
        find_logged(workspace)("p-2024010100-zzzzzzzzzzzzzzzz")
    lines = [{"prediction_id": f"{record.request_id}.1", "value": 1}, {"key": "k1", "asked_at": START, "value": "x"}]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    found = label_file(workspace, tmp_path / "labels.jsonl")
    assert (found.kept, [one.row for one in found.refused]) == (1, [2])
    with open_observations(workspace) as observations:
        assert observations.known_between(0, workspace.clock.now()) == 1


def test_a_label_for_a_version_that_was_deleted_is_kept_and_a_watch_goes_on(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "p", rows=50)
    digest = add_model(root, 1)
    workspace = opened(root)
    record = request(["k1"], [START], {digest: np.array([0.5])})
    writer = SegmentWriter(workspace.paths.log)
    writer.append([record])
    writer.close()
    shutil.rmtree(workspace.paths.state / "models")
    (tmp_path / "labels.jsonl").write_text(json.dumps({"prediction_id": f"{record.request_id}.0", "value": 1}), "utf-8")
    assert label_file(workspace, tmp_path / "labels.jsonl").kept == 1
    assert watch_once(workspace).ingested.rows == 1
    with open_observations(workspace) as observations:
        rows = observations.matured(0, 10**18, 10**18)
    assert (rows["key"].tolist(), rows["value"].tolist(), rows["served_by"].tolist()) == (["k1"], [1.0], [digest])


def test_a_replay_clock_is_refused_outside_a_replay(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "p", rows=50)
    with pytest.raises(InvalidValue, match="replay clock"):
        server_parts(ServerRoom(root=root, environment="local"), replay_clock=True)
    parts = server_parts(ServerRoom(root=root, environment="local"), replay_clock=False)
    parts.fleet.members[0].log.close()


def test_a_stage_is_timed_and_told_and_its_failure_passes() -> None:
    told: list[str] = []
    stages = Stages(say=told.append)
    with stages.stage("snapshot", "every source"):
        pass
    with pytest.raises(MainspringError), stages.stage("train", "five steps"):
        raise NotFound("no data", fix="take a snapshot")
    assert told == ["snapshot: every source", "snapshot: done in 0.0 s", "train: five steps"]
    assert list(stages.seconds) == ["snapshot"]


@pytest.mark.parametrize(("told", "code"), [("a" * 40, ("a" * 40, False)), ("main", ("", True)), ("", ("", True))])
def test_an_image_knows_the_commit_that_it_was_built_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, code: tuple[str, bool]
) -> None:
    root = make_workspace(tmp_path / "project", rows=2)
    shutil.rmtree(root / ".git")
    monkeypatch.setenv("MAINSPRING_COMMIT", told)
    assert opened(root).code == code
