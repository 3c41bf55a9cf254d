"""Training stories on a small project: reuse, resume, verdicts, equal digests in two folders."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.flows.small_project import Small, make_project

from mainspring.deliver.gates import ChampionGate, FloorGate
from mainspring.develop.errors import FunctionFailed, FunctionNotFound, MirrorFailed, StepFailed, TooFewRows
from mainspring.develop.ports import Mirrored
from mainspring.flows.steps.perform import perform
from mainspring.flows.train import explain_training, prepare, train
from mainspring.kernel.contract import read_contract
from mainspring.kernel.errors import Conflict
from mainspring.serve.ports import LoadedModel
from mainspring.serve.versions import checked

GATES = (ChampionGate(), FloorGate(metric="roc_auc", bound=0.6))


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(make_project(tmp_path / "project"))


def test_a_candidate_is_trained_judged_signed_and_numbered_once(small: Small) -> None:
    result = train(small.run(slices=("kind",), epsilons=(0.1,)), GATES, small.ports, actor="user:test")
    assert result.version == 1
    assert result.verdict.passed, result.verdict
    assert result.evidence["equality"]["worst"] < 1e-6
    assert set(result.evidence["slices"]["kind"]) == {"walk", "bus", "car", "(none)"}
    assert result.evidence["champion"] is None
    assert result.evidence["robustness"]["accuracy"] > 0.5
    files = small.models.open(result.digest, small.keys.trusted("local"))
    assert sorted(files) == ["contract.json", "model.onnx", "profile.json"]
    contract = read_contract(files["contract.json"])
    assert [item.name for item in contract.inputs] == ["visit.kind", "visit.size", "visit.hour", "lately.bad_share"]
    sample = {
        item.name: np.array(contract.sample["columns"][item.name], dtype=object if item.kind == "string" else float)
        for item in contract.inputs
    }
    scores = small.steps.scorer(files["model.onnx"], contract.inputs, ())(sample)
    assert np.allclose(scores, np.array(contract.sample["scores"], float), atol=1e-6)
    assert json.loads(small.models.evidence(result.digest, "gate") or b"")["passed"] is True
    kinds = [event.kind for event in small.ledger.read(run="r1")]
    assert kinds == ["run.started", *["step.finished"] * 5, "gate.passed", "run.finished"]


def test_training_again_reuses_every_step_and_adds_no_event(small: Small) -> None:
    first = train(small.run(), GATES, small.ports, actor="user:test")
    ran, events = list(small.in_process.ran), small.ledger.head()
    again = train(small.run(), GATES, small.ports, actor="user:test")
    assert (again.digest, again.version) == (first.digest, first.version)
    assert small.in_process.ran == ran
    assert small.ledger.head() == events
    other = train(small.run("r2"), GATES, small.ports, actor="user:test")
    assert (other.digest, other.version, small.fits()) == (first.digest, 1, 1)
    assert all(outcome.reused for outcome in other.outcomes)
    assert other.seconds["train-model"] == first.seconds["train-model"] > 0


@pytest.mark.slow
def test_an_earlier_moment_shares_the_fetched_data_and_the_champion_is_paired(small: Small) -> None:
    first = train(small.run(day=45), GATES, small.ports, actor="user:test")
    second = train(small.run("r2", champion=first.digest), GATES, small.ports, actor="user:test")
    assert small.in_process.ran.count("fetch-data") == 1
    assert second.version == 2
    paired = second.evidence["champion"]["paired"]
    assert paired["rows"] == second.evidence["rows"]
    assert paired["blocks"] == 10
    assert abs(paired["difference"]) < 0.1


@pytest.mark.slow
def test_a_candidate_prepared_ahead_is_the_same_and_only_its_training_is_told(small: Small, tmp_path: Path) -> None:
    prepare(small.run("ahead"), small.ports)
    assert small.ledger.read(kind="run.*") == []
    assert small.in_process.ran == ["fetch-data", "preprocess", "train-model"]
    result = train(small.run("r1"), GATES, small.ports, actor="user:test")
    assert small.in_process.ran[3:] == ["validate-model"]
    assert [outcome.reused for outcome in result.outcomes] == [True, True, True, False, False]
    assert result.seconds["train-model"] > 0  # charged what it took, whenever it ran
    alone = Small(make_project(tmp_path / "alone"))
    assert result.digest == train(alone.run("r1"), GATES, alone.ports, actor="user:test").digest


def test_explain_names_what_changed(small: Small) -> None:
    said = explain_training(small.run(), small.ports)
    assert str(said[0]) == "fetch-data: will run, it has not run for these inputs"
    train(small.run(), GATES, small.ports, actor="user:test")
    changed = explain_training(small.run("r2", params={"max_iter": 9}), small.ports)
    assert [bool(item.reused_from) for item in changed] == [True, True, False, False, False]
    assert str(changed[0]) == "fetch-data: reused, same inputs as run r1"
    assert "input params.max_iter is new (9)" in str(changed[2])


def test_an_unfaithful_conversion_is_refused_by_the_gate(small: Small) -> None:
    result = train(small.run(params={"native": True}), GATES, small.ports, actor="user:test")
    assert not result.verdict.passed
    assert result.evidence["equality"]["off"] > 0.3 * result.evidence["equality"]["rows"]
    refused = small.ledger.read(kind="gate.refused")
    assert any("differs from the original" in item["what"] for item in refused[0].body["reasons"])


def test_the_same_training_in_two_folders_gives_one_digest(tmp_path: Path) -> None:
    digests: set[str] = set()
    for name in ("one", "two/deeper"):
        small = Small(make_project(tmp_path / name))
        result = train(small.run(f"run-{len(digests)}"), GATES, small.ports, actor=f"user:{len(digests)}")
        digests.add(result.digest)
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("plan", "error", "what"),
    [
        ({"function": "small.train:fails"}, FunctionFailed, "ValueError: no such column"),
        ({"function": "small.train:no_classifier"}, FunctionFailed, "not a fitted classifier"),
        ({"function": "small.nothing:fit"}, FunctionNotFound, "cannot be imported"),
        ({"function": "small.train:fitt"}, FunctionNotFound, "no function 'fitt'"),
        ({"min_rows": 10_000}, TooFewRows, "at least 10000 are needed"),
    ],
)
def test_what_cannot_be_trained_is_told_and_recorded(
    small: Small, plan: dict[str, Any], error: type[Exception], what: str
) -> None:
    with pytest.raises(error, match=what):
        train(small.run(**plan), GATES, small.ports, actor="user:test")
    assert small.ledger.read(kind="run.failed")[0].body["fix"]
    assert small.ports.versions.list("small") == []


def test_a_step_out_of_turn_and_a_bare_signature_are_refused(small: Small) -> None:
    small.steps.runs.save(small.run())
    with pytest.raises(StepFailed, match="needs features, targets"):
        perform("preprocess", "r1", small.steps)
    train(small.run(), GATES, small.ports, actor="user:test")
    with pytest.raises(StepFailed, match="signs"):
        perform("register-model", "r1", small.steps)


def test_another_run_with_the_same_name_is_a_conflict(small: Small) -> None:
    small.steps.runs.save(small.run())
    with pytest.raises(Conflict):
        train(small.run(day=40), GATES, small.ports, actor="user:test")


class _Broken:
    def record(self, mirrored: Mirrored) -> None:
        raise MirrorFailed(f"no server for {mirrored.version}", fix="start it")

    def set_alias(self, model: str, alias: str, version: int) -> None:
        raise MirrorFailed("no server", fix="start it")


def test_a_mirror_that_fails_is_a_warning_event_and_nothing_else(tmp_path: Path) -> None:
    small = Small(make_project(tmp_path / "project"), mirror=_Broken())
    result = train(small.run(), GATES, small.ports, actor="user:test")
    assert result.version == 1
    assert small.ledger.read(kind="run.unmirrored")[0].body["what"] == "no server for 1"


def test_personal_values_travel_in_no_file_of_a_model(small: Small) -> None:
    run = replace(small.run(), personal=("kind", "size"))
    result = train(run, GATES, small.ports, actor="user:test")
    files = small.models.open(result.digest, small.keys.trusted("local"))
    contract = read_contract(files["contract.json"])
    assert set(contract.redact) >= {"visit.kind", "visit.size"}
    assert set(contract.sample["columns"]["visit.kind"]) == {""}
    assert {float(value) for value in contract.sample["columns"]["visit.size"]} == {0.0}
    engine = small.steps.scorer(files["model.onnx"], contract.inputs, ())
    assert checked(1, result.digest, LoadedModel(contract=contract, engine=engine)).number == 1
    assert b"visit.size" not in files["profile.json"]
