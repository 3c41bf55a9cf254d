"""dev -> staging -> production on a real repository: order, soak, approvals, freezes, emergencies, evidence."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.flows.rungs import RUNGS, Rungs, git, make_rungs

from mainspring.adapters.files.models import ModelStore
from mainspring.adapters.git.commands import GitFailed
from mainspring.app.cluster_run import release_run
from mainspring.app.releases import audit, roll_back
from mainspring.app.watching import present_status
from mainspring.deliver.ports import GATE
from mainspring.deliver.promotion import PromotionRefused
from mainspring.deliver.release import ReleaseRefused, Share
from mainspring.entry.cli.group import run
from mainspring.flows.memory import Waiting, remember
from mainspring.flows.moves import PAPERS
from mainspring.flows.steps.register_model import RUN
from mainspring.kernel.digests import canonical_json, digest_bytes
from mainspring.kernel.errors import MainspringError, NotFound
from mainspring.kernel.events import Draft
from mainspring.kernel.failpoints import _KILLED
from mainspring.kernel.times import HOUR, format_time
from mainspring.security.keys import key_id, new_key, public_of
from mainspring.security.signing import SignatureRefused

pytestmark = pytest.mark.slow


@pytest.fixture
def rungs(tmp_path: Path) -> Rungs:
    return make_rungs(tmp_path / "small")


def evidence(rungs: Rungs, environment: str, digest: str) -> dict[str, object]:
    place = f"main:environments/{environment}/evidence/{digest.removeprefix('sha256:')[:12]}.json"
    found: dict[str, object] = json.loads(git(rungs.root, "show", place))["evidence"]
    return found


def test_a_version_goes_up_the_rungs_as_the_digest_that_was_tested(rungs: Rungs) -> None:
    digest = rungs.soaked(1)
    rungs.approve("ann", 1)
    rungs.approve("bob", digest)
    moved = rungs.promote("production")
    assert moved.release.champion.digest == digest
    told = moved.event.body if moved.event else {}
    assert told["approved_by"] == "ann, bob"
    assert told["from"].startswith("staging ")
    facts = evidence(rungs, "production", digest)
    assert (facts["digest"], facts["approved_by"], facts["emergency"]) == (digest, ["ann", "bob"], "")
    assert facts["gate"]["verdict"]["passed"] is True  # type: ignore[index]
    assert facts["from"]["environment"] == "staging"  # type: ignore[index]
    last = rungs.at("production").releases.log("production")[0]
    data = git(rungs.root, "show", f"main:environments/production/evidence/{digest[7:19]}.json")
    assert last.trailers[PAPERS["evidence"]] == digest_bytes(data.encode())
    assert git(rungs.root, "status", "--porcelain") == ""
    for environment in ("dev", "staging", "production"):
        report = audit(rungs.at(environment))
        assert [problem.what for problem in report.problems if environment in problem.what] == []


def test_a_rung_cannot_be_skipped(rungs: Rungs) -> None:
    rungs.model(1)
    with pytest.raises(PromotionRefused, match="version 1 is not the champion of dev: nothing serves there yet"):
        rungs.promote("staging", 1)
    with pytest.raises(PromotionRefused, match="nothing serves in staging yet"):
        rungs.promote("production")
    rungs.promote("dev", 1)
    with pytest.raises(PromotionRefused, match="production is entered from staging, not from dev"):
        rungs.promote("production", came_from="dev")
    with pytest.raises(PromotionRefused, match="no environment stands before dev"):
        rungs.promote("dev")
    with pytest.raises(NotFound, match="no environment 'prod'"):
        rungs.promote("prod", 1)


def test_a_version_on_trial_was_not_tested_yet(rungs: Rungs) -> None:
    for number in (1, 2):
        rungs.model(number)
    rungs.promote("dev", 1)
    rungs.trial("dev", 2)
    with pytest.raises(PromotionRefused, match="version 2 is not the champion of dev: version 1 answers there"):
        rungs.promote("staging", 2)


def test_soak_is_waited_for_and_said_to_the_second(rungs: Rungs) -> None:
    rungs.soaked(1)
    rungs.approve("ann", 1)
    rungs.approve("bob", 1)
    rungs.clock.at -= HOUR
    with pytest.raises(PromotionRefused, match=f"less than 2d: wait until {format_time(rungs.clock.at + HOUR)}"):
        rungs.promote("production")
    rungs.clock.at += HOUR
    assert rungs.promote("production").changed


@pytest.mark.parametrize(
    ("body", "what"),
    [({"signals": ["quality"], "faults": []}, "lost quality"), ({"signals": [], "faults": ["size is empty"]}, "size")],
)
def test_a_sick_version_stays_where_it_is(rungs: Rungs, body: dict[str, object], what: str) -> None:
    digest = rungs.soaked(1)
    for who in ("ann", "bob"):
        rungs.approve(who, 1)
    ledger = rungs.at("staging").ledger
    ledger.append([Draft(kind="window.judged", subject=digest, actor="watch", body=body)], at=rungs.clock.at)
    with pytest.raises(PromotionRefused, match=what):
        rungs.promote("production")
    well = {"signals": ["output_drift"], "faults": []}
    ledger.append([Draft(kind="window.judged", subject=digest, actor="watch", body=well)], at=rungs.clock.at)
    elsewhere = {**body, "environment": "production"}
    ledger.append([Draft(kind="window.judged", subject=digest, actor="watch", body=elsewhere)], at=rungs.clock.at)
    assert rungs.promote("production").changed
    assert evidence(rungs, "production", digest)["from"]["windows"] == 2  # type: ignore[index]


def test_approvals_are_counted_by_person_and_not_twice(rungs: Rungs) -> None:
    rungs.soaked(1)
    with pytest.raises(PromotionRefused, match=r"0 of 2 approvals: mainspring approve 1 --env production"):
        rungs.promote("production")
    first = rungs.approve("ann", 1)
    again = rungs.approve("ann", 1)
    assert (first.changed, again.changed, again.commit) == (True, False, first.commit)
    with pytest.raises(PromotionRefused, match=r"1 of 2 approvals \(of ann\)"):
        rungs.promote("production")
    assert rungs.approve("cat", 1).names == ("ann", "cat")
    assert rungs.promote("production").changed
    events = rungs.at("production").ledger.read(kind="promotion.approved")
    assert [event.body["approver"] for event in events] == ["ann", "cat"]


def test_who_trained_or_promotes_does_not_approve(rungs: Rungs) -> None:
    rungs.soaked(1)
    own = rungs.root / "environments" / "production" / "approvers" / "dan.pem"
    own.write_bytes(public_of(rungs.at("local").keys.signing_key()))
    (own.parent / f"{rungs.at('local').actor.removeprefix('user:')}.pem").write_bytes(public_of(rungs.keys["cat"]))
    (own.parent / "cat.pem").unlink()
    git(rungs.root, "add", "-A")
    git(rungs.root, "commit", "-qm", "more approvers")
    rungs.keys["dan"] = rungs.at("local").keys.signing_key()
    for who in ("ann", "dan", "cat"):  # dan's key signed the model and promotes; cat's file bears the promoter's name
        rungs.approve(who, 1)
    with pytest.raises(PromotionRefused, match=r"1 of 2 approvals \(of ann\)"):
        rungs.promote("production")


def test_an_approval_is_of_one_digest_one_environment_and_ends(rungs: Rungs) -> None:
    rungs.soaked(1)
    rungs.approve("ann", 1, lasts=HOUR)
    rungs.approve("bob", 1)
    rungs.clock.at += HOUR
    with pytest.raises(PromotionRefused, match=r"1 of 2 approvals \(of bob\)"):
        rungs.promote("production")
    assert rungs.approve("ann", 1).changed  # it had ended
    assert rungs.promote("production").changed


def test_a_roll_back_makes_old_approvals_void(rungs: Rungs) -> None:
    for number in (1, 2):
        rungs.soaked(number)
        for who in ("ann", "bob"):
            rungs.approve(who, number)
        rungs.promote("production")
    roll_back(rungs.at("production"), "it was bad")
    with pytest.raises(PromotionRefused, match="0 of 2 approvals"):
        rungs.promote("production", 2)
    assert rungs.approve("ann", 2).approval.entry == 2
    rungs.approve("bob", 2)
    assert rungs.promote("production", 2).changed


def test_a_stranger_cannot_approve_and_a_forged_approval_does_not_count(rungs: Rungs) -> None:
    digest = rungs.soaked(1)
    rungs.keys["eve"] = new_key()
    with pytest.raises(PromotionRefused, match="is not an approver's of production"):
        rungs.approve("eve", 1)
    rungs.approve("ann", 1)
    folder = rungs.root / "environments" / "production" / "approvals"
    (mine,) = folder.iterdir()
    signed = json.loads(mine.read_bytes())
    signed["key"] = key_id(public_of(rungs.keys["bob"]))
    (folder / f"{digest[7:19]}-{signed['key'][:12]}.json").write_text(json.dumps(signed))
    (folder / f"{digest[7:19]}-junk.json").write_text("{")
    git(rungs.root, "add", "-A")
    git(rungs.root, "commit", "-qm", "forged")
    with pytest.raises(PromotionRefused, match="signature does not hold") as caught:
        rungs.promote("production")
    assert "1 of 2 approvals" in caught.value.what
    assert "junk.json does not count: it cannot be read" in caught.value.what


def test_a_freeze_says_when_it_ends_and_why(rungs: Rungs) -> None:
    rungs.soaked(1)
    for who in ("ann", "bob"):
        rungs.approve(who, 1)
    while not rungs.at("production").settings.environments["production"].freezes[0].until(rungs.clock.at):
        rungs.clock.at += HOUR
    with pytest.raises(PromotionRefused, match=r"frozen until \d{4}-\d\d-\d\dT08:00:00Z: nobody is there"):
        rungs.promote("production")


def test_a_candidate_of_a_workflow_that_a_freeze_keeps_out_waits_for_the_watch(tmp_path: Path) -> None:
    freeze = "{from: fri 16:00, to: fri 15:59, reason: always}"
    rungs = make_rungs(tmp_path / "small", f"environments: {{local: {{}}, dev: {{freeze: [{freeze}]}}}}\n")
    digest, at = rungs.model(1), rungs.at("dev")
    body = {"version": 1, "digest": digest, "passed": True, "reason": "drift"}
    drafts = [Draft(kind=kind, subject="run:r1", actor="workflow", run="r1", body=body)
              for kind in ("run.started", "run.finished")]  # fmt: skip
    done = at.ledger.append(drafts, at=rungs.clock.at)[-1]
    for _ in range(2):  # a pod may be repeated
        version, began, why = release_run(at, "r1")
        assert (version, began) == (1, False)
        assert ": always" in why
    (told,) = at.ledger.read(kind="promotion.refused")
    assert (told.actor, told.run, told.cause, told.body["frozen"]) == ("workflow", "r1", (done.seq,), True)
    assert remember(at.ledger, "dev").waiting == Waiting(run="r1", version=1, cause=(done.seq,))


def test_an_emergency_skips_the_rules_on_record_and_never_a_signature_or_a_gate(rungs: Rungs) -> None:
    digest = rungs.model(1)
    moved = rungs.promote("production", 1, emergency="the old model\nis down")
    assert moved.event is not None
    assert moved.event.body["emergency"] == "the old model is down"
    facts = evidence(rungs, "production", digest)
    assert facts["emergency"] == "the old model\nis down"
    skipped = [what[:20] for what in facts["skipped"]]  # type: ignore[attr-defined]
    assert skipped == ["version 1 is not the", "it has 0 of 2 approv", "production is frozen"]
    last = rungs.at("production").releases.log("production")[0]
    assert last.trailers["Mainspring-Emergency"] == "the old model is down"
    failed = rungs.model(2, passed=False)
    with pytest.raises(ReleaseRefused, match="did not pass its gate"):
        rungs.promote("production", 2, emergency="now")
    models = ModelStore(rungs.root / ".mainspring" / "models")
    models.attest(failed, GATE, b'{"passed": true}')
    models.attest(failed, "model.sig", b"{}")
    with pytest.raises(SignatureRefused):
        rungs.promote("production", 2, emergency="now")


def test_the_first_version_of_an_environment_needs_its_gate_as_any_other(rungs: Rungs) -> None:
    failed, imported = rungs.model(1, passed=False), rungs.model(2, passed=None)
    for environment in ("local", "dev", "production"):
        with pytest.raises(ReleaseRefused, match="version 1 did not pass its gate"):
            rungs.promote(environment, failed, emergency="now" if environment == "production" else "")
    with pytest.raises(PromotionRefused, match="version 2 was not judged by a gate"):
        rungs.promote("dev", imported)
    assert rungs.at("dev").releases.read("dev")[0] is None
    moved = rungs.promote("dev", imported, emergency="it is all that we have")
    assert moved.event is not None
    assert evidence(rungs, "dev", imported)["skipped"] == ["version 2 was not judged by a gate"]
    with pytest.raises(PromotionRefused, match="version 2 was not judged by a gate"):
        rungs.promote("staging")
    assert rungs.promote("local", imported).changed  # on one's own machine, to try it


def test_what_nobody_can_see_again_goes_no_further_than_the_first_rung(rungs: Rungs) -> None:
    digest = rungs.model(1)
    made = {"id": "r1", "commit": "c" * 40, "dirty": True}
    rungs.at("local").models.attest(digest, RUN, canonical_json(made))
    rungs.promote("dev", 1)
    with pytest.raises(PromotionRefused, match="version 1 was made from a dirty work tree: commit the code"):
        rungs.promote("staging")
    moved = rungs.promote("staging", emergency="there is no other")
    assert moved.changed
    assert evidence(rungs, "staging", digest)["made"] == {"run": "r1", "commit": "c" * 40, "dirty": True}


def test_who_promotes_must_be_known(rungs: Rungs) -> None:
    rungs.soaked(1)
    for who in ("ann", "bob"):
        rungs.approve(who, 1)
    rungs.at("local").keys.create()  # type: ignore[attr-defined]
    with pytest.raises(PromotionRefused, match="does not know the key of who promotes"):
        rungs.promote("production")


def test_an_ab_test_needs_a_share_that_leaves_both_some(rungs: Rungs) -> None:
    for number in (1, 2):
        rungs.model(number)
    rungs.promote("dev", 1)
    for share in (Share(100), Share(0), Share(50, 10)):
        with pytest.raises(MainspringError):
            rungs.trial("dev", 2, share)
    trial = rungs.trial("dev", 2, Share(30)).release.challenger
    assert trial is not None
    assert (trial.mode, trial.weight) == ("ab", 30)


def test_nothing_is_asked_of_a_roll_back(rungs: Rungs) -> None:
    for number in (1, 2):
        rungs.model(number)
        rungs.promote("production", number, emergency="tests")
    while not rungs.at("production").settings.environments["production"].freezes[0].until(rungs.clock.at):
        rungs.clock.at += HOUR
    assert roll_back(rungs.at("production"), "down").release.champion.version == 1


def test_status_warns_while_what_skipped_the_rules_serves(rungs: Rungs) -> None:
    for number in (1, 2):
        rungs.model(number)
        rungs.promote("production", number, emergency=f"reason {number}")
    at = rungs.at("production")
    assert present_status(at).emergency == "reason 2"
    roll_back(at, "worse")
    assert present_status(rungs.at("production")).emergency == "reason 1"
    assert present_status(rungs.at("staging")).emergency == ""


def test_every_webhook_is_told_of_an_emergency_and_a_failure_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rungs = make_rungs(tmp_path / "small", f"alerts: {{to: ['secret://env/HOOK', 'secret://env/GONE']}}{RUNGS}")
    rungs.model(1)
    told: list[dict[str, str]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("HOOK", f"http://127.0.0.1:{server.server_port}/secret-path")
        arguments = ["promote", "1", "--to", "production", "--emergency", "the old one is down"]
        assert run(["-C", str(rungs.root), *arguments]) == 0
    (message,) = told
    assert message["text"].startswith("EMERGENCY: user:")
    assert message["text"].endswith("promoted version 1 of small to production: the old one is down")
    shown = capsys.readouterr()
    assert "EMERGENCY, on record: the old one is down" in shown.err
    assert "warning: secret://env/GONE is empty" in shown.err
    assert "secret-path" not in shown.err + shown.out


def test_edits_of_somebody_that_are_not_committed_are_not_passed_by(rungs: Rungs) -> None:
    rungs.soaked(1)
    release = rungs.root / "environments" / "dev" / "release.yaml"
    release.write_text(release.read_text() + "# mine\n")
    head = git(rungs.root, "rev-parse", "main")
    rungs.model(2)
    with pytest.raises(GitFailed, match=r"environments/dev/release\.yaml has edits that are not committed"):
        rungs.promote("dev", 2)
    assert release.read_text().endswith("# mine\n")
    assert git(rungs.root, "rev-parse", "main") == head


def test_environments_with_ledgers_and_stores_of_their_own_get_the_same_digest(tmp_path: Path) -> None:
    def stores(name: str) -> str:
        folder = (tmp_path / name).as_posix()
        return f"stores: {{ledger: 'sqlite:///{folder}.db', models: 'file://{folder}'}}"

    text = f"environments: {{local: {{}}, dev: {{}}, staging: {{{stores('a')}}}, production: {{{stores('b')}}}}}"
    rungs = make_rungs(tmp_path / "small", f"\n{text}\n")
    first, second = rungs.model(1), rungs.model(2)
    rungs.promote("dev", 2)
    assert rungs.promote("staging").release.champion.version == 1  # numbered there, and the same digest
    moved = rungs.promote("production", 1)
    assert (moved.release.champion.digest, first == second) == (second, False)
    for environment in ("staging", "production"):
        at = rungs.at(environment)
        assert at.models.open(second, at.keys.trusted(environment)) == {"contract.json": b"2"}
        assert not at.models.has(first)
        assert json.loads(at.models.evidence(second, GATE) or b"")["passed"] is True
        assert audit(at).problems == ()


def test_approvals_at_once_are_all_kept(rungs: Rungs) -> None:
    rungs.soaked(1)
    with ThreadPoolExecutor(3) as pool:
        said = list(pool.map(lambda who: rungs.approve(who, 1), ("ann", "bob", "cat")))
    assert all(approved.changed for approved in said)
    assert rungs.approve("ann", 1).names == ("ann", "bob", "cat")
    events = rungs.at("production").ledger.read(kind="promotion.approved")
    assert sorted(event.body["approver"] for event in events) == ["ann", "bob", "cat"]


def test_an_approval_killed_before_its_event_is_told_by_asking_again(rungs: Rungs) -> None:
    rungs.soaked(1)
    key = rungs.root.parent / "ann.pem"
    key.write_bytes(rungs.keys["ann"])
    command = [sys.executable, "-m", "mainspring", "-C", str(rungs.root), "approve", "1", "--env", "production"]
    env = os.environ | {"MAINSPRING_FAILPOINT": "ledger.append:kill"}
    for _ in range(2):
        done = subprocess.run([*command, "--key", str(key)], env=env, check=False, timeout=60, capture_output=True)
        assert done.returncode == _KILLED, done.stderr.decode()
    assert rungs.at("production").ledger.read(kind="promotion.approved") == []
    done = subprocess.run([*command, "--key", str(key)], check=False, timeout=60, capture_output=True)
    assert b"nothing to change" in done.stdout, done.stderr.decode()
    (event,) = rungs.at("production").ledger.read(kind="promotion.approved")
    assert event.body["approver"] == "ann"
    assert len(git(rungs.root, "log", "--format=%h", "--", "environments/production/approvals").split()) == 1
