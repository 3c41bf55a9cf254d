"""A version's way through an environment, on a real repository, database and model folders."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from mainspring.adapters.files.checkpoints import Checkpoints
from mainspring.adapters.files.keys import Keys
from mainspring.adapters.files.models import ModelStore
from mainspring.adapters.git.releases import ReleaseFiles
from mainspring.adapters.git.repository import init_repository
from mainspring.adapters.sql.ledger import Ledger
from mainspring.adapters.sql.versions import Versions
from mainspring.deliver.ports import GATE, SIGNATURE
from mainspring.deliver.registry import Registry, register
from mainspring.deliver.release import ROLLS_BACK, Champion, Plan, Release, ReleaseRefused
from mainspring.flows import release as flow
from mainspring.flows.audit import AuditPorts, verify
from mainspring.flows.checkpoint import seal_ledger
from mainspring.flows.moves import Move, ReleasePorts, ledger_trailer, settle
from mainspring.kernel.digests import digest_of
from mainspring.kernel.errors import Conflict, InvalidValue, NotFound
from mainspring.kernel.events import Draft
from mainspring.kernel.times import HOUR, FixedClock
from mainspring.security.checkpoints import Checkpoint, seal_checkpoint
from mainspring.security.manifests import manifest_of
from mainspring.security.signing import SignatureRefused, new_key, sign

PLAN = Plan(steps=(5, 25, 100), hold=6 * HOUR)
RELEASE = Release(model="m", champion=Champion(version=1, digest=digest_of(1)))
MOVE = Move(environment="local", model="m", actor="user:test", at=1_357_000_000_000_000, reason="why\nMainspring-X: y")


def registry(ports: ReleasePorts) -> Registry:
    return Registry(models=ports.models, keys=ports.keys, versions=ports.versions)


@dataclass
class House:
    root: Path
    ports: ReleasePorts

    @property
    def url(self) -> str:
        return f"sqlite:///{self.root}/.mainspring/ledger.db"

    def make(self, number: int, passed: bool = True) -> str:
        digest = register("m", {"contract.json": b"%d" % number}, registry(self.ports)).digest
        self.ports.models.attest(digest, GATE, json.dumps({"passed": passed}).encode())
        return digest

    def audit(self) -> list[str]:
        ports = AuditPorts(
            ledger=self.ports.ledger, files=self.ports.files, versions=self.ports.versions, keys=self.ports.keys,
            checkpoints=self.ports.checkpoints,
        )  # fmt: skip
        return [problem.what for problem in verify("m", ["local"], ports).problems]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.ports.ledger.read(kind="release.*")]

    def sql(self, statement: str) -> None:
        engine = create_engine(self.url)
        with engine.begin() as connection:
            connection.execute(text(statement))
        engine.dispose()


@pytest.fixture
def house(tmp_path: Path) -> House:
    (tmp_path / ".gitignore").write_text(".mainspring/\n")
    init_repository(tmp_path, at=MOVE.at)
    state = tmp_path / ".mainspring"
    url = f"sqlite:///{state}/ledger.db"
    ports = ReleasePorts(
        ledger=Ledger(url),
        files=ReleaseFiles(tmp_path, clock=FixedClock(MOVE.at)),
        models=ModelStore(state / "models"),
        versions=Versions(url),
        keys=Keys(state, tmp_path),
        checkpoints=Checkpoints(state / "checkpoints"),
    )
    return House(root=tmp_path, ports=ports)


def test_a_version_is_tried_and_becomes_the_champion(house: House) -> None:
    one, two = house.make(1), house.make(2)
    first = flow.promote(MOVE, 1, house.ports, plan=PLAN)
    assert (first.release.champion.digest, first.changed) == (one, True)
    trial = flow.promote(MOVE, two, house.ports)
    assert trial.release.challenger is not None
    assert trial.release.challenger.weight == 5
    flow.advance(MOVE, 25, house.ports)
    assert not flow.advance(MOVE, 25, house.ports).changed
    done = flow.finish(MOVE, house.ports)
    assert done.release.champion.digest == two
    assert house.ports.files.read("local") == (done.release, done.commit)
    assert house.kinds() == ["release.promoted", "release.promoted", "release.advanced", "release.finished"]
    event = house.ports.ledger.read(kind="release.finished")[0]
    assert event.body["champion"] == {"version": 2, "digest": two}
    assert event.body["commit"] == done.commit
    assert event.body["reason"] == "why Mainspring-X: y"
    assert event.subject == "environment:local"
    assert house.audit() == []


def test_asking_for_what_is_changes_nothing(house: House) -> None:
    house.make(1)
    house.make(2)
    for version in (1, 1, 2, 2):
        flow.promote(MOVE, version, house.ports, plan=PLAN)
    assert house.kinds() == ["release.promoted", "release.promoted"]
    assert len(house.ports.files.log("local")) == 2


def test_a_trailer_names_the_ledger_head_before_the_move(house: House) -> None:
    house.make(1)
    house.ports.ledger.append([Draft(kind="a.b", subject="s", actor="t")], at=1)
    head = house.ports.ledger.head()
    flow.promote(MOVE, 1, house.ports, plan=PLAN)
    assert ledger_trailer(house.ports.files.log("local")[0].trailers) == head


def test_rolling_back_twice_goes_two_versions_back_and_a_third_time_is_refused(house: House) -> None:
    for number in (1, 2, 3):
        house.make(number)
        flow.promote(MOVE, number, house.ports, plan=PLAN, mode=None)
    undone = house.ports.files.head("local")
    once = flow.rollback(MOVE, house.ports)
    assert once.release.champion.version == 2
    assert house.ports.files.log("local")[0].trailers[ROLLS_BACK] == undone
    assert flow.rollback(MOVE, house.ports).release.champion.version == 1
    with pytest.raises(ReleaseRefused, match="no earlier version"):
        flow.rollback(MOVE, house.ports)
    assert house.kinds()[-2:] == ["release.rolled_back"] * 2
    assert house.audit() == []


def test_rolling_back_during_a_trial_ends_the_trial(house: House) -> None:
    house.make(1)
    house.make(2)
    flow.promote(MOVE, 1, house.ports, plan=PLAN)
    flow.promote(MOVE, 2, house.ports)
    assert flow.rollback(MOVE, house.ports).release.champion.version == 1
    assert flow.promote(MOVE, 2, house.ports).release.challenger is not None
    assert flow.abort(MOVE, house.ports).release.challenger is None
    assert house.audit() == []


def _unsigned(house: House) -> None:
    digest = house.ports.models.add({"contract.json": b"5"})
    house.ports.models.attest(digest, GATE, b'{"passed": true}')
    flow.promote(MOVE, house.ports.versions.assign("m", digest), house.ports)


def _stranger(house: House) -> None:
    files = {"contract.json": b"6"}
    digest = house.ports.models.add(files)
    house.ports.models.attest(digest, GATE, b'{"passed": true}')
    house.ports.models.attest(digest, SIGNATURE, sign(manifest_of(files), new_key(), "m"))
    flow.promote(MOVE, house.ports.versions.assign("m", digest), house.ports)


def _gate_failed(house: House) -> None:
    flow.promote(MOVE, house.make(7, passed=False), house.ports)


def _never_judged(house: House) -> None:
    flow.promote(MOVE, register("m", {"contract.json": b"8"}, registry(house.ports)).digest, house.ports)


def _during_a_trial(house: House) -> None:
    flow.promote(MOVE, house.make(2), house.ports)
    before = house.ports.files.head("local")
    try:
        flow.promote(MOVE, house.make(3), house.ports)
    finally:
        assert house.ports.files.head("local") == before


REFUSED: dict[str, tuple[type[Exception], Callable[[House], object]]] = {
    "an unknown version": (ReleaseRefused, lambda house: flow.promote(MOVE, 99, house.ports)),
    "an unknown digest": (ReleaseRefused, lambda house: flow.promote(MOVE, "sha256:" + "0" * 64, house.ports)),
    "an unsigned version": (SignatureRefused, _unsigned),
    "a version signed by a stranger": (SignatureRefused, _stranger),
    "a version whose gate failed": (ReleaseRefused, _gate_failed),
    "a version that was never judged": (ReleaseRefused, _never_judged),
    "a version while another is on trial": (ReleaseRefused, _during_a_trial),
    "an abort without a trial": (ReleaseRefused, lambda house: flow.abort(MOVE, house.ports)),
    "a roll-back without a past": (ReleaseRefused, lambda house: flow.rollback(MOVE, house.ports)),
    "another model": (ReleaseRefused, lambda house: flow.abort(replace(MOVE, model="other"), house.ports)),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_may_not_be_released_is_refused_with_exit_code_3(house: House, name: str) -> None:
    house.make(1)
    flow.promote(MOVE, 1, house.ports, plan=PLAN)
    error, act = REFUSED[name]
    with pytest.raises(error) as caught:
        act(house)
    assert getattr(caught.value, "exit_code", 0) == 3
    assert house.ports.files.log("local")[-1].release.champion.version == 1
    assert house.audit() == []


def test_before_the_first_promotion_there_is_nothing_to_move(house: House) -> None:
    for act in (flow.abort, flow.finish, flow.rollback):
        with pytest.raises(NotFound):
            act(MOVE, house.ports)
    with pytest.raises(InvalidValue):
        flow.promote(replace(MOVE, environment="../x"), 1, house.ports)


def test_a_commit_between_look_and_write_is_a_conflict(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.make(1)
    files = house.ports.files
    stale = files.read("local")
    files.write("other", RELEASE, expected=stale[1], message="another environment", trailers={})
    monkeypatch.setattr(files, "read", lambda _: stale)
    with pytest.raises(Conflict):
        flow.promote(MOVE, 1, house.ports, plan=PLAN)
    assert house.kinds() == []


def _released(house: House) -> None:
    for number in (1, 2, 3):
        house.make(number)
        flow.promote(MOVE, number, house.ports, plan=PLAN, mode=None)
        house.ports.ledger.append([Draft(kind="a.b", subject="s", actor="t", body={"n": number})], at=1)


TAMPERINGS = {
    "deleted": ("DELETE FROM events WHERE seq = 2", "event 2 is missing"),
    "edited": ("UPDATE events SET body = '{\"n\": 9}' WHERE seq = 2", "event 2 was changed"),
    "reordered": (
        "UPDATE events SET seq = CASE seq WHEN 2 THEN -3 WHEN 3 THEN -2 ELSE seq END;"
        "UPDATE events SET seq = -seq WHERE seq < 0",
        "event 2",
    ),
    "cut off": ("DELETE FROM events WHERE seq > 3", "event 4 is missing"),
    "emptied": ("DELETE FROM events", "event 1 is missing"),
}


@pytest.mark.parametrize("name", list(TAMPERINGS))
def test_the_audit_names_the_first_bad_record(house: House, name: str) -> None:
    _released(house)
    assert house.audit() == []
    statements, expected = TAMPERINGS[name]
    for statement in statements.split(";"):
        house.sql(statement)
    assert expected in house.audit()[0]


def test_a_ledger_cut_off_after_the_last_commit_is_found_by_its_signed_checkpoint(house: House) -> None:
    _released(house)
    house.ports.ledger.append([Draft(kind="window.judged", subject="m", actor="watch", body={})] * 3, at=2)
    ended = house.ports.ledger.head()[0]
    assert seal_ledger("local", house.ports.sealing, at=3)
    assert not seal_ledger("local", house.ports.sealing, at=4)  # it is signed already
    assert house.audit() == []
    house.sql(f"DELETE FROM events WHERE seq > {ended - 2}")  # the chain is whole, and every commit is in it
    what = f"event {ended - 1} is missing: the checkpoint of local was signed when the ledger had {ended}"
    assert house.audit() == [what]
    house.ports.ledger.append([Draft(kind="window.judged", subject="x", actor="watch", body={})] * 2, at=5)
    assert house.audit() == [f"event {ended} is not the one that the checkpoint of local was signed over"]
    flow.promote(MOVE, house.make(9), house.ports, mode=None)  # life goes on, and the evidence stays
    assert house.audit() == [f"event {ended} is not the one that the checkpoint of local was signed over"]


@pytest.mark.parametrize("act", ["remove", "forge", "spoil"])
def test_a_checkpoint_that_was_removed_or_forged_is_found(house: House, act: str) -> None:
    _released(house)
    place = house.root / ".mainspring" / "checkpoints" / "local.json"
    if act == "remove":
        place.unlink()
    elif act == "spoil":
        place.write_bytes(place.read_bytes()[:-40])
    else:
        seq, head = house.ports.ledger.head()
        place.write_bytes(seal_checkpoint(Checkpoint(environment="local", seq=seq, hash=head, at=1), new_key()))
    (problem,) = house.audit()
    expected = {"remove": "local has none", "forge": "is not trusted here", "spoil": "it cannot be read"}
    assert expected[act] in problem


def test_where_nothing_was_signed_a_missing_checkpoint_is_a_note_and_a_missing_event_still_a_problem(
    house: House,
) -> None:
    _released(house)
    ports = AuditPorts(
        ledger=house.ports.ledger, files=house.ports.files, versions=house.ports.versions, keys=house.ports.keys,
        checkpoints=Checkpoints(house.root / "none"), sealed=lambda environment: False, private=True,
    )  # fmt: skip
    report = verify("m", ["local"], ports)
    assert (report.whole, len(report.notes)) == (True, 1)
    assert "not compared with a checkpoint" in report.notes[0]
    house.sql("DELETE FROM events WHERE seq > 3")
    assert "event 4 is missing" in verify("m", ["local"], ports).problems[0].what
    house.sql("DELETE FROM events")
    with pytest.raises(NotFound, match="this clone has no ledger"):
        verify("m", ["local"], ports)
    assert "event 1 is missing" in verify("m", ["local"], replace(ports, private=False)).problems[0].what


def test_a_release_changed_by_hand_is_reported_until_the_next_move_tells_it(house: House) -> None:
    _released(house)
    path = house.root / "environments" / "local" / "release.yaml"
    git = ["git", "-C", str(house.root), "-c", "user.name=t", "-c", "user.email=t@localhost"]
    for number in (1, 2):  # two commits in a row
        path.write_text(path.read_text("utf-8") + f"# edited {number}\n", "utf-8")
        subprocess.run([*git, "commit", "-qam", f"by hand {number}"], check=True)
    found = house.audit()
    assert len(found) == 2
    assert all("somebody changed the release by hand and it is not in the ledger yet" in what for what in found)
    commits = [logged.commit for logged in house.ports.files.log("local")[:2]]
    told = settle(MOVE, house.ports)
    assert told is not None
    edits = house.ports.ledger.read(kind="release.edited")
    assert [event.body["commit"] for event in edits] == commits[::-1]
    assert {(event.actor, event.body["reason"]) for event in edits} == {("git", "committed by hand")}
    assert house.audit() == []
    assert settle(MOVE, house.ports) is None


def test_the_audit_finds_a_version_table_that_disagrees(house: House) -> None:
    _released(house)
    house.sql("DELETE FROM versions WHERE version = 2")
    assert "version 3 is in its place" in house.audit()[0]


def test_the_audit_finds_a_rewritten_history(house: House) -> None:
    _released(house)
    log = house.ports.files.log("local")
    subprocess.run(["git", "-C", house.root, "update-ref", "refs/heads/main", log[1].commit], check=True)
    assert any("not in local's history" in problem for problem in house.audit())
