"""A pipeline judges release commits by the rules and keys that stood before them; whoever sneaks something in fails."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.flows.rungs import Rungs, git, make_rungs

from mainspring.app.entries import audit_entries
from mainspring.app.releases import roll_back
from mainspring.flows.audit_entries import Entered
from mainspring.security.keys import new_key, public_of

pytestmark = pytest.mark.slow
HERE = Path("environments") / "production"


@pytest.fixture
def rungs(tmp_path: Path) -> Rungs:
    found = make_rungs(tmp_path / "small")
    found.soaked(1)
    return found


def judged(rungs: Rungs, base: str) -> list[Entered]:
    return audit_entries(rungs.root, base, "main")


def base_of(rungs: Rungs) -> str:
    return git(rungs.root, "rev-parse", "main").strip()


def commit(rungs: Rungs, message: str) -> None:
    git(rungs.root, "add", "-A")
    git(rungs.root, "commit", "-qm", message)


def approved(rungs: Rungs) -> None:
    for who in ("ann", "bob"):
        rungs.approve(who, 1)
    rungs.promote("production")


def test_what_promote_lets_in_the_audit_lets_in(rungs: Rungs) -> None:
    base = base_of(rungs)
    approved(rungs)
    (entry,) = judged(rungs, base)
    assert (entry.environment, entry.version, entry.how, entry.refused) == (
        "production", 1, "approved by ann, bob", False,
    )  # fmt: skip
    from_start = judged(rungs, git(rungs.root, "rev-list", "--max-parents=0", "main").strip())
    assert [(found.environment, found.refused) for found in from_start] == [
        ("dev", False), ("staging", False), ("production", False),
    ]  # fmt: skip


def test_a_roll_back_needs_nothing_and_an_emergency_is_told(rungs: Rungs) -> None:
    approved(rungs)
    base = base_of(rungs)
    rungs.model(2)
    rungs.promote("production", 2, emergency="it burns")
    roll_back(rungs.at("production"), "still burns")
    emergency, back = judged(rungs, base)
    assert (emergency.version, emergency.refused, emergency.emergency) == (2, False, "it burns")
    assert any("approvals" in what for what in emergency.against)
    assert (back.version, back.how, back.refused) == (1, "roll-back to the last healthy content", False)


def test_a_release_committed_by_hand_is_refused(rungs: Rungs) -> None:
    base = base_of(rungs)
    staged = (rungs.root / "environments" / "staging" / "release.yaml").read_text()
    (rungs.root / HERE / "release.yaml").write_text(staged)
    commit(rungs, "by hand")
    (entry,) = judged(rungs, base)
    assert entry.refused
    assert (entry.how, entry.against) == ("without evidence", ("it was not promoted by mainspring promote",))


def _own_approver(rungs: Rungs) -> None:
    rungs.keys["eve"] = new_key()
    for name in ("eve", "eva"):
        rungs.keys[name] = new_key()
        (rungs.root / HERE / "approvers" / f"{name}.pem").write_bytes(public_of(rungs.keys[name]))
    commit(rungs, "more approvers")
    for name in ("eve", "eva"):
        rungs.approve(name, 1)


def _lower_bar(rungs: Rungs) -> None:
    file = rungs.root / "mainspring.yaml"
    file.write_text(file.read_text().replace("approvals: 2", "approvals: 0"))
    commit(rungs, "lower the bar")


@pytest.mark.parametrize("trick", [_own_approver, _lower_bar])
def test_a_range_cannot_bring_its_own_approvers_or_lower_its_own_bar(
    rungs: Rungs, trick: Callable[[Rungs], None]
) -> None:  # fmt: skip
    base = base_of(rungs)
    trick(rungs)
    rungs.promote("production")
    (entry,) = judged(rungs, base)
    assert entry.refused
    assert entry.against[0].startswith("it has 0 of 2 approvals")


def test_forged_or_borrowed_evidence_is_refused(rungs: Rungs) -> None:
    approved(rungs)
    roll_on = base_of(rungs)
    (evidence,) = (rungs.root / HERE / "evidence").iterdir()
    release = rungs.root / HERE / "release.yaml"
    other = rungs.model(2)
    release.write_text(release.read_text().replace(evidence.stem, other[7:19]))
    text = release.read_text()
    at = text.index("sha256:")
    release.write_text(text[:at] + other + text[at + len(other) :])
    (evidence.parent / f"{other[7:19]}.json").write_bytes(evidence.read_bytes())
    commit(rungs, "borrowed")
    (entry,) = judged(rungs, roll_on)
    assert (entry.refused, entry.how) == (True, "with evidence of another entry")
    signed = json.loads(evidence.read_bytes())
    signed["evidence"]["digest"] = other
    (evidence.parent / f"{other[7:19]}.json").write_text(json.dumps(signed))
    commit(rungs, "forged")
    git(rungs.root, "reset", "-q", "--soft", roll_on)
    commit(rungs, "both at once")
    (entry,) = judged(rungs, roll_on)
    assert (entry.refused, entry.how) == (True, "with evidence that does not hold")
    assert "signature does not hold" in entry.against[0]


def test_a_removed_or_spoilt_release_file_is_refused(rungs: Rungs) -> None:
    approved(rungs)
    base = base_of(rungs)
    release = rungs.root / HERE / "release.yaml"
    release.write_text("schema: 1\n")
    commit(rungs, "spoilt")
    release.unlink()
    commit(rungs, "removed")
    assert [entry.how for entry in judged(rungs, base)] == ["its release file cannot be read"]


def test_a_merge_is_judged_as_what_it_brings(rungs: Rungs) -> None:
    base = base_of(rungs)
    git(rungs.root, "checkout", "-q", "-b", "feature", base)
    staged = (rungs.root / "environments" / "staging" / "release.yaml").read_text()
    (rungs.root / HERE / "release.yaml").write_text(staged)
    commit(rungs, "hidden in a branch")
    git(rungs.root, "checkout", "-q", "main")
    rungs.approve("ann", 1)
    git(rungs.root, "merge", "-q", "--no-ff", "-m", "merge", "feature")
    (entry,) = judged(rungs, base)
    assert entry.refused
