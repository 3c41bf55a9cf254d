"""F1 for training: a step process that is killed, hangs or breaks loses nothing that was finished."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.flows.small_project import Small, make_project

from mainspring.adapters.process.worker import KeptWorker, scrubbed
from mainspring.deliver.gates import FloorGate
from mainspring.develop.errors import FunctionFailed, StepFailed, StepTimeout
from mainspring.flows.train import train

GATES = (FloorGate(metric="roc_auc", bound=0.5),)
ECHO = """
import json, os, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    if asked["step"] == "hangs":
        time.sleep(60)
    if asked["step"] == "dies":
        os._exit(9)
    outcome = {"schema": 1, "step": asked["step"], "key": "", "inputs": dict(os.environ), "outputs": {},
               "seconds": 0.0, "run": str(os.getpid()), "metrics": {}, "note": "", "reused": False}
    print(json.dumps({"outcome": outcome, "rss": 1}), flush=True)
"""


def _worker(root: Path) -> KeptWorker:
    argv = [sys.executable, "-W", "ignore", "-m", "mainspring", "-C", str(root), "step", "--worker"]
    return KeptWorker(argv, folder=root, log=root / "steps.log", seconds=300)


def _echo(root: Path, *, seconds: float = 60.0, steps: int = 100, most_bytes: int = 1 << 30) -> KeptWorker:
    return KeptWorker(
        [sys.executable, "-c", ECHO], folder=root, log=root / "log", seconds=seconds, steps=steps, most_bytes=most_bytes
    )


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    root = make_project(tmp_path / "project")
    with _worker(root) as worker:
        yield Small(root, runner=worker)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [("fetch-data", "preprocess", "train-model", "validate-model")], ids=len)
def test_killed_after_its_steps_the_run_ends_with_the_same_digest_and_nothing_ran_twice(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: tuple[str, ...]
) -> None:
    for step in killed:
        small.ports.steps.close()  # type: ignore[attr-defined]
        with monkeypatch.context() as armed:
            armed.setenv("MAINSPRING_FAILPOINT", "step.done:kill")
            with pytest.raises(StepFailed, match=f"the process of {step} ended with status 137"):
                train(small.run(), GATES, small.ports, actor="user:test")
    result = train(small.run(), GATES, small.ports, actor="user:test")
    undisturbed = Small(make_project(tmp_path / "other"))
    assert result.digest == train(undisturbed.run("other"), GATES, undisturbed.ports, actor="user:test").digest
    assert result.version == 1
    assert small.fits() == 1
    assert [event.body["step"] for event in small.ledger.read(kind="step.finished")] == [
        "fetch-data", "preprocess", "train-model", "validate-model", "register-model",
    ]  # fmt: skip
    assert len(small.ledger.read(kind="run.finished")) == 1


def test_a_failing_function_is_told_with_its_trace_in_the_log_and_the_worker_lives_on(small: Small) -> None:
    with pytest.raises(FunctionFailed, match="no such column"):
        train(small.run(function="small.train:fails"), GATES, small.ports, actor="user:test")
    assert "raise ValueError" in (small.root / "steps.log").read_text()
    assert train(small.run("r2"), GATES, small.ports, actor="user:test").version == 1
    assert "user code may print" in (small.root / "steps.log").read_text()


def test_a_step_that_hangs_is_ended_and_the_next_one_has_a_new_process(tmp_path: Path) -> None:
    with _echo(tmp_path, seconds=1.0) as worker:
        first = worker.run("a", "r")
        assert worker.run("b", "r").run == first.run
        with pytest.raises(StepTimeout, match="longer than 1 s"):
            worker.run("hangs", "r")
        assert worker.run("a", "r").run != first.run


def test_each_step_has_a_deadline_of_its_own(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", ECHO]
    with KeptWorker(argv, folder=tmp_path, log=tmp_path / "log", seconds={"hangs": 0.2, "other": 60}) as worker:
        with pytest.raises(StepTimeout, match=r"hangs took longer than 0\.2 s"):
            worker.run("hangs", "r")
        assert worker.run("other", "r").step == "other"


def test_a_process_that_dies_is_told_and_replaced(tmp_path: Path) -> None:
    with _echo(tmp_path) as worker:
        with pytest.raises(StepFailed, match="status 9"):
            worker.run("dies", "r")
        assert worker.run("a", "r").step == "a"


def test_a_worker_is_replaced_after_its_steps_or_when_it_has_grown(tmp_path: Path) -> None:
    for worker in (_echo(tmp_path, steps=1), _echo(tmp_path, most_bytes=0)):
        with worker:
            assert worker.run("a", "r").run != worker.run("b", "r").run


def test_a_step_process_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK", "https://secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with _echo(tmp_path) as worker:
        seen = worker.run("a", "r").inputs
    assert "secret" not in json.dumps(dict(seen))
    assert seen["OMP_WAIT_POLICY"] == "PASSIVE"
    chosen = {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "4", "MALLOC_ARENA_MAX": "2"}
    assert scrubbed({**chosen, "TOKEN": "x"}) == chosen
    assert seen["OMP_NUM_THREADS"] == "1"


def test_a_step_process_sees_the_settings_of_an_object_store_where_its_files_are_there() -> None:
    variables = {"AWS_REGION": "r", "LEDGER_URL": "secret", "PATH": "/bin"}
    assert "AWS_REGION" not in scrubbed(variables)
    assert set(scrubbed(variables, ("AWS_",))) - set(scrubbed({})) == {"AWS_REGION", "PATH"}


def test_a_worker_that_was_never_asked_is_ended_at_once(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import sys; sys.stdin.read(); open('ended', 'w').close()"]
    worker = KeptWorker(argv, folder=tmp_path, log=tmp_path / "log")
    worker.start()
    worker.close()
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
