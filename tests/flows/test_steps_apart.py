"""A run whose steps are on different machines: they meet in the stores of the environment alone."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from tests.conformance.conftest import postgres_url as postgres_url
from tests.flows.small_project import START
from tests.unit.app.small_workspace import FILE, NAME, make_workspace

from mainspring.adapters.git.lines import RemoteUnreachable
from mainspring.app.clones import open_clone
from mainspring.app.cluster_run import Wish, begin_run, end_run, register_run, release_run
from mainspring.app.steps import run_step
from mainspring.app.watching import hand_over
from mainspring.app.workspace import Workspace, open_workspace
from mainspring.develop.errors import LockMismatch, StepFailed
from mainspring.flows.watch_ports import Candidate, HandedOver
from mainspring.kernel.errors import NotFound
from mainspring.kernel.times import DAY, FixedClock

STEPS = ("fetch-data", "preprocess", "train-model", "validate-model")
ANSWERS = "it answers there already"
CLUSTER = """environments:
  local: {}
  staging: {platform: deployment, stores: {ledger: "sqlite:///SHARED/ledger.db", tables: "file://SHARED/tables",
    models: "file://SHARED/models"}}
"""


def machine(root: Path, shared: Path, *, rows: int = 3_000, steps: str = "") -> Path:
    """Make one more place with the project's file and code; data too where it has rows."""
    make_workspace(root, max(rows, 2))
    if not rows:
        (root / "data" / "visits.parquet").unlink()
    text = FILE.replace("environments: {local: {}}\n", CLUSTER.replace("SHARED", shared.as_posix()))
    text = text.replace("min_new_labels: 500", "min_new_labels: 501")
    (root / "mainspring.yaml").write_text(text.replace("holdout: 10d}", f"holdout: 10d{steps}}}"), "utf-8")
    return root


def opened(root: Path) -> Workspace:
    return open_workspace(root, environment="staging", clock=FixedClock(START + 60 * DAY))


@pytest.mark.slow
def test_steps_on_five_machines_make_one_registered_model(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    first = machine(tmp_path / "begin", shared)
    begin_run(opened(first), "r-1", Wish(reason="an alert"))
    begin_run(opened(first), "r-1", Wish())
    for step in STEPS:
        done = run_step(machine(tmp_path / step, shared, rows=0), None, step, "r-1", environment="staging")
        assert (done.run, done.reused) == ("r-1", False)
    last = opened(machine(tmp_path / "register", shared, rows=0))
    result, again = register_run(last, "r-1"), register_run(last, "r-1")
    assert (result.digest, result.version) == (again.digest, 1)
    assert result.verdict.passed, [str(reason) for reason in result.verdict.reasons]
    told = [(event.kind, event.body.get("reused")) for event in last.ledger.read(run="r-1")]
    expected = [("run.started", None), *[("step.finished", False)] * 5, ("gate.passed", None), ("run.finished", None)]
    assert told == expected
    assert last.models.has(result.digest)
    assert end_run(last, "r-1", "Succeeded") is None

    bare, pod = _remote(last, tmp_path), machine(tmp_path / "release", shared, rows=0)
    keys = last.paths.state / "keys"
    clone = open_clone(pod, bare, "main", environment="staging", keys=keys)
    found = release_run(clone, "r-1")
    assert found == (1, True, ""), found[2]
    assert release_run(open_clone(pod, bare, "main", environment="staging", keys=keys), "r-1") == (1, False, ANSWERS)
    other = open_clone(machine(tmp_path / "other", shared, rows=0), bare, "main", environment="staging")
    released, _ = other.releases.read("staging")
    assert released is not None
    assert released.champion.digest == result.digest


def _remote(workspace: Workspace, folder: Path) -> str:
    """Make a repository that clones push to, in which the key of `workspace` counts; return its address."""
    root = machine(folder / "committed", folder / "shared", rows=0)
    trust = root / "environments" / "staging" / "trust"
    trust.mkdir(parents=True)
    (trust / "steps.pem").write_bytes((workspace.paths.state / "keys" / "signing.pub").read_bytes())
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", "-C", str(root)]
    for words in (["add", "-A"], ["commit", "-qm", "trust"], ["clone", "-q", "--bare", ".", str(folder / "bare")]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    return str(folder / "bare")


def test_a_repository_that_does_not_answer_is_a_reason_to_try_again(tmp_path: Path) -> None:
    root = machine(tmp_path / "one", tmp_path / "shared", rows=0)
    with pytest.raises(RemoteUnreachable, match="cannot be cloned") as told:
        open_clone(root, str(tmp_path / "nowhere"), "main", environment="staging")
    assert told.value.exit_code == 75


def test_what_to_train_is_handed_over_word_by_word(tmp_path: Path) -> None:
    wanted = Candidate(at=START, champion="", reason="quality", cause=(3, 4), params={})
    with pytest.raises(HandedOver):
        hand_over(wanted, tmp_path / "ask")
    found = {path.name: path.read_text() for path in (tmp_path / "ask").iterdir()}
    assert found == {"asked": "yes", "reason": "quality", "at": "2024-01-01T00:00:00Z", "cause": "3,4"}


def test_a_run_that_was_cut_short_is_told_once(tmp_path: Path) -> None:
    root = machine(tmp_path / "one", tmp_path / "shared")
    workspace = opened(root)
    assert end_run(workspace, "r-2", "Failed") is None
    begin_run(workspace, "r-2", Wish())
    told = end_run(workspace, "r-2", "Failed")
    assert told is not None
    assert (told.kind, told.body["what"]) == ("run.failed", "the workflow of run r-2 ended as Failed")
    assert end_run(workspace, "r-2", "Failed") is None
    with pytest.raises(StepFailed, match="fetch-data of run r-2 has not finished"):
        register_run(workspace, "r-2")


@pytest.mark.parametrize("at_once", [2, pytest.param(6, marks=pytest.mark.slow)])
def test_alerts_and_a_watch_that_ask_at_the_same_time_make_one_training(
    tmp_path: Path, request: pytest.FixtureRequest, at_once: int
) -> None:
    shared = tmp_path / "shared"
    pods = [machine(tmp_path / str(number), shared) for number in range(at_once)]
    for root in pods:
        file = root / "mainspring.yaml"
        text = file.read_text("utf-8").replace("min_new_labels: 501", "min_new_labels: 0")
        if at_once > 2:  # a real database; else this machine's
            url = request.getfixturevalue("postgres_url")
            text = text.replace(f"sqlite:///{shared.as_posix()}/ledger.db", url)
        file.write_text(text, "utf-8")
    places = [opened(root) for root in pods]
    asked, ledger = places[0].clock.now(), places[0].ledger
    wishes = [Wish(trigger="watch" if number == 1 else "alert", reason=f"asker {number}", since=asked)
              for number in range(at_once)]  # fmt: skip
    together = Barrier(at_once)

    def begin(number: int) -> bool:
        together.wait(60)
        run, why = begin_run(places[number], f"race-{number}", wishes[number])
        assert (run is None) == bool(why)
        return run is not None

    with ThreadPoolExecutor(at_once) as pool:
        begun = list(pool.map(begin, range(at_once)))
    assert sum(begun) == 1
    assert [event.run for event in ledger.read(kind="run.started")] == [f"race-{begun.index(True)}"]
    declined = ledger.read(kind="retrain.declined")
    assert {event.run for event in declined} == {f"race-{n}" for n, yes in enumerate(begun) if not yes}
    assert {event.body["blocked_by"] for event in declined} <= {"answered", "running"}
    for number in range(at_once):  # a pod that comes again hears the same, and the exit handler blames nobody
        again, _ = begin_run(places[number], f"race-{number}", wishes[number])
        assert (again is not None) == begun[number]
    assert end_run(places[0], f"race-{begun.index(False)}", "Succeeded") is None
    assert len(ledger.read(kind="retrain.declined")) == at_once - 1

    late = Wish(trigger="alert", reason="alert late", since=asked + 1)
    assert begin_run(places[0], "late", late)[1].startswith("alert late; not trained: a training is running")
    by_hand, _ = begin_run(places[0], "by-hand", Wish(reason="asked for"))
    assert by_hand is not None
    assert ledger.read(kind="run.started")[-1].body["reason"] == "asked for"
    for place in places:
        for connected in (place.ledger, place.versions):
            getattr(connected, "close", lambda: None)()


def test_without_data_or_snapshot_a_run_does_not_begin(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no snapshot"):
        begin_run(opened(machine(tmp_path / "one", tmp_path / "shared", rows=0)), "r-3", Wish())


@pytest.mark.slow
def test_a_step_among_other_packages_than_its_lock_is_refused_and_the_lock_is_part_of_the_key(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    root = machine(tmp_path / "one", shared, steps=", steps: {train-model: {lock: src/train.lock}}")
    lock = root / "src" / "train.lock"
    with pytest.raises(NotFound, match=r"train-model: there is no lock src/train\.lock"):
        begin_run(opened(root), "r-0", Wish())
    lock.write_text("numpy==1.0.0\n")
    run, _ = begin_run(opened(root), "r-1", Wish())
    assert run is not None
    assert list(run.locks) == ["train-model"]
    for step in ("fetch-data", "preprocess"):
        run_step(root, None, step, "r-1", environment="staging")
    with pytest.raises(LockMismatch, match=r"train-model is locked .* numpy .*, not 1\.0\.0"):
        run_step(root, None, "train-model", "r-1", environment="staging")
    import numpy as np

    lock.write_text(f"numpy=={np.__version__}\n")
    begin_run(opened(root), "r-2", Wish())
    assert run_step(root, None, "fetch-data", "r-2", environment="staging").reused
    run_step(root, None, "preprocess", "r-2", environment="staging")
    assert run_step(root, None, "train-model", "r-2", environment="staging").inputs["lock"] != run.locks["train-model"]
    assert run.model == NAME
