"""Retrain or not, and why. Pure: history and signals in, a decision with its written reason out.

A trigger (output drift, quality, schedule, fixed time) starts a run only if nothing forbids it. What forbids is
checked in one order, and the reason names the first: a data fault, a running training, cooldown, budget, too few new
labels. Drift of an input alone never retrains. What others ask for, an alert or an earlier look, is weighed by the
same rules when it is about to begin: `weigh`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mainspring.kernel.times import format_duration, format_time
from mainspring.observe.plans import RetrainPolicy, Trigger

Cause = Literal["", "output_drift", "quality", "schedule", "alert", "watch"]
Stop = Literal["", "no_signal", "persistence", "data_fault", "answered", "running", "cooldown", "budget", "labels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What one window showed. at: its end, UTC microseconds. faults: broken inputs, in words."""

    at: int
    output_drift: bool = False
    quality: bool = False
    faults: tuple[str, ...] = ()

    def shows(self, trigger: Trigger) -> bool:
        """Tell whether this window shows the signal; a broken input is no evidence of output drift."""
        return self.quality if trigger == "quality" else self.output_drift and not self.faults


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What happened before. since: when watching began. windows: earlier ones, oldest first.

    trainings: when runs were started (by any trigger), oldest first. running: a candidate is on trial.
    open: when runs were started that told no end yet. new_labels: labels that matured since the last training began.
    """

    since: int
    windows: Sequence[Signals] = ()
    trainings: Sequence[int] = ()
    running: bool = False
    open: Sequence[int] = ()
    new_labels: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A training that others ask for. trigger: "" for somebody whom nothing holds back. since: when, UTC microseconds.

    reason: why, in words.
    """

    trigger: Cause
    reason: str
    since: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainDecision:
    """Whether to train now. trigger: what asked for it. stopped_by: what forbade it, "" when acting."""

    act: bool
    trigger: Cause
    stopped_by: Stop
    reason: str


def decide(policy: RetrainPolicy, history: History, signals: Signals, now: int) -> RetrainDecision:
    """Decide at `now`, given this window's `signals` and the `history` before it."""
    trigger, why = _trigger(policy, history, signals, now)
    if not trigger:
        return _stop("", *_nothing(policy, history, signals))
    return _unless_forbidden(policy, history, signals, now, trigger, why)


def weigh(policy: RetrainPolicy, history: History, signals: Signals, now: int, asked: Asked) -> RetrainDecision:
    """Decide at `now` whether what was asked for earlier may begin; `signals`: of the last window judged.

    An alert is evidence where the windows hold none; where they do, or were judged since, they count.
    """
    if not asked.trigger:
        return RetrainDecision(act=True, trigger="", stopped_by="", reason=asked.reason)
    later = max(history.trainings, default=0)
    if later >= asked.since:
        what = f"a training began at {format_time(later)}, after this was asked for"
        return _stop(asked.trigger, "answered", f"{asked.reason}; not trained: {what}")
    if asked.trigger == "alert":
        stopped_by, what = _nothing(policy, history, signals)
        silent = stopped_by == "no_signal" and signals.at <= asked.since
        if not silent and not _trigger(policy, history, signals, now)[0]:
            return _stop(asked.trigger, stopped_by, f"{asked.reason}; not trained: {what}")
    return _unless_forbidden(policy, history, signals, now, asked.trigger, asked.reason)


def _unless_forbidden(
    policy: RetrainPolicy, history: History, signals: Signals, now: int, trigger: Cause, why: str
) -> RetrainDecision:  # fmt: skip
    for stopped_by, what in _forbidden(policy, history, signals, now):
        if what:
            return _stop(trigger, stopped_by, f"{why}; not trained: {what}")
    return RetrainDecision(act=True, trigger=trigger, stopped_by="", reason=f"training: {why}")


def _trigger(policy: RetrainPolicy, history: History, signals: Signals, now: int) -> tuple[Cause, str]:
    last = max(history.trainings, default=history.since)
    for moment in policy.at:
        if last < moment <= now:
            return "schedule", f"scheduled for {format_time(moment)}"
    if policy.every and now - last >= policy.every:
        return "schedule", f"scheduled every {format_duration(policy.every)}"
    need, of = policy.persist
    for trigger in policy.when:
        count, seen = _count(policy, history, signals, trigger)
        if signals.shows(trigger) and count >= need:
            return trigger, f"{trigger} in {count} of the last {seen} windows ({need} of {of} needed)"
    return "", ""


def _count(policy: RetrainPolicy, history: History, signals: Signals, trigger: Trigger) -> tuple[int, int]:
    """Count windows that show the signal among the last n; windows from before the last training do not count."""
    last = max(history.trainings, default=history.since)
    earlier = [window for window in history.windows if last < window.at < signals.at]
    recent = [*earlier[-(policy.persist[1] - 1) :], signals] if policy.persist[1] > 1 else [signals]
    return sum(window.shows(trigger) for window in recent), len(recent)


def _nothing(policy: RetrainPolicy, history: History, signals: Signals) -> tuple[Stop, str]:
    if signals.output_drift and signals.faults and "output_drift" in policy.when:
        return "data_fault", f"output drift with a data fault is the fault's: {_faults(signals)}"
    for trigger in policy.when:
        if signals.shows(trigger):
            count, seen = _count(policy, history, signals, trigger)
            need, of = policy.persist
            return "persistence", f"{trigger} in {count} of the last {seen} windows; {need} of {of} needed"
    watched = ", ".join(policy.when) or "only the schedule"
    return "no_signal", f"no signal (watching {watched})"


def _forbidden(policy: RetrainPolicy, history: History, signals: Signals, now: int) -> list[tuple[Stop, str]]:
    return [
        ("data_fault", f"data fault: {_faults(signals)}" if signals.faults else ""),
        ("running", _busy(policy, history, now)),
        ("cooldown", _cooling(policy, history, now)),
        ("budget", _spent(policy, history, now)),
        ("labels", _too_few(policy, history)),
    ]


def _busy(policy: RetrainPolicy, history: History, now: int) -> str:
    alive = history.running or any(now - policy.longest < started for started in history.open)
    return "a training is running" if alive else ""


def _cooling(policy: RetrainPolicy, history: History, now: int) -> str:
    if not history.trainings or now - max(history.trainings) >= policy.cooldown:
        return ""
    return f"cooldown of {format_duration(policy.cooldown)} since {format_time(max(history.trainings))}"


def _spent(policy: RetrainPolicy, history: History, now: int) -> str:
    if policy.budget is None:
        return ""
    runs, period = policy.budget
    spent = sum(now - period < started <= now for started in history.trainings)
    return f"budget: {spent} of {runs} runs in {format_duration(period)} are spent" if spent >= runs else ""


def _too_few(policy: RetrainPolicy, history: History) -> str:
    if history.new_labels >= policy.min_new_labels:
        return ""
    return f"{history.new_labels} of {policy.min_new_labels} new labels have matured"


def _faults(signals: Signals) -> str:
    return "; ".join(signals.faults)


def _stop(trigger: Cause, stopped_by: Stop, reason: str) -> RetrainDecision:
    return RetrainDecision(act=False, trigger=trigger, stopped_by=stopped_by, reason=reason)
