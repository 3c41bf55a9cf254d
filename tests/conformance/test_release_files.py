"""Every release file store keeps the promises of `deliver.ports.ReleaseFiles`."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mainspring.adapters.git.commands import run_git
from mainspring.adapters.git.lines import RemoteBranch
from mainspring.adapters.git.releases import ReleaseFiles as GitReleases
from mainspring.adapters.git.repository import init_repository
from mainspring.adapters.memory.releases import ReleaseFiles as MemoryReleases
from mainspring.deliver.release import Champion, Plan, Release, promote_to_canary
from mainspring.flows.entering import Committed as Stored
from mainspring.kernel.digests import digest_of
from mainspring.kernel.errors import Conflict, InvalidValue
from mainspring.kernel.times import HOUR, FixedClock

PLAN = Plan(steps=(5, 25, 100), hold=6 * HOUR, abort={"error_rate": 0.01, "latency_p99": 50_000, "quality": True})
FIRST = Release(model="m", champion=Champion(version=1, digest=digest_of(1)), plan=PLAN)
TRIAL = promote_to_canary(FIRST, 2, digest_of(2))


def _git(folder: Path) -> Stored:
    (folder / "README.md").write_text("a project")
    init_repository(folder, at=1_357_000_000_000_000)
    return GitReleases(folder, clock=FixedClock(1_357_000_000_000_000))


def _remote(folder: Path) -> Stored:
    """A clone that pushes to a bare repository."""
    (folder / "work").mkdir()
    _git(folder / "work")
    run_git(folder, "init", "-q", "--bare", "-b", "main", "there.git")
    bare = (folder / "there.git").as_posix()
    run_git(folder / "work", "push", "-q", bare, "main", settings=("protocol.file.allow=always",))
    run_git(folder / "work", "remote", "add", "origin", bare)
    return GitReleases(
        folder / "work", clock=FixedClock(1_357_000_000_000_000),
        line=lambda root, branch: RemoteBranch(root, branch, "origin"),
    )  # fmt: skip


FILES: dict[str, Callable[[Path], Stored]] = {"memory": lambda _: MemoryReleases(), "git": _git, "remote": _remote}


@pytest.fixture(params=list(FILES))
def papers(request: pytest.FixtureRequest, tmp_path: Path) -> Stored:
    return FILES[request.param](tmp_path)


@pytest.fixture
def files(papers: Stored) -> Stored:
    return papers


def put(files: Stored, release: Release, environment: str = "local", **trailers: str) -> str:
    _, expected = files.read(environment)
    kept = {name.replace("_", "-"): value for name, value in trailers.items()}
    return files.write(environment, release, expected=expected, message="change", trailers=kept)


def test_before_the_first_release_there_is_none(files: Stored) -> None:
    release, commit = files.read("local")
    assert release is None
    assert commit == files.head("local")
    assert list(files.log("local")) == []


def test_a_release_comes_back_with_its_commit(files: Stored) -> None:
    commit = put(files, FIRST)
    assert files.read("local") == (FIRST, commit)
    assert files.head("local") == commit
    assert put(files, TRIAL) != commit
    assert files.read("local")[0] == TRIAL


def test_the_log_is_newest_first_with_trailers(files: Stored) -> None:
    one = put(files, FIRST, Mainspring_Ledger="1:sha256:aa", Mainspring_Reason="because")
    two = put(files, TRIAL, Mainspring_Rolls_Back=one)
    assert [(logged.commit, logged.release) for logged in files.log("local")] == [(two, TRIAL), (one, FIRST)]
    assert files.log("local")[0].trailers == {"Mainspring-Rolls-Back": one}
    assert files.log("local")[1].trailers == {"Mainspring-Ledger": "1:sha256:aa", "Mainspring-Reason": "because"}


def test_environments_do_not_touch_each_other(files: Stored) -> None:
    put(files, FIRST, "dev")
    put(files, TRIAL, "production")
    assert files.read("dev")[0] == FIRST
    assert files.read("production")[0] == TRIAL
    assert files.read("staging")[0] is None
    assert len(files.log("dev")) == 1


def test_a_write_on_an_old_head_is_a_conflict_and_changes_nothing(files: Stored) -> None:
    _, old = files.read("local")
    commit = put(files, FIRST)
    with pytest.raises(Conflict):
        files.write("local", TRIAL, expected=old, message="late", trailers={})
    assert files.read("local") == (FIRST, commit)
    assert len(files.log("local")) == 1


def test_of_many_writers_on_one_head_one_wins(files: Stored) -> None:
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


def test_files_beside_a_release_are_committed_with_it_or_alone(papers: Stored) -> None:
    first = papers.write(
        "staging", FIRST, expected=papers.read("staging")[1], message="a release", trailers={},
        beside={"evidence/one.json": b"{}"},
    )  # fmt: skip
    second = papers.keep("staging", {"approvals/ann.json": b"yes"}, expected=first, message="m", trailers={"A-B": "c"})
    assert papers.head("staging") == second
    assert papers.folder("staging", "approvals") == {"ann.json": b"yes"}
    assert papers.folder("staging", "evidence") == {"one.json": b"{}"}
    assert papers.folder("staging", "approvers") == {}
    assert papers.folder("production", "approvals") == {}
    assert [logged.commit for logged in papers.log("staging")] == [first]
    assert papers.read("staging") == (FIRST, second)


def test_files_on_an_old_head_are_a_conflict(papers: Stored) -> None:
    _, old = papers.read("local")
    put(papers, FIRST)
    with pytest.raises(Conflict):
        papers.keep("local", {"approvals/ann.json": b"yes"}, expected=old, message="late", trailers={})
    assert papers.folder("local", "approvals") == {}


@pytest.mark.parametrize("environment", ["", "..", "a/b", "Local", "--upload-pack=x", "a\nb", ":x"])
def test_what_names_no_environment_never_reaches_the_repository(tmp_path: Path, environment: str) -> None:
    files = _git(tmp_path)
    with pytest.raises(InvalidValue):
        files.read(environment)
