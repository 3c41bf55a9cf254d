"""One brain for every starter: what an alert or a look asked for is weighed again when its run is about to begin.

The policy is the watch's own, and so is the memory: the ledger. A run begins only behind the last event that was
weighed, so of starters that race one trains; the others read of it and are told why not. What somebody asks for by
hand is weighed by nobody; it counts as a training all the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mainspring.flows.memory import remembered
from mainspring.flows.retrain import history_of
from mainspring.kernel.errors import Conflict
from mainspring.kernel.events import Draft, Event, Ledger
from mainspring.observe.plans import RetrainPolicy
from mainspring.observe.policy import Asked, RetrainDecision, Signals, weigh

TRIES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A run that is about to begin. actor: who begins it."""

    run: str
    model: str
    environment: str
    actor: str
    asked: Asked
    policy: RetrainPolicy


def first_or_told(start: Start, ledger: Ledger, begin: Callable[[int], object], now: Callable[[], int]) -> str:
    """Begin the run if it is due, else tell the ledger why not; return that reason, "" for a run that begins.

    begin: appends the run's start behind a sequence number, or raises `Conflict`. It is not called for a run that is
    not due. May be repeated.
    """
    for _ in range(TRIES):
        events = ledger.read()
        if why := refused_before(start.run, events):
            return why
        decision = _weighed(start, events, now())
        try:
            if decision.act:
                begin(events[-1].seq if events else 0)
            else:
                _tell(start, decision, ledger, now())
        except Conflict:
            continue
        return "" if decision.act else decision.reason
    raise Conflict("other writers kept appending to the ledger", fix="run the step again: nothing was begun")


def refused_before(run: str, events: Sequence[Event]) -> str:
    """Return why a run was not let begin, or ""."""
    declined = [event for event in events if event.kind == "retrain.declined" and event.run == run]
    return str(declined[-1].body["reason"]) if declined else ""


def _weighed(start: Start, events: Sequence[Event], now: int) -> RetrainDecision:
    memory = remembered(events, start.environment)
    last = memory.windows[-1] if memory.windows else Signals(at=0)
    return weigh(start.policy, history_of(memory, memory.labels), last, now, start.asked)


def _tell(start: Start, decision: RetrainDecision, ledger: Ledger, now: int) -> None:
    body = {
        "trigger": decision.trigger, "blocked_by": decision.stopped_by, "reason": decision.reason,
        "environment": start.environment,
    }  # fmt: skip
    draft = Draft(kind="retrain.declined", subject=f"model:{start.model}", actor=start.actor, run=start.run, body=body)
    ledger.append([draft], at=now)
