"""Killed at any named place, registration, promotion and roll-back leave the old state or the new; again finishes.

Run as a script, this file is the process that gets killed: one act on a project folder.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mainspring.adapters.files.checkpoints import Checkpoints
from mainspring.adapters.files.keys import Keys
from mainspring.adapters.files.models import ModelStore
from mainspring.adapters.git.releases import ReleaseFiles
from mainspring.adapters.git.repository import init_repository
from mainspring.adapters.sql.ledger import Ledger
from mainspring.adapters.sql.versions import Versions
from mainspring.deliver.ports import GATE
from mainspring.deliver.registry import Registry, register
from mainspring.deliver.release import Plan
from mainspring.flows.audit import AuditPorts, verify
from mainspring.flows.moves import Move, ReleasePorts
from mainspring.flows.release import promote, rollback
from mainspring.kernel.events import Draft, first_break
from mainspring.kernel.failpoints import _KILLED

PLAN = Plan(steps=(50, 100), hold=1_000_000)


def ports_of(root: Path) -> ReleasePorts:
    state = root / ".mainspring"
    url = f"sqlite:///{state}/ledger.db"
    return ReleasePorts(
        ledger=Ledger(url), files=ReleaseFiles(root), models=ModelStore(state / "models"), versions=Versions(url),
        keys=Keys(state, root), checkpoints=Checkpoints(state / "checkpoints"),
    )  # fmt: skip


def act(root: Path, what: str, number: int) -> None:
    ports = ports_of(root)
    move = Move(environment="local", model="m", actor="test", at=number)
    if what == "register":
        registry = Registry(models=ports.models, keys=ports.keys, versions=ports.versions)
        digest = register("m", {"contract.json": b"%d" % number}, registry).digest
        ports.models.attest(digest, GATE, b'{"passed": true}')
    elif what == "promote":
        promote(move, number, ports, plan=PLAN, mode=None)
    elif what == "rollback":
        rollback(move, ports)
    else:
        ports.ledger.append([Draft(kind="a.b", subject=f"n:{number}", actor="test")] * 2, at=number)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".gitignore").write_text(".mainspring/\n")
    init_repository(tmp_path, at=0)
    return tmp_path


def killed(root: Path, place: str, what: str, number: int) -> None:
    env = os.environ | {"MAINSPRING_FAILPOINT": f"{place}:kill"}
    command = [sys.executable, __file__, str(root), what, str(number)]
    done = subprocess.run(command, env=env, timeout=60, check=False, capture_output=True)
    assert done.returncode == _KILLED, done.stderr.decode()


def problems(root: Path) -> list[str]:
    ports = ports_of(root)
    wanted = AuditPorts(
        ledger=ports.ledger, files=ports.files, versions=ports.versions, keys=ports.keys, checkpoints=ports.checkpoints
    )
    report = verify("m", ["local"], wanted)
    return [problem.what for problem in report.problems]


@pytest.mark.parametrize("place", ["file.replace", "model.store", "model.sign", "version.assign"])
def test_a_registration_killed_anywhere_is_finished_by_asking_again(root: Path, place: str) -> None:
    act(root, "register", 1)
    killed(root, place, "register", 2)
    ports = ports_of(root)
    assert [version for version, _ in ports.versions.list("m")] == [1]
    killed(root, place, "register", 2)
    act(root, "register", 2)
    act(root, "register", 3)
    listed = ports.versions.list("m")
    assert [version for version, _ in listed] == [1, 2, 3]
    for number, digest in listed:
        assert ports.models.open(digest, ports.keys.trusted("local")) == {"contract.json": b"%d" % number}


@pytest.mark.parametrize("place", ["release.commit", "ledger.append", "file.replace"])
@pytest.mark.parametrize("what", ["promote", pytest.param("rollback", marks=pytest.mark.slow)])
def test_a_move_killed_anywhere_leaves_old_or_new_and_one_record(root: Path, place: str, what: str) -> None:
    for number in (1, 2, 3):
        act(root, "register", number)
        act(root, "promote", min(number, 2))
    ports = ports_of(root)
    killed(root, place, what, 3)
    release, _ = ports.files.read("local")
    assert release is not None
    new = 3 if what == "promote" else 1
    moved = release.champion.version == new
    assert moved or release.champion.version == 2
    assert moved == (place != "release.commit")
    if what == "promote" or not moved:
        act(root, what, 3)
    else:
        act(root, "promote", 1)
    after, _ = ports.files.read("local")
    assert after is not None
    assert after.champion.version == new
    commits = [logged.commit for logged in ports.files.log("local")]
    told = [event.body["commit"] for event in ports.ledger.read(kind="release.*")]
    assert sorted(commits) == sorted(told)
    assert problems(root) == []


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("after", ["promote", pytest.param("rollback", marks=pytest.mark.slow)])
def test_a_work_tree_left_behind_by_a_kill_follows_at_the_next_move(root: Path, first: bool, after: str) -> None:
    for number in (1, 2, 3):
        act(root, "register", number)
    if not first:
        act(root, "promote", 1)
    killed(root, "file.replace", "promote", 2)
    assert status(root) != b""
    if first and after == "rollback":
        ReleaseFiles(root).catch_up("local")  # there is nothing to go back to: as a watch does it
    else:
        act(root, after, 3)
    assert status(root) == b""


def test_what_somebody_edited_after_a_kill_stays(root: Path) -> None:
    for number in (1, 2):
        act(root, "register", number)
        if number == 1:
            act(root, "promote", 1)
    killed(root, "file.replace", "promote", 2)
    release = root / "environments" / "local" / "release.yaml"
    mine = release.read_bytes() + b"# mine\n"
    release.write_bytes(mine)
    ReleaseFiles(root).catch_up("local")
    assert release.read_bytes() == mine


def status(root: Path) -> bytes:
    return subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=root, capture_output=True, check=True).stdout


def test_an_append_killed_before_its_commit_leaves_no_part_of_it(root: Path) -> None:
    act(root, "append", 1)
    for _ in range(3):
        killed(root, "ledger.append", "append", 2)
    act(root, "append", 3)
    events = ports_of(root).ledger.read()
    assert [event.subject for event in events] == ["n:1", "n:1", "n:3", "n:3"]
    assert first_break(events) is None


if __name__ == "__main__":
    act(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
