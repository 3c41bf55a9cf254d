"""The retrain policy: every trigger, everything that forbids, and a storm in virtual time."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.kernel.times import DAY, HOUR, MINUTE
from mainspring.observe.plans import RetrainPolicy
from mainspring.observe.policy import Asked, History, RetrainDecision, Signals, decide, weigh

POLICY = RetrainPolicy(
    when=("output_drift", "quality"), persist=(2, 3), cooldown=14 * DAY, min_new_labels=5000, budget=(6, 30 * DAY)
)
NOW = 100 * DAY


def windows(*shown: bool) -> tuple[Signals, ...]:
    """Return earlier windows, the last of them 6 h ago."""
    return tuple(Signals(at=NOW - (len(shown) - n) * 6 * HOUR, output_drift=yes) for n, yes in enumerate(shown))


DRIFT = Signals(at=NOW, output_drift=True)
READY = History(since=0, windows=windows(False, True), new_labels=9000)


def changed(**fields: object) -> History:
    return dataclasses.replace(READY, **fields)  # type: ignore[arg-type]


def test_a_persistent_signal_trains_with_its_reason() -> None:
    found = decide(POLICY, READY, DRIFT, NOW)
    assert (found.act, found.trigger, found.stopped_by) == (True, "output_drift", "")
    assert found.reason == "training: output_drift in 2 of the last 3 windows (2 of 3 needed)"


@pytest.mark.parametrize(
    ("history", "signals", "stopped_by", "words"),
    [
        (READY, Signals(at=NOW), "no_signal", "watching output_drift, quality"),
        (changed(windows=windows(False, False)), DRIFT, "persistence", "1 of the last 3"),
        (changed(windows=()), DRIFT, "persistence", "1 of the last 1"),
        (READY, Signals(at=NOW, output_drift=True, faults=("wind: 40% null",)), "data_fault", "wind: 40% null"),
        (changed(running=True), DRIFT, "running", "is running"),
        (changed(trainings=(NOW - 13 * DAY,), windows=windows(True, True)), DRIFT, "cooldown", "14d"),
        (changed(new_labels=4999), DRIFT, "labels", "4999 of 5000"),
        (changed(trainings=tuple(NOW - 20 * DAY - n for n in range(6, 0, -1))), DRIFT, "budget", "6 of 6 runs in 30d"),
    ],
)
def test_what_forbids_a_training_is_named(history: History, signals: Signals, stopped_by: str, words: str) -> None:
    found = decide(POLICY, history, signals, NOW)
    assert not found.act
    assert found.stopped_by == stopped_by
    assert words in found.reason


def test_quality_with_a_data_fault_is_blocked_too() -> None:
    shown = tuple(dataclasses.replace(window, quality=True) for window in READY.windows)
    found = decide(POLICY, changed(windows=shown), Signals(at=NOW, quality=True, faults=("x: new",)), NOW)
    assert (found.act, found.trigger, found.stopped_by) == (False, "quality", "data_fault")


def test_input_drift_alone_is_not_even_a_word_of_the_policy() -> None:
    assert {field.name for field in dataclasses.fields(Signals)} == {"at", "output_drift", "quality", "faults"}


def test_windows_from_before_the_last_training_do_not_count() -> None:
    history = changed(trainings=(NOW - 15 * DAY,), windows=windows(True))
    assert decide(POLICY, history, DRIFT, NOW).act
    older = tuple(dataclasses.replace(window, at=NOW - 16 * DAY) for window in history.windows)
    assert decide(POLICY, dataclasses.replace(history, windows=older), DRIFT, NOW).stopped_by == "persistence"


def test_a_fixed_schedule_is_due_once() -> None:
    monthly = RetrainPolicy(at=(30 * DAY, 60 * DAY))
    quiet = Signals(at=NOW)
    assert not decide(monthly, History(since=0), quiet, 30 * DAY - 1).act
    assert decide(monthly, History(since=0), quiet, 30 * DAY).act
    assert not decide(monthly, History(since=0, trainings=(30 * DAY,)), quiet, 60 * DAY - 1).act
    late = decide(monthly, History(since=0, trainings=(30 * DAY,)), quiet, 60 * DAY + HOUR)
    assert (late.act, late.trigger) == (True, "schedule")
    assert not decide(monthly, History(since=70 * DAY), quiet, 80 * DAY).act
    assert "only the schedule" in decide(monthly, History(since=70 * DAY), quiet, 80 * DAY).reason


def test_an_interval_counts_from_the_last_training_by_any_trigger() -> None:
    every = RetrainPolicy(every=7 * DAY)
    assert not decide(every, History(since=0), Signals(at=1), 7 * DAY - 1).act
    assert decide(every, History(since=0), Signals(at=1), 7 * DAY).act
    assert not decide(every, History(since=0, trainings=(3 * DAY,)), Signals(at=1), 7 * DAY).act


def test_never_means_never() -> None:
    assert (
        decide(RetrainPolicy(), READY, Signals(at=NOW, output_drift=True, quality=True), NOW).stopped_by == "no_signal"
    )


signals = st.builds(
    Signals, at=st.just(NOW), output_drift=st.booleans(), quality=st.booleans(), faults=st.sampled_from([(), ("x",)])
)
histories = st.builds(
    History,
    since=st.just(0),
    windows=st.lists(st.booleans(), max_size=5).map(lambda shown: windows(*shown)),
    trainings=st.lists(st.integers(0, NOW), max_size=8).map(lambda moments: tuple(sorted(moments))),
    running=st.booleans(),
    new_labels=st.integers(0, 10_000),
)


@given(histories, signals)
def test_acting_breaks_no_rule(history: History, shown: Signals) -> None:
    found = decide(POLICY, history, shown, NOW)
    assert found.reason
    assert found.act == (found.stopped_by == "")
    if found.act:
        assert not history.running
        assert not shown.faults
        assert shown.output_drift or shown.quality
        assert history.new_labels >= 5000
        assert all(NOW - started >= 14 * DAY for started in history.trainings)
        assert sum(NOW - started < 30 * DAY for started in history.trainings) < 6


@given(histories, signals)
def test_a_worse_signal_never_turns_acting_into_waiting(history: History, shown: Signals) -> None:
    louder = dataclasses.replace(shown, output_drift=True, quality=True)
    assert decide(POLICY, history, louder, NOW).act >= decide(POLICY, history, shown, NOW).act


def test_a_storm_of_alarms_trains_within_its_rules() -> None:
    """F20: an alarm every minute for an hour, then for 60 days every 6 h, 20 models."""
    quick = dataclasses.replace(POLICY, cooldown=20 * MINUTE, budget=(2, HOUR), persist=(1, 1))
    for model in range(20):
        trainings: list[int] = []
        finished = 0
        decisions: list[RetrainDecision] = []
        for minute in range(60):
            now = NOW + minute * MINUTE
            running = now < finished
            history = History(since=0, trainings=tuple(trainings), running=running, new_labels=9000)
            decisions.append(decide(quick, history, Signals(at=now, output_drift=True), now))
            if decisions[-1].act:
                assert not running
                trainings.append(now)
                finished = now + (5 + model) * MINUTE
        assert len(trainings) == 2
        assert trainings[1] - trainings[0] >= 20 * MINUTE
        assert {one.stopped_by for one in decisions} == {"", "running", "cooldown", "budget"} - (
            {"cooldown"} if 5 + model >= 20 else set()
        )


ALERT = Asked(trigger="alert", reason="alert OutputDrift", since=NOW - HOUR)


@pytest.mark.parametrize(
    ("history", "signals", "stopped_by", "words"),
    [
        (READY, Signals(at=NOW), "no_signal", "alert OutputDrift; not trained: no signal"),  # judged since: it is over
        (changed(windows=windows(False, False)), DRIFT, "persistence", "1 of the last 3"),
        (READY, Signals(at=NOW, output_drift=True, faults=("wind: 40% null",)), "data_fault", "wind: 40% null"),
        (changed(running=True), DRIFT, "running", "is running"),
        (changed(trainings=(NOW - 13 * DAY,), windows=windows(True, True)), DRIFT, "cooldown", "14d"),
        (changed(new_labels=4999), DRIFT, "labels", "4999 of 5000"),
        (changed(trainings=tuple(NOW - 20 * DAY - n for n in range(6, 0, -1))), DRIFT, "budget", "6 of 6 runs in 30d"),
        (changed(trainings=(NOW - MINUTE,)), DRIFT, "answered", "after this was asked for"),
    ],
)
def test_an_alert_is_held_back_by_what_holds_the_watch_back(
    history: History, signals: Signals, stopped_by: str, words: str
) -> None:
    found = weigh(POLICY, history, signals, NOW, ALERT)
    assert (found.act, found.trigger, found.stopped_by) == (False, "alert", stopped_by)
    assert words in found.reason


def test_an_alert_trains_with_the_windows_evidence_or_where_there_is_none_with_its_own() -> None:
    for signals in (DRIFT, Signals(at=NOW - 6 * HOUR)):
        found = weigh(POLICY, READY, signals, NOW, ALERT)
        assert (found.act, found.trigger, found.reason) == (True, "alert", "training: alert OutputDrift")


def test_what_a_look_asked_for_keeps_its_evidence_and_people_are_held_back_by_nothing() -> None:
    look, person = (dataclasses.replace(ALERT, trigger=trigger) for trigger in ("watch", ""))
    assert weigh(POLICY, READY, Signals(at=NOW), NOW, look).act
    spent = changed(running=True, trainings=(NOW - MINUTE,))
    assert weigh(POLICY, spent, DRIFT, NOW, look).stopped_by == "answered"
    assert weigh(POLICY, spent, DRIFT, NOW, person).act


def test_a_run_without_an_end_counts_as_running_only_as_long_as_one_may_take() -> None:
    policy = dataclasses.replace(POLICY, longest=6 * HOUR)
    assert decide(policy, changed(open=(NOW - HOUR,)), DRIFT, NOW).stopped_by == "running"
    assert decide(policy, changed(open=(NOW - 6 * HOUR,)), DRIFT, NOW).act
