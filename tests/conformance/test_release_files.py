"""Every release file store keeps the promises of `deliver.ports.ReleaseFiles`."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mainspring.adapters.git.releases import ReleaseFiles as GitReleases
from mainspring.adapters.git.repository import init_repository
from mainspring.adapters.memory.releases import ReleaseFiles as MemoryReleases
from mainspring.deliver.ports import ReleaseFiles
from mainspring.deliver.release import Champion, Plan, Release, promote_to_canary
from mainspring.kernel.digests import digest_of
from mainspring.kernel.errors import Conflict, InvalidValue
from mainspring.kernel.times import HOUR, FixedClock

PLAN = Plan(steps=(5, 25, 100), hold=6 * HOUR, abort={"error_rate": 0.01, "latency_p99": 50_000, "quality": True})
FIRST = Release(model="m", champion=Champion(version=1, digest=digest_of(1)), plan=PLAN)
TRIAL = promote_to_canary(FIRST, 2, digest_of(2))


def _git(folder: Path) -> ReleaseFiles:
    (folder / "README.md").write_text("a project")
    init_repository(folder, at=1_357_000_000_000_000)
    return GitReleases(folder, clock=FixedClock(1_357_000_000_000_000))


FILES: dict[str, Callable[[Path], ReleaseFiles]] = {"memory": lambda _: MemoryReleases(), "git": _git}


@pytest.fixture(params=list(FILES))
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ReleaseFiles:
    return FILES[request.param](tmp_path)


def put(files: ReleaseFiles, release: Release, environment: str = "local", **trailers: str) -> str:
    _, expected = files.read(environment)
    kept = {name.replace("_", "-"): value for name, value in trailers.items()}
    return files.write(environment, release, expected=expected, message="change", trailers=kept)


def test_before_the_first_release_there_is_none(files: ReleaseFiles) -> None:
    release, commit = files.read("local")
    assert release is None
    assert commit == files.head("local")
    assert list(files.log("local")) == []


def test_a_release_comes_back_with_its_commit(files: ReleaseFiles) -> None:
    commit = put(files, FIRST)
    assert files.read("local") == (FIRST, commit)
    assert files.head("local") == commit
    assert put(files, TRIAL) != commit
    assert files.read("local")[0] == TRIAL


def test_the_log_is_newest_first_with_trailers(files: ReleaseFiles) -> None:
    one = put(files, FIRST, Mainspring_Ledger="1:sha256:aa", Mainspring_Reason="because")
    two = put(files, TRIAL, Mainspring_Rolls_Back=one)
    assert [(logged.commit, logged.release) for logged in files.log("local")] == [(two, TRIAL), (one, FIRST)]
    assert files.log("local")[0].trailers == {"Mainspring-Rolls-Back": one}
    assert files.log("local")[1].trailers == {"Mainspring-Ledger": "1:sha256:aa", "Mainspring-Reason": "because"}


def test_environments_do_not_touch_each_other(files: ReleaseFiles) -> None:
    put(files, FIRST, "dev")
    put(files, TRIAL, "production")
    assert files.read("dev")[0] == FIRST
    assert files.read("production")[0] == TRIAL
    assert files.read("staging")[0] is None
    assert len(files.log("dev")) == 1


def test_a_write_on_an_old_head_is_a_conflict_and_changes_nothing(files: ReleaseFiles) -> None:
    _, old = files.read("local")
    commit = put(files, FIRST)
    with pytest.raises(Conflict):
        files.write("local", TRIAL, expected=old, message="late", trailers={})
    assert files.read("local") == (FIRST, commit)
    assert len(files.log("local")) == 1


def test_of_many_writers_on_one_head_one_wins(files: ReleaseFiles) -> None:
    _, expected = files.read("local")
    gate = threading.Barrier(6)

    def write(number: int) -> bool:
        release = Release(model="m", champion=Champion(version=number + 1, digest=digest_of(number)))
        gate.wait()
        try:
            files.write("local", release, expected=expected, message="race", trailers={})
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(write, range(6))) == 1
    assert len(files.log("local")) == 1


@pytest.mark.parametrize("environment", ["", "..", "a/b", "Local", "--upload-pack=x", "a\nb", ":x"])
def test_what_names_no_environment_never_reaches_the_repository(tmp_path: Path, environment: str) -> None:
    files = _git(tmp_path)
    with pytest.raises(InvalidValue):
        files.read(environment)
