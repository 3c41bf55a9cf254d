"""`audit verify` in a clone that never signed a checkpoint: no false alarm, and nothing real is hidden."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from tests.flows.rungs import Rungs, git, make_rungs

from mainspring.entry.cli.group import run
from mainspring.kernel.errors import NotFound
from mainspring.security.keys import public_of

pytestmark = pytest.mark.slow
Out = pytest.CaptureFixture[str]


@pytest.fixture
def rungs(tmp_path: Path) -> Rungs:
    ledger = f"sqlite:///{(tmp_path / 'shared.db').as_posix()}"
    found = make_rungs(tmp_path / "small", f"environments: {{local: {{}}, dev: {{stores: {{ledger: '{ledger}'}}}}}}\n")
    for number in (1, 2):
        found.model(number)
        found.at("dev").versions.assign("small", found.at("local").versions.get("small", number))
        found.promote("dev", number)
    return found


def clone_of(rungs: Rungs) -> Path:
    git(rungs.root.parent, "clone", "-q", "--no-local", "-c", "protocol.file.allow=always", "small", "clone")
    return rungs.root.parent / "clone"


def verify(root: Path, capsys: Out, code: int, environment: str = "dev") -> dict[str, Any]:
    capsys.readouterr()
    assert run(["-C", str(root), "audit", "verify", "--env", environment, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def cut(rungs: Rungs, where: str) -> None:
    engine = create_engine(f"sqlite:///{rungs.root.parent}/shared.db")
    with engine.begin() as connection:
        connection.execute(text(f"DELETE FROM events WHERE {where}"))
    engine.dispose()


def test_a_fresh_clone_says_what_it_verified_and_what_it_could_not_compare(rungs: Rungs, capsys: Out) -> None:
    clone = clone_of(rungs)
    assert verify(rungs.root, capsys, 0)["notes"] == []
    told = verify(clone, capsys, 0)
    assert (told["whole"], told["problems"], told["commits"]) == (True, [], 2)
    (note,) = told["notes"]
    assert note.startswith(
        "no local checkpoints of dev: chain verified from its start and against 2 release commits; not compared"
    )
    assert run(["-C", str(clone), "audit", "verify", "--env", "dev"]) == 0
    assert capsys.readouterr().out.startswith("whole but for its end: ")


def test_a_colleague_with_a_key_of_their_own_is_no_suspect(rungs: Rungs, capsys: Out) -> None:
    clone = clone_of(rungs)
    assert run(["-C", str(clone), "keys", "create"]) == 0
    assert len(verify(clone, capsys, 0)["notes"]) == 1


@pytest.mark.parametrize(
    ("where", "what"),
    [("seq = 1", "event 1 is missing: found 2 in its place"), ("seq > 1", "it is not in the ledger"), ("1", "event 1")],
)
def test_what_a_clone_can_see_it_still_reports(rungs: Rungs, capsys: Out, where: str, what: str) -> None:
    clone = clone_of(rungs)
    cut(rungs, where)
    told = verify(clone, capsys, 1)
    assert not told["whole"]
    assert what in str(told["problems"])


def test_who_moved_the_environment_cannot_lose_its_checkpoint_unseen(rungs: Rungs, capsys: Out) -> None:
    (rungs.root / ".mainspring" / "checkpoints" / "dev.json").unlink()
    (problem,) = verify(rungs.root, capsys, 1)["problems"]
    assert "dev has none: it was removed" in problem["what"]


def test_a_mover_in_another_clone_is_known_by_its_evidence(rungs: Rungs, capsys: Out) -> None:
    clone = clone_of(rungs)
    shutil.copytree(rungs.root / ".mainspring" / "keys", clone / ".mainspring" / "keys")
    assert public_of((clone / ".mainspring/keys/signing.pem").read_bytes()) == public_of(
        rungs.at("local").keys.signing_key()
    )
    assert not verify(clone, capsys, 1)["whole"]


def test_a_clone_without_any_ledger_says_that_nothing_is_verified(rungs: Rungs, capsys: Out) -> None:
    rungs.promote("local", 1)
    clone = clone_of(rungs)
    assert run(["-C", str(clone), "audit", "verify"]) == NotFound.exit_code
    said = capsys.readouterr().err
    assert "this clone has no ledger: nothing is verified of 1 release commits" in said
    shutil.rmtree(rungs.root / ".mainspring" / "checkpoints")
    (rungs.root / ".mainspring" / "ledger.db").unlink()
    assert not verify(rungs.root, capsys, 1, "local")["whole"]  # here it was removed: the key says whose it is
