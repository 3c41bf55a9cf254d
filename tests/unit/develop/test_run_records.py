"""Every keeper of runs and outcomes keeps them the same way."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mainspring.adapters.memory.steps import MemoryRuns, MemoryStepCache
from mainspring.adapters.objects.bucket import Bucket
from mainspring.adapters.runs.files import file_runs, file_step_cache
from mainspring.adapters.runs.records import Runs as KeptRuns
from mainspring.adapters.runs.records import StepCache as KeptCache
from mainspring.develop.ports import Runs, StepCache
from mainspring.develop.runs import Run, TrainingPlan
from mainspring.develop.steps import Outcome
from mainspring.kernel.errors import Conflict, Damaged, InvalidValue, NotFound

DIGEST = "sha256:" + "7" * 64
RUN = Run(
    id="r1", model="m", at=1, snapshot=DIGEST, definitions={"a": [1, 2.5]}, code=DIGEST,
    training=TrainingPlan(function="m:f", window=None, holdout=1, params={"a": 0.5}, slices=("s",)),
)  # fmt: skip
OUTCOME = Outcome(step="preprocess", key=DIGEST, inputs={"at": "x"}, outputs={"rows": DIGEST}, seconds=1.5, run="r1")
RUNS: dict[str, Callable[[Path], Runs]] = {
    "memory": lambda _: MemoryRuns(),
    "files": file_runs,
    "objects": lambda folder: KeptRuns(Bucket(folder.as_uri()), "runs/"),
}
CACHES: dict[str, Callable[[Path], StepCache]] = {
    "memory": lambda _: MemoryStepCache(),
    "files": file_step_cache,
    "objects": lambda folder: KeptCache(Bucket(folder.as_uri()), "cache/"),
}


@pytest.fixture(params=list(RUNS))
def runs(request: pytest.FixtureRequest, tmp_path: Path) -> Runs:
    return RUNS[request.param](tmp_path)


@pytest.fixture(params=list(CACHES))
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> StepCache:
    return CACHES[request.param](tmp_path)


def test_a_run_is_kept_and_never_replaced(runs: Runs) -> None:
    runs.save(RUN)
    runs.save(RUN)
    assert runs.load("r1") == RUN
    with pytest.raises(Conflict):
        runs.save(replace(RUN, at=2))
    with pytest.raises(NotFound):
        runs.load("r2")


def test_a_step_is_finished_once_its_outcome_is_there(runs: Runs) -> None:
    assert runs.outcome("r1", "preprocess") is None
    runs.finish("r1", OUTCOME)
    assert runs.outcome("r1", "preprocess") == OUTCOME
    assert runs.outcome("r2", "preprocess") is None


def test_the_first_outcome_of_a_key_stays(cache: StepCache) -> None:
    assert cache.get(DIGEST) is None
    cache.put(OUTCOME)
    cache.put(replace(OUTCOME, run="r2"))
    assert cache.get(DIGEST) == OUTCOME


def test_a_torn_outcome_counts_as_absent_and_is_replaced(tmp_path: Path) -> None:
    cache = file_step_cache(tmp_path)
    cache.put(OUTCOME)
    path = next(tmp_path.glob("*.json"))
    path.write_bytes(path.read_bytes()[:40])
    assert cache.get(DIGEST) is None
    cache.put(OUTCOME)
    assert cache.get(DIGEST) == OUTCOME


@pytest.mark.parametrize("name", ["../r", "", "a/b", ".hidden", "x" * 101])
def test_a_run_id_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidValue):
        file_runs(tmp_path).load(name)


def test_a_damaged_run_is_told(tmp_path: Path) -> None:
    file_runs(tmp_path).save(RUN)
    (tmp_path / "r1" / "run.json").write_text("[]")
    with pytest.raises(Damaged):
        file_runs(tmp_path).load("r1")
    (tmp_path / "r1" / "run.json").write_text("{}")
    with pytest.raises(Damaged):
        file_runs(tmp_path).load("r1")
