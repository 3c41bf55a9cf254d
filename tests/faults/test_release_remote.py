"""F38: a remote that is down, that others push to, that refuses; several processes promoting against one bare remote.

Run as a script, this file is one such process: it makes a move in its own clone, and where told, waits between its
look and its push until all others stand there too.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from mainspring.adapters.files.checkpoints import Checkpoints
from mainspring.adapters.files.keys import Keys
from mainspring.adapters.files.models import ModelStore
from mainspring.adapters.git.commands import GitFailed, run_git
from mainspring.adapters.git.lines import RemoteBranch, RemoteUnreachable
from mainspring.adapters.git.releases import ReleaseFiles
from mainspring.adapters.git.repository import init_repository
from mainspring.adapters.sql.ledger import Ledger
from mainspring.adapters.sql.versions import Versions
from mainspring.deliver.ports import GATE
from mainspring.deliver.registry import Registry, register
from mainspring.deliver.release import Champion, Plan, Release
from mainspring.flows.audit import AuditPorts, verify
from mainspring.flows.moves import Move, Moved, ReleasePorts, settle
from mainspring.flows.release import promote, rollback
from mainspring.kernel.digests import digest_of
from mainspring.kernel.errors import MainspringError
from mainspring.kernel.failpoints import _KILLED

PLAN = Plan(steps=(50, 100), hold=1_000_000)
RACERS = 4


def git(root: Path, *args: str) -> str:
    return run_git(root, "-c", "user.name=t", "-c", "user.email=t@localhost", *args).decode()


class Waiting(ReleaseFiles):
    """Release files whose first write waits until every racer has decided."""

    room: Path | None = None

    def write(
        self, environment: str, release: Release, *, expected: str, message: str, trailers: Mapping[str, str],
        beside: Mapping[str, bytes] = MappingProxyType({}),
    ) -> str:  # fmt: skip
        if self.room:
            (self.room / str(os.getpid())).touch()
            while len(list(self.room.iterdir())) < RACERS:
                time.sleep(0.01)
            self.room = None
        return super().write(
            environment, release, expected=expected, message=message, trailers=trailers, beside=beside
        )  # fmt: skip


def ports_of(clone: Path, room: Path | None = None) -> ReleasePorts:
    """The clone's own repository; ledger, models, versions and keys are shared, as they are in a team."""
    state = clone.parent / "shared"
    files = Waiting(clone, line=lambda root, branch: RemoteBranch(root, branch, "origin"))
    files.room = room
    url = f"sqlite:///{state}/ledger.db"
    return ReleasePorts(
        ledger=Ledger(url), files=files, models=ModelStore(state / "models"), versions=Versions(url),
        keys=Keys(state, clone.parent / "work"), checkpoints=Checkpoints(state / "checkpoints"),
    )  # fmt: skip


def act(clone: Path, what: str, environment: str, version: int, room: Path | None = None) -> Moved:
    ports = ports_of(clone, room)
    move = Move(environment=environment, model="m", actor=f"user:{clone.name}", at=1)
    if what == "rollback":
        return rollback(move, ports)
    return promote(move, version, ports, plan=PLAN, mode=None if what == "now" else "canary")


@pytest.fixture
def team(tmp_path: Path) -> Path:
    """A bare repository, a clone of it for each racer, four registered versions; `work` holds the trusted keys."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "README.md").write_text("a project\n")
    keys = Keys(tmp_path / "shared", work)
    keys.signing_key()
    public = (tmp_path / "shared" / "keys" / "signing.pub").read_bytes()
    for number in range(RACERS):
        keys.trust(f"e{number}", public)
    init_repository(work, at=0)
    subprocess.run(["git", "clone", "-q", "--bare", "work", "there.git"], cwd=tmp_path, check=True)
    for number in range(RACERS):
        subprocess.run(["git", "clone", "-q", "there.git", f"c{number}"], cwd=tmp_path, check=True)
    ports = ports_of(tmp_path / "c0")
    registry = Registry(models=ports.models, keys=ports.keys, versions=ports.versions)
    for number in range(1, RACERS + 2):
        digest = register("m", {"contract.json": b"%d" % number}, registry).digest
        ports.models.attest(digest, GATE, b'{"passed": true}')
    return tmp_path


def state_of(clone: Path) -> tuple[str, str, str]:
    """Everything that a move could touch in a clone: refs, work tree and index, HEAD."""
    return git(clone, "for-each-ref"), git(clone, "status", "--porcelain"), git(clone, "rev-parse", "HEAD")


def race(team: Path, moves: list[tuple[str, str, int]]) -> list[dict[str, str]]:
    """Let each clone make its move at the same time; return what each said."""
    room = team / "room"
    room.mkdir()
    command = [sys.executable, __file__]
    running = [
        subprocess.Popen(
            [*command, str(team / f"c{number}"), what, environment, str(version), str(room)], stdout=subprocess.PIPE
        )
        for number, (what, environment, version) in enumerate(moves)
    ]
    return [json.loads(process.communicate(timeout=120)[0]) for process in running]


def problems(team: Path, environments: list[str]) -> list[str]:
    ports = ports_of(team / "c0")
    wanted = AuditPorts(
        ledger=ports.ledger, files=ports.files, versions=ports.versions, keys=ports.keys, checkpoints=ports.checkpoints
    )
    return [problem.what for problem in verify("m", environments, wanted).problems]


def history(team: Path) -> list[str]:
    """Return the subjects of the remote's commits, newest first; it must be one line without a fork."""
    assert git(team / "there.git", "rev-list", "--min-parents=2", "main") == ""
    return git(team / "there.git", "log", "--format=%s", "main").splitlines()


@pytest.mark.slow
def test_racers_for_one_environment_have_one_winner_and_losers_are_told_who(team: Path) -> None:
    act(team / "c0", "now", "e0", 1)
    before = [state_of(team / f"c{number}") for number in range(RACERS)]
    said = race(team, [("now", "e0", number + 2) for number in range(RACERS)])
    won = [entry["won"] for entry in said if "won" in entry]
    lost = [entry for entry in said if "won" not in entry]
    assert len(won) == 1
    assert {entry["code"] for entry in lost} == {"conflict"}
    assert all(entry["what"] == f"e0 was changed meanwhile: version {won[0]} answers" for entry in lost)
    release, _ = ports_of(team / "c0").files.read("e0")
    assert release is not None
    assert release.champion.version == int(won[0])
    assert len(history(team)) == 3
    assert [state_of(team / f"c{number}") for number in range(RACERS)] == before
    assert problems(team, ["e0"]) == []


@pytest.mark.slow
def test_racers_for_different_environments_all_win_and_nothing_is_lost(team: Path) -> None:
    said = race(team, [("now", f"e{number}", 1) for number in range(RACERS)])
    assert [entry.get("won") for entry in said] == ["1"] * RACERS
    assert sorted(history(team)[:-1]) == [f"e{number}: promote version 1" for number in range(RACERS)]
    assert problems(team, [f"e{number}" for number in range(RACERS)]) == []
    told = ports_of(team / "c0").ledger.read(kind="release.promoted")
    assert sorted(event.subject for event in told) == [f"environment:e{number}" for number in range(RACERS)]


@pytest.mark.slow
def test_racers_who_want_the_same_all_get_it_by_one_commit(team: Path) -> None:
    said = race(team, [("now", "e0", 2)] * RACERS)
    assert [entry.get("won") for entry in said] == ["2"] * RACERS
    assert history(team)[0] == "e0: promote version 2"
    assert len(history(team)) == 2
    assert problems(team, ["e0"]) == []


@pytest.mark.slow
def test_a_roll_back_and_promotions_at_once_have_one_winner(team: Path) -> None:
    act(team / "c0", "now", "e0", 1)
    act(team / "c1", "now", "e0", 2)
    moves = [("rollback", "e0", 0), ("canary", "e0", 3), ("canary", "e0", 4), ("now", "e0", 5)]
    said = race(team, moves)
    assert sum("won" in entry for entry in said) == 1
    assert len(history(team)) == 4
    assert problems(team, ["e0"]) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_racers_who_are_killed_anywhere_leave_one_line_and_one_record_a_move(team: Path, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(2):
        running = []
        for number in range(RACERS):
            where = dice.choice(["", "release.commit", "ledger.append", "file.replace"])
            env = os.environ | ({"MAINSPRING_FAILPOINT": f"{where}:kill"} if where else {})
            what, version = dice.choice([("now", dice.randint(1, 5)), ("canary", dice.randint(1, 5)), ("rollback", 0)])
            command = [
                sys.executable,
                __file__,
                str(team / f"c{number}"),
                what,
                dice.choice(["e0", "e1"]),
                str(version),
            ]
            running.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE))
        for process in running:
            process.communicate(timeout=120)
            assert process.returncode in (0, _KILLED)
    for environment in ("e0", "e1"):
        settle(Move(environment=environment, model="m", actor="user:last", at=1), ports_of(team / "c0"))
    ports = ports_of(team / "c0")
    commits = [logged.commit for environment in ("e0", "e1") for logged in ports.files.log(environment)]
    told = [event.body["commit"] for event in ports.ledger.read(kind="release.*")]
    assert sorted(told) == sorted(commits)
    assert len(history(team)) == len(commits) + 1


def test_a_remote_that_is_down_changes_nothing_and_may_be_asked_again(team: Path) -> None:
    clone, bare = team / "c0", team / "there.git"
    bare.rename(team / "away.git")
    before = state_of(clone)
    with pytest.raises(RemoteUnreachable, match="the remote 'origin' cannot be read") as caught:
        act(clone, "now", "e0", 1)
    assert caught.value.exit_code == 75
    assert state_of(clone) == before
    assert ports_of(clone).ledger.read(kind="release.*") == []
    (team / "away.git").rename(bare)
    assert act(clone, "now", "e0", 1).changed
    assert state_of(clone) == before
    assert problems(team, ["e0"]) == []


def test_a_clone_behind_or_with_commits_of_its_own_is_no_obstacle(team: Path) -> None:
    act(team / "c0", "now", "e0", 1)
    act(team / "c1", "now", "e0", 2)
    clone = team / "c2"
    (clone / "mine.txt").write_text("not pushed")
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "mine")
    (clone / "README.md").write_text("dirty\n")
    before = state_of(clone)
    assert act(clone, "rollback", "e0", 0).release.champion.version == 1
    assert state_of(clone) == before
    assert history(team)[0] == "e0: roll back to version 1"


@pytest.mark.skipif(sys.platform == "win32", reason="the hook is a shell script")
def test_a_remote_that_refuses_is_quoted_and_nothing_is_recorded(team: Path) -> None:
    hook = team / "there.git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho main is protected >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(GitFailed, match=r"does not take the commit: .*pre-receive hook declined") as caught:
        act(team / "c0", "now", "e0", 1)
    assert "--pull-request" in caught.value.fix
    assert len(history(team)) == 1
    assert ports_of(team / "c0").ledger.read(kind="release.*") == []


@pytest.mark.parametrize("url", ["ext::sh -c touch% /tmp/never", "http://127.0.0.1:1/x", "--upload-pack=touch"])
def test_a_remote_that_runs_programs_or_is_unencrypted_is_refused(team: Path, url: str) -> None:
    git(team / "c0", "config", "remote.origin.url", url)
    with pytest.raises((GitFailed, RemoteUnreachable)):
        act(team / "c0", "now", "e0", 1)


def test_no_such_remote_is_said(team: Path) -> None:
    git(team / "c0", "remote", "remove", "origin")
    with pytest.raises(GitFailed, match="no remote called 'origin'"):
        act(team / "c0", "now", "e0", 1)


@pytest.mark.slow
def test_a_move_killed_after_its_push_is_recorded_by_the_next(team: Path) -> None:
    env = os.environ | {"MAINSPRING_FAILPOINT": "ledger.append:kill"}
    command = [sys.executable, __file__, str(team / "c0"), "now", "e0", "1"]
    assert subprocess.run(command, env=env, check=False, timeout=60).returncode == _KILLED
    assert history(team)[0] == "e0: promote version 1"
    assert not act(team / "c1", "now", "e0", 1).changed
    assert [event.actor for event in ports_of(team / "c0").ledger.read(kind="release.*")] == ["user:c0"]


def test_an_empty_remote_gets_its_first_commit(tmp_path: Path) -> None:
    run_git(tmp_path, "init", "-q", "--bare", "-b", "main", "empty.git")
    run_git(tmp_path, "init", "-q", "-b", "main", "clone")
    run_git(tmp_path / "clone", "remote", "add", "origin", (tmp_path / "empty.git").as_posix())
    files = ReleaseFiles(tmp_path / "clone", line=lambda root, branch: RemoteBranch(root, branch, "origin"))
    assert files.read("e0") == (None, "")
    release = Release(model="m", champion=Champion(version=1, digest=digest_of(1)))
    commit = files.write("e0", release, expected="", message="first", trailers={})
    assert files.read("e0") == (release, commit)
    assert git(tmp_path / "clone", "for-each-ref") == ""


@pytest.mark.skipif(sys.platform == "win32", reason="the sentinel is a shell script")
def test_a_push_carries_one_commit_whatever_the_clone_configures(team: Path) -> None:
    hook = team / "c0" / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {team}/ran\nexit 1\n")
    hook.chmod(0o755)
    git(team / "c0", "config", "core.hooksPath", str(hook.parent))
    for name, value in (("push.followTags", "true"), ("push.gpgSign", "true"), ("push.recurseSubmodules", "only")):
        git(team / "c0", "config", name, value)
    git(team / "c0", "tag", "-a", "-m", "mine", "v1", "HEAD")
    assert act(team / "c0", "now", "e0", 1).changed
    assert not (team / "ran").exists()
    assert git(team / "there.git", "tag") == ""


def _main(clone: str, what: str, environment: str, version: str, room: str = "") -> None:
    try:
        moved = act(Path(clone), what, environment, int(version), Path(room) if room else None)
    except MainspringError as error:
        said = {"code": error.code, "what": error.what}
    else:
        said = {"won": str((moved.release.challenger or moved.release.champion).version)}
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    _main(*sys.argv[1:])
