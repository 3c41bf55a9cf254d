"""Look and act: windows, rollouts, retraining over real flows in memory; the ledger tells all that is remembered."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.flows.story import ENVIRONMENT, MODEL, PLAN, START, TICK, Watched, good, reversed_score, silent

from mainspring.deliver import release as rules
from mainspring.deliver.freezes import Freeze
from mainspring.deliver.ports import GATE
from mainspring.deliver.promotion import PromotionRefused
from mainspring.deliver.release import Mode
from mainspring.deliver.rollout import Action
from mainspring.flows import release as moves
from mainspring.flows.checkpoint import last_checkpoint
from mainspring.flows.judge import judge_window
from mainspring.flows.memory import remember, remembered
from mainspring.flows.moves import Admitted, Move
from mainspring.flows.moves import Candidate as Entering
from mainspring.flows.train import TrainResult
from mainspring.flows.watch_ports import Candidate, HandedOver
from mainspring.kernel.errors import Conflict, MainspringError, NotFound, RunFailed
from mainspring.kernel.times import DAY, HOUR, format_time
from mainspring.serve.bandit import Outcomes

WEEK = 28


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_nothing_released_is_nothing_to_judge(watched: Watched) -> None:
    looked = watched.tick()
    assert (looked.release, looked.window, looked.rollout, looked.commit) == (None, None, None, "")
    assert watched.kinds() == []


def test_a_calm_world_is_judged_every_tick_and_nothing_is_done(watched: Watched) -> None:
    watched.begin()
    looked = watched.run(WEEK + 4)
    assert watched.kinds("window.judged") == ["window.judged"] * (WEEK + 4)
    assert watched.kinds("retrain.*") == []
    last = looked[-1].window
    assert last is not None
    assert (last.drift.judged, last.drift.rows, last.drift.output_drifted) == (True, WEEK * 50, False)
    assert last.quality.judged
    assert not last.quality.worse
    body = watched.ledger.read(kind="window.judged")[-1].body
    assert (body["end"], body["signals"], body["faults"]) == (watched.now, [], [])
    assert {cell["name"] for cell in body["columns"]} == {"output", "visit.size", "visit.kind"}


def test_a_window_is_judged_once_the_champion_answered_since_its_first_day(watched: Watched) -> None:
    watched.begin()
    looked = [watched.tick(rows=100 if place % 4 else 0) for place in range(1, WEEK + 1)]  # no one asks at night
    judged = [one.window.drift.judged for one in looked if one.window]
    assert judged == [place > WEEK - 4 for place in range(1, WEEK + 1)]
    assert looked[9].window is not None
    assert looked[9].window.drift.rows == 800  # told all the same


def test_drift_of_the_output_is_a_signal_and_a_fault_is_told_apart(watched: Watched) -> None:
    watched.begin()
    watched.run(WEEK, rows=20)
    for _ in range(WEEK):
        looked = watched.tick(20, shift=0.3)
    assert looked.window is not None
    assert looked.window.signals.output_drift
    assert "output_drift" in watched.ledger.read(kind="window.judged")[-1].body["signals"]
    for _ in range(WEEK):
        looked = watched.tick(20, broken=True)
    assert looked.window is not None
    assert looked.window.signals.faults == ("visit.size: 100% null, above 20%",)


def test_quality_is_of_the_champions_own_rows_once_their_labels_are_due(watched: Watched) -> None:
    first = watched.begin(reversed_score)
    watched.run(WEEK + 4)
    second = watched.make(good)
    window = judge_window(watched.plan, first, watched.ports, now=watched.now)
    delayed = watched.now - 12 * HOUR
    due = watched.observations.matured(delayed - 7 * DAY, delayed, watched.now)
    assert window.quality.rows == len(due["value"]) > 1_000
    assert window.quality.worse
    other = judge_window(watched.plan, second, watched.ports, now=watched.now)
    assert (other.quality.rows, other.quality.judged, other.signals.quality) == (0, False, False)


def test_few_labels_judge_nothing(watched: Watched) -> None:
    watched.begin(reversed_score)
    watched.run(WEEK, rows=10)
    window = judge_window(watched.plan, next(iter(watched.skills)), watched.ports, now=watched.now)
    assert (window.quality.judged, window.quality.worse) == (False, False)
    assert window.draft("none").body["quality"] is None


def test_a_good_challenger_advances_and_becomes_the_champion(watched: Watched) -> None:
    watched.begin()
    second = watched.try_out(good)
    looked = watched.run(20, rows=60)
    actions = [one.rollout.action for one in looked if one.rollout]
    assert actions[0] is Action.ADVANCE
    assert actions[-1] is Action.FINISH
    assert watched.kinds("release.*") == ["release.promoted"] * 2 + ["release.advanced", "release.finished"]
    assert looked[-1].release is not None
    assert looked[-1].release.champion.digest == second
    assert looked[-1].commit == watched.release.files.head(ENVIRONMENT)
    assert watched.memory.trial is None
    judged = watched.ledger.read(kind="rollout.judged")[-1]
    assert watched.ledger.read(kind="release.finished")[0].cause == (judged.seq,)
    assert judged.body["paired"] == {
        "difference": 0.0,
        "low": None,
        "high": None,
        "rows": 60,
    }  # of one day


def test_in_a_freeze_a_challenger_gets_no_more_traffic_but_may_be_aborted(watched: Watched) -> None:
    always = (Freeze(start=0, end=watched.now + 40 * WEEK * DAY, reason="stock-taking"),)
    watched.plan = replace(watched.plan, freezes=always)
    watched.begin()
    watched.try_out(good)
    held = watched.tick().rollout
    assert held is not None
    assert held.action is Action.HOLD
    assert ": stock-taking" in held.reason
    watched.run(8, rows=60)
    assert watched.kinds("release.*") == ["release.promoted"] * 2
    watched.plan = replace(watched.plan, freezes=())
    assert [one.rollout.action for one in watched.run(3, rows=60) if one.rollout][-1] is not Action.HOLD


def test_a_challenger_without_answers_is_aborted_at_once(watched: Watched) -> None:
    first = watched.begin()
    watched.try_out(silent)
    looked = watched.tick()
    assert looked.rollout is not None
    assert looked.rollout.action is Action.ABORT
    assert looked.release is not None
    assert (looked.release.champion.digest, looked.release.challenger) == (first, None)
    assert watched.ledger.read(kind="rollout.judged")[0].body["failed"] == 50


def test_a_worse_challenger_is_aborted_by_matured_quality_alone(watched: Watched) -> None:
    watched.slow()
    watched.begin()
    watched.try_out(reversed_score)
    looked = watched.run(16, rows=120)
    ended = next(one.rollout for one in looked if one.rollout and one.rollout.action is Action.ABORT)
    assert "matured loss is worse" in ended.reason
    assert watched.ledger.read(kind="rollout.judged")[-1].body["failed"] == 0


def test_counts_add_up_over_looks_and_begin_anew_with_a_step(watched: Watched) -> None:
    watched.begin()
    watched.try_out(good)
    watched.now += HOUR
    watched.serve(30)
    watched.look()
    watched.now += HOUR
    watched.serve(15)
    watched.look()
    assert watched.memory.trial is not None
    assert (watched.memory.trial.rows, watched.memory.trial.failed, watched.memory.trial.weight) == (45, 0, 5)
    watched.now = START + TICK
    watched.serve(10)
    watched.look()
    assert watched.memory.trial is not None
    assert (watched.memory.trial.rows, watched.memory.trial.weight) == (0, 100)


def test_a_trial_without_traffic_ends_at_its_deadline(watched: Watched) -> None:
    watched.begin()
    watched.try_out(good)
    looked = watched.run(4, rows=0)
    assert looked[-1].rollout is not None
    assert looked[-1].rollout.action is Action.ABORT
    assert "deadline" in looked[-1].rollout.reason


def test_without_a_challenger_no_rollout_is_judged(watched: Watched) -> None:
    watched.begin()
    assert watched.tick().rollout is None
    assert watched.kinds("rollout.judged") == []


def test_a_second_look_at_the_same_time_does_nothing_new(watched: Watched) -> None:
    watched.begin()
    watched.wants(at=(START + TICK,))
    watched.try_out(good)
    watched.now += HOUR
    watched.serve(5)
    watched.look()
    before = watched.ledger.head()
    again = watched.look()
    assert (again.ingested.rows, again.window, again.retrained) == (0, None, None)
    assert watched.ledger.head() == before
    watched.tick()
    watched.look()
    before, commit = watched.ledger.head(), watched.release.files.head(ENVIRONMENT)
    watched.look()
    assert (watched.ledger.head(), watched.release.files.head(ENVIRONMENT)) == (before, commit)


def test_acting_says_why_then_trains_and_tries_the_candidate(watched: Watched) -> None:
    first = watched.begin()
    watched.wants(at=(START + 2 * TICK,))
    watched.tick()
    looked = watched.tick()
    assert looked.retrained is not None
    assert looked.retrained.result is not None
    assert looked.retrained.decision.reason == f"training: scheduled for {format_time(START + 2 * TICK)}"
    kinds = watched.kinds()
    wanted = ["window.judged", "retrain.started", "run.started", "gate.passed", "run.finished", "release.promoted"]
    assert kinds[-6:] == wanted
    judged, decided, started = watched.ledger.read()[-6:-3]
    assert started.cause == (judged.seq, decided.seq)
    assert started.body["champion"] == first
    assert looked.release is not None
    assert looked.release.challenger is not None
    assert looked.release.challenger.digest == looked.retrained.result.digest
    assert watched.memory.trainings == [watched.now]


def test_a_refused_candidate_is_never_promoted(watched: Watched) -> None:
    first = watched.begin()
    watched.passes = False
    watched.wants(at=(START + TICK,))
    looked = watched.tick()
    assert looked.retrained is not None
    assert looked.retrained.result is not None
    assert looked.release is not None
    assert (looked.release.champion.digest, looked.release.challenger) == (first, None)
    assert watched.kinds("gate.*") == ["gate.refused"]


@pytest.mark.parametrize("error", [RunFailed("the fit failed", fix="look"), NotFound("no snapshot", fix="take one")])
def test_a_failed_training_leaves_the_champion_and_its_reason(watched: Watched, error: MainspringError) -> None:
    first = watched.begin()
    watched.fails = error
    watched.wants(at=(START + TICK,))
    looked = watched.tick()
    assert looked.retrained is not None
    assert looked.retrained.decision.act
    assert looked.retrained.result is None
    assert looked.release is not None
    assert (looked.release.champion.digest, looked.release.challenger) == (first, None)
    (failed,) = watched.ledger.read(kind="run.failed")
    assert failed.body["what"] == error.what
    assert watched.memory == remember(watched.ledger, ENVIRONMENT)


def test_a_decision_that_something_forbids_is_written_down(watched: Watched) -> None:
    watched.begin()
    watched.wants(every=TICK, min_new_labels=1_000)
    watched.tick()
    (declined,) = watched.ledger.read(kind="retrain.declined")
    assert declined.body["blocked_by"] == "labels"
    assert declined.body["trigger"] == "schedule"
    assert "of 1000 new labels" in declined.body["reason"]
    assert watched.ledger.read(kind="window.judged")[-1].body["decision"] == declined.body["reason"]


def test_a_training_that_others_do_is_decided_and_is_no_failure(watched: Watched) -> None:
    def hand_over(asked: Candidate) -> TrainResult:
        wanted.append(asked)
        raise HandedOver

    wanted: list[Candidate] = []
    first = watched.begin()
    watched.ports = replace(watched.ports, train=hand_over)
    watched.wants(at=(START + TICK,))
    looked = watched.tick()
    assert looked.retrained is not None
    assert (looked.retrained.decision.act, looked.retrained.result) == (True, None)
    assert [(asked.champion, asked.reason) for asked in wanted] == [(first, looked.retrained.decision.reason)]
    assert watched.kinds()[-2:] == ["window.judged", "retrain.started"]


def test_a_model_on_trial_blocks_another_training(watched: Watched) -> None:
    watched.begin()
    watched.wants(every=TICK)
    watched.try_out(good)
    watched.tick(rows=10)
    assert watched.kinds("run.started") == []
    assert watched.ledger.read(kind="retrain.declined")[-1].body["blocked_by"] == "running"


def test_output_drift_persists_before_it_retrains(watched: Watched) -> None:
    watched.begin()
    watched.wants(when=("output_drift",), persist=(2, 3), cooldown=30 * DAY)
    watched.run(WEEK, rows=20)
    for _ in range(WEEK):
        watched.tick(20, shift=0.3)
    stops = [event.body["blocked_by"] for event in watched.ledger.read(kind="retrain.declined")]
    assert stops[0] == "persistence"
    assert set(stops[1:]) <= {"persistence", "running", "cooldown"}
    assert watched.kinds("run.started") == ["run.started"]


def test_a_move_that_others_made_is_learnt(watched: Watched) -> None:
    watched.begin()
    watched.tick()
    digest = watched.make(good)
    moves.promote(watched.move("by hand"), digest, watched.release, plan=watched.plan.rollout)
    looked = watched.tick(rows=60)
    assert looked.rollout is not None
    assert looked.rollout.action is Action.ADVANCE
    moves.rollback(watched.move("by hand"), watched.release)
    watched.tick()
    assert watched.memory.trial is None


def test_a_promotion_that_was_killed_before_its_event_is_completed(watched: Watched) -> None:
    watched.begin()
    digest = watched.make(good)
    whole = watched.ledger.head()[0]
    moves.promote(watched.move("killed"), digest, watched.release, plan=watched.plan.rollout)
    del watched.ledger._events[whole:]  # the process died between the commit and the event
    watched.tick(rows=60)
    assert watched.kinds("release.*") == ["release.promoted", "release.promoted"]
    looked = watched.tick(rows=60)
    assert looked.rollout is not None
    assert looked.rollout.action is Action.ADVANCE


def killed_before_the_trial(watched: Watched) -> TrainResult:
    """Train as a watch does and end there, as a process that is killed before it promotes; a new watcher starts."""
    release, _ = watched.release.files.read(ENVIRONMENT)
    champion = release.champion.digest if release else ""
    asked = Candidate(at=watched.now, champion=champion, reason="training: quality", cause=(), params={})
    result = watched.ports.train(asked)
    watched.memory = remember(watched.ledger, ENVIRONMENT)
    return result


def test_a_candidate_whose_watcher_died_before_its_trial_is_tried_by_the_next_one(watched: Watched) -> None:
    watched.begin()
    watched.wants(every=2 * TICK)
    watched.tick()
    result = killed_before_the_trial(watched)
    assert watched.memory.pending == result.run.id
    looked = watched.tick()
    assert looked.release is not None
    assert looked.release.challenger is not None
    assert looked.release.challenger.digest == result.digest
    (moved,) = watched.ledger.read(kind="release.promoted", run=result.run.id)
    assert moved.cause == (result.event.seq,)
    assert watched.kinds("run.started") == ["run.started"]  # it did not train again
    watched.memory = remember(watched.ledger, ENVIRONMENT)
    assert watched.memory.pending == ""


def test_a_training_cut_short_before_its_verdict_is_told_when_it_cannot_go_on(watched: Watched) -> None:
    watched.begin()
    watched.tick()
    result = killed_before_the_trial(watched)
    del watched.results[result.run.id], watched.ledger._events[result.event.seq - 1 :]
    watched.memory = remember(watched.ledger, ENVIRONMENT)
    watched.tick()
    (told,) = watched.ledger.read(kind="retrain.declined", run=result.run.id)
    assert told.body["blocked_by"] == "interrupted"
    assert told.body["reason"] == "a training that was cut short goes no further: no run is called 'r2'"
    assert remember(watched.ledger, ENVIRONMENT).pending == ""


@pytest.mark.parametrize(
    ("at_once", "why"),
    [(False, "version 3 is on trial"), (True, "it was compared with a champion that no longer answers")],
)
def test_a_candidate_that_others_overtook_is_not_tried_and_says_why(
    watched: Watched, *, at_once: bool, why: str
) -> None:
    watched.begin()
    watched.tick()
    result = killed_before_the_trial(watched)
    digest = watched.make(good)
    moves.promote(
        watched.move("by hand"), digest, watched.release, plan=watched.plan.rollout, mode=None if at_once else "canary"
    )
    watched.tick()
    (told,) = watched.ledger.read(kind="retrain.declined", run=result.run.id)
    assert told.body["reason"].endswith(why)
    assert result.digest not in str(watched.release.files.read(ENVIRONMENT)[0])


def behind_a_freeze(watched: Watched, *, frozen: bool = True) -> TrainResult:
    """Train a candidate that the door refuses: for a freeze alone, or also for other reasons."""

    def admit(move: Move, candidate: Entering) -> Admitted:
        if not frozen or watched.plan.freezes:
            raise PromotionRefused("it may not enter", fix="wait", frozen=frozen)
        return Admitted()

    watched.begin()
    watched.ports = replace(watched.ports, release=replace(watched.release, admit=admit))
    end = watched.now + 9 * TICK
    watched.plan = replace(watched.plan, freezes=(Freeze(start=0, end=end, reason="nobody is there"),))
    watched.wants(at=(START + TICK,))
    looked = watched.tick()
    assert looked.retrained is not None
    assert looked.retrained.result is not None
    assert watched.kinds()[-1] == "promotion.refused"
    return looked.retrained.result


def thaw(watched: Watched) -> None:
    watched.plan = replace(watched.plan, freezes=())


@pytest.mark.parametrize("forgetful", [False, True])
def test_a_candidate_that_a_freeze_kept_out_is_tried_when_it_is_over(watched: Watched, *, forgetful: bool) -> None:
    result = behind_a_freeze(watched)
    for place in range(4):
        if place == 2:
            thaw(watched)
        if forgetful:
            watched.memory = remember(watched.ledger, ENVIRONMENT)
        looked = watched.tick(rows=10)
        assert (looked.release is not None and looked.release.challenger is not None) == (place >= 2)
        assert watched.memory == remember(watched.ledger, ENVIRONMENT)
    (moved,) = watched.ledger.read(kind="release.promoted", run=result.run.id)
    assert (moved.cause, moved.body["challenger"]["digest"]) == ((result.event.seq,), result.digest)
    assert moved.body["reason"] == result.run.reason
    assert watched.kinds("promotion.refused") == ["promotion.refused"]  # told once, however many looks
    assert watched.kinds("run.started") == ["run.started"]
    assert watched.memory.waiting is None


def test_a_candidate_that_became_stale_in_a_freeze_says_so(watched: Watched) -> None:
    result = behind_a_freeze(watched)
    thaw(watched)
    moves.promote(watched.move("by hand"), watched.make(good), watched.ports.release, plan=PLAN, mode=None)
    looked = watched.tick()
    assert looked.release is not None
    assert looked.release.challenger is None
    (told,) = watched.ledger.read(kind="retrain.declined", run=result.run.id)
    assert told.body["blocked_by"] == "frozen"
    assert told.body["reason"].endswith("it was compared with a champion that no longer answers")
    watched.tick()
    assert len(watched.ledger.read(kind="retrain.declined", run=result.run.id)) == 1
    assert watched.memory == remember(watched.ledger, ENVIRONMENT)


def test_a_candidate_that_waits_while_others_are_tried_is_kept(watched: Watched) -> None:
    result = behind_a_freeze(watched)
    thaw(watched)
    moves.promote(watched.move("by hand"), watched.make(silent), watched.ports.release, plan=PLAN)
    assert watched.tick().release is not None  # the one by hand is aborted, having answered nothing
    looked = watched.tick(rows=10)
    assert looked.release is not None
    assert looked.release.challenger is not None
    assert looked.release.challenger.digest == result.digest


def test_a_candidate_that_people_must_let_in_is_left_to_them(watched: Watched) -> None:
    result = behind_a_freeze(watched, frozen=False)
    thaw(watched)
    watched.memory = remember(watched.ledger, ENVIRONMENT)
    assert (watched.memory.pending, watched.memory.waiting) == ("", None)
    watched.run(2)
    assert watched.kinds("promotion.refused") == ["promotion.refused"]
    assert watched.ledger.read(kind="retrain.declined", run=result.run.id) == []


def test_a_remote_that_is_down_when_the_freeze_ends_is_asked_again_by_the_next_look(watched: Watched) -> None:
    result = behind_a_freeze(watched)
    thaw(watched)
    working = watched.ports

    def down(move: Move, candidate: Entering) -> Admitted:
        raise Conflict("the remote cannot be read", fix="try again")

    watched.ports = replace(working, release=replace(working.release, admit=down))
    with pytest.raises(Conflict):
        watched.tick()
    watched.ports = working
    watched.memory = remember(watched.ledger, ENVIRONMENT)
    looked = watched.look()
    assert looked.release is not None
    assert looked.release.challenger is not None
    assert looked.release.challenger.digest == result.digest


def test_a_candidate_whose_model_is_gone_when_the_freeze_ends_is_declined(watched: Watched) -> None:
    result = behind_a_freeze(watched)
    thaw(watched)
    watched.release.models.attest(result.digest, GATE, b'{"passed": false}')
    watched.tick()
    (told,) = watched.ledger.read(kind="retrain.declined", run=result.run.id)
    assert told.body["reason"].endswith("did not pass its gate")


def test_a_refused_candidate_leaves_nothing_pending(watched: Watched) -> None:
    watched.begin()
    watched.passes = False
    killed_before_the_trial(watched)
    assert watched.memory.pending == ""


def test_an_edit_committed_by_hand_is_told_to_the_ledger_by_the_next_look(watched: Watched) -> None:
    watched.begin()
    watched.tick()
    digest = watched.make(good)
    release, head = watched.release.files.read(ENVIRONMENT)
    assert release is not None
    edited = rules.promote(release, MODEL, 2, digest, None)
    commit = watched.release.files.write(ENVIRONMENT, edited, expected=head, message="by hand", trailers={})
    watched.tick()
    (told,) = watched.ledger.read(kind="release.edited")
    assert (told.actor, told.body["commit"], told.body["champion"]["digest"]) == ("git", commit, digest)
    watched.tick()
    assert len(watched.ledger.read(kind="release.edited")) == 1
    assert watched.memory == remember(watched.ledger, ENVIRONMENT)


def test_every_look_signs_where_the_ledger_ends(watched: Watched) -> None:
    watched.begin()
    watched.run(3)
    data = watched.release.checkpoints.read(ENVIRONMENT)
    assert data is not None
    found = last_checkpoint(ENVIRONMENT, data, watched.release.keys)
    assert (found.seq, found.hash) == watched.ledger.head()
    del watched.ledger._events[-2:]
    watched.look()
    assert watched.release.checkpoints.read(ENVIRONMENT) == data  # the evidence of a longer ledger stays


def test_a_watcher_that_was_killed_goes_on_the_same() -> None:
    stories = []
    for forgetful in (False, True):
        watched = Watched()
        watched.slow()
        watched.begin()
        watched.wants(every=2 * DAY, min_new_labels=100)
        for tick in range(30):
            watched.next_skill = reversed_score if tick < 12 else good
            if forgetful:
                watched.memory = remember(watched.ledger, ENVIRONMENT)
            watched.tick(rows=60)
        stories.append(watched)
    assert stories[0].ledger.head() == stories[1].ledger.head()
    assert {"release.aborted", "release.finished"} <= set(stories[0].kinds())


STEP = st.tuples(
    st.sampled_from([0, 0, 5, 40, 80]), st.sampled_from([0.0, 0.3]),
    st.sampled_from(["", "", "refuse", "fail", "none"]),
    st.sampled_from([good, reversed_score, silent]), st.sampled_from([TICK, TICK, HOUR]),
)  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(steps=st.lists(STEP, min_size=1, max_size=12), every=st.sampled_from([TICK, 3 * TICK]))
def test_what_the_ledger_remembers_is_what_the_watcher_kept(
    steps: list[tuple[int, float, str, object, int]], every: int
) -> None:
    watched = Watched()
    watched.begin()
    watched.wants(every=every, cooldown=2 * TICK, budget=(3, 20 * TICK))
    for rows, shift, fate, skill, passing in steps:
        watched.passes, watched.next_skill = fate != "refuse", skill  # type: ignore[assignment]
        failures = {"fail": RunFailed("it failed", fix="look"), "none": NotFound("no data", fix="look")}
        watched.fails = failures.get(fate)
        watched.now += passing
        watched.serve(rows, shift=shift)
        watched.look()
        assert watched.memory == remembered(watched.ledger.read(), ENVIRONMENT)


def test_other_environments_are_not_remembered(watched: Watched) -> None:
    watched.begin()
    elsewhere = replace(watched.move("elsewhere"), environment="staging")
    digest = watched.make(good)
    moves.promote(elsewhere, 1, watched.release, plan=watched.plan.rollout)
    moves.promote(elsewhere, digest, watched.release, plan=watched.plan.rollout)
    assert remember(watched.ledger, ENVIRONMENT).trial is None
    trial = remember(watched.ledger, "staging").trial
    assert trial is not None
    assert trial.digest == digest


def test_the_score_that_paired_quality_reads_is_finite(watched: Watched) -> None:
    watched.begin()
    watched.try_out(good)
    watched.run(6)
    for event in watched.ledger.read(kind="rollout.judged"):
        paired = event.body["paired"]
        assert paired is None or np.isfinite(paired["difference"])


@pytest.mark.parametrize("mode", ["ab", "bandit"])
def test_an_ab_test_and_a_bandit_keep_their_weights_and_a_bandit_is_told_what_came_true(
    watched: Watched, mode: Mode
) -> None:
    told: list[Mapping[str, Outcomes]] = []
    watched.ports = replace(watched.ports, reward=told.append)
    first = watched.begin()
    second = watched.make(reversed_score if mode == "bandit" else good)
    moved = moves.promote(watched.move("a test"), second, watched.release, plan=watched.plan.rollout, mode=mode)
    assert moved.event is not None
    watched.memory.released(moved.event)
    looked = watched.run(3, rows=60)
    assert {one.rollout.action for one in looked if one.rollout} == {Action.HOLD}
    release = looked[-1].release
    assert release is not None
    assert release.challenger is not None
    assert (release.challenger.mode, release.challenger.weight) == (mode, watched.plan.rollout.steps[0])
    assert bool(told) == (mode == "bandit")
    if told:
        outcomes = told[-1]
        assert outcomes[first].right + outcomes[first].wrong == outcomes[second].right + outcomes[second].wrong > 0
        assert outcomes[first].right > outcomes[second].right


def test_a_broken_bandit_is_aborted(watched: Watched) -> None:
    watched.begin()
    digest = watched.make(silent)
    moved = moves.promote(watched.move("a test"), digest, watched.release, plan=watched.plan.rollout, mode="bandit")
    assert moved.event is not None
    watched.memory.released(moved.event)
    looked = watched.tick()
    assert looked.rollout is not None
    assert looked.rollout.action is Action.ABORT
