"""Retrain or not, and say why: the closed loop in one screen.

A window was judged. `decide` weighs its signals against the policy and what happened before. If it acts, a candidate
is trained on what was known by then, judged by the gates against the champion on the same rows, signed and
numbered; if the gates let it through it goes on trial as a canary, which later looks judge. Acting and not acting
both leave their reason in the ledger.
"""

from dataclasses import dataclass

from mainspring.deliver.promotion import PromotionRefused
from mainspring.flows.judge import Judged
from mainspring.flows.memory import Memory, Waiting
from mainspring.flows.moves import Move
from mainspring.flows.release import promote
from mainspring.flows.train import TrainResult
from mainspring.flows.watch_ports import ACTOR, Candidate, HandedOver, WatchPlan, WatchPorts
from mainspring.kernel.errors import MainspringError
from mainspring.kernel.events import Draft, Event, Ledger
from mainspring.observe.policy import History, RetrainDecision, decide


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """What was decided, and the candidate if one was trained (None also when the training failed)."""

    decision: RetrainDecision
    result: TrainResult | None = None


def retrain(plan: WatchPlan, window: Judged, memory: Memory, ports: WatchPorts, *, now: int) -> Retrained:
    """Record the window, decide, and if it is time: train, judge, and put the candidate on trial."""
    counted = _new_labels(plan, window, memory, ports, now)
    decision = decide(plan.retraining, history_of(memory, counted or 0), window.signals, now)
    told = ports.ledger.append([window.draft(decision.reason, counted), *_decided(plan, decision)], at=now)
    memory.judged(window.signals)
    if not decision.act:
        return Retrained(decision=decision)
    asked = Candidate(at=now, champion=window.champion, reason=decision.reason, cause=_seqs(told), params={})
    try:
        result = ports.train(asked)
    except HandedOver:
        return Retrained(decision=decision)
    except MainspringError as error:
        _tell_failure(plan, error, ports, told[-1], now)
        return Retrained(decision=decision)  # the champion stays
    finally:
        begun = ports.ledger.read(kind="run.started", after=told[-1].seq)
        memory.trainings.extend(event.at for event in begun)
    try_out(plan, result, memory, ports, now=now)
    return Retrained(decision=decision, result=result)


def try_out(plan: WatchPlan, result: TrainResult, memory: Memory, ports: WatchPorts, *, now: int) -> bool:
    """Put a candidate that passed its gates on trial; return whether that began or its refusal was told."""
    if not result.verdict.passed:
        return False
    candidate = Waiting(run=result.run.id, version=result.version, cause=(result.event.seq,))
    return enter(plan, candidate, result.run.reason, memory, ports, now=now)


def enter(
    plan: WatchPlan, candidate: Waiting, reason: str, memory: Memory, ports: WatchPorts, *, now: int
) -> bool:  # fmt: skip
    """Put a candidate on trial, or tell why it may not enter; False where it answers already.

    One that is refused waits for people, or enters by the first rung; behind a freeze alone, for its end.
    """
    move = Move(
        environment=plan.environment, model=plan.model, actor=ACTOR, at=now, reason=reason, run=candidate.run,
        cause=candidate.cause,
    )  # fmt: skip
    try:
        moved = promote(move, candidate.version, ports.release, plan=plan.rollout)
    except PromotionRefused as error:
        memory.refused(tell_refusal(move, candidate.version, error, ports.ledger))
        return True
    if moved.event is not None:
        memory.released(moved.event)
    return moved.changed


def history_of(memory: Memory, new_labels: int) -> History:
    """Return what happened before, as the policy sees it."""
    return History(
        since=memory.since, windows=memory.windows, trainings=memory.trainings, running=memory.trial is not None,
        open=tuple(memory.open.values()), new_labels=new_labels,
    )  # fmt: skip


def _new_labels(plan: WatchPlan, window: Judged, memory: Memory, ports: WatchPorts, now: int) -> int | None:
    """Count labels that matured since the last training, where something could ask for one; None: not counted."""
    policy, last = plan.retraining, max(memory.trainings, default=memory.since)
    could = policy.every or policy.at or window.signals.output_drift or window.signals.quality
    return ports.observations.known_between(last, now) if policy.min_new_labels and could else None


def _decided(plan: WatchPlan, decision: RetrainDecision) -> list[Draft]:
    """Return the decision's own event; a quiet window needs none, its reason stands in `window.judged`."""
    if not decision.act and decision.stopped_by in ("", "no_signal"):
        return []
    kind = "retrain.started" if decision.act else "retrain.declined"
    body = {"trigger": decision.trigger, "blocked_by": decision.stopped_by, "reason": decision.reason}
    return [Draft(kind=kind, subject=f"model:{plan.model}", actor=ACTOR, body=body)]


def _tell_failure(plan: WatchPlan, error: MainspringError, ports: WatchPorts, asked: Event, now: int) -> None:
    """Record why nothing was trained, unless the run itself did."""
    if not ports.ledger.read(kind="run.failed", after=asked.seq):
        body = {"model": plan.model, "code": error.code, "what": error.what, "fix": error.fix}
        draft = Draft(kind="run.failed", subject=f"model:{plan.model}", actor=ACTOR, cause=(asked.seq,), body=body)
        ports.ledger.append([draft], at=now)


def tell_refusal(move: Move, version: int, error: PromotionRefused, ledger: Ledger) -> Event:
    """Record that a run's candidate was not let in; a watch tries it again where nothing but a freeze is in the way."""
    for event in ledger.read(kind="promotion.refused", run=move.run):
        if event.body["reason"] == error.what:
            return event
    body = {"environment": move.environment, "version": version, "reason": error.what, "frozen": error.frozen}
    draft = Draft(
        kind="promotion.refused", subject=f"environment:{move.environment}", actor=move.actor, run=move.run,
        cause=move.cause, body=body,
    )  # fmt: skip
    return ledger.append([draft], at=move.at)[0]


def _seqs(events: list[Event]) -> tuple[int, ...]:
    return tuple(event.seq for event in events)
