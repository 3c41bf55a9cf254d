"""Judge a running rollout and act: hold, advance, finish, or abort. What a look finds is left in the ledger."""

from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np

from mainspring.deliver.freezes import frozen
from mainspring.deliver.release import Release, rollout_of
from mainspring.deliver.rollout import BLOCK, Action, Decision, Seen, decide
from mainspring.flows.ingest import Ingested, Tally
from mainspring.flows.memory import Memory, Trial
from mainspring.flows.moves import Move, Moved
from mainspring.flows.release import abort, advance, finish
from mainspring.flows.watch_ports import ACTOR, WatchPlan, WatchPorts
from mainspring.kernel.events import Draft, Event
from mainspring.kernel.times import format_time
from mainspring.observe.ports import SCORE
from mainspring.observe.quality import losses, paired_blocks
from mainspring.serve.bandit import Outcomes
from mainspring.stats.columns import Columns
from mainspring.stats.paired import paired_difference

_DAY = 86_400_000_000
_HALF = 0.5


def judge_rollout(
    plan: WatchPlan, release: Release, ingested: Ingested, memory: Memory, ports: WatchPorts, *, now: int
) -> Decision | None:
    """Judge the challenger on trial by errors, latency and matured paired quality, and move its traffic.

    A look that finds nothing new says nothing new.
    """
    trial, challenger = memory.trial, release.challenger
    if trial is None or challenger is None or release.plan is None:
        return None
    tally = ingested.tallies.get(challenger.digest, Tally())
    trial.rows, trial.failed = trial.rows + tally.rows, trial.failed + tally.failed
    until = now - plan.monitoring.label_delay
    matured = ports.observations.matured(trial.started, until, now)
    seen = _seen(plan, release, trial, (tally, ingested.tallies.get(release.champion.digest, Tally())), matured, now)
    rules = replace(rollout_of(release.plan), margin=plan.margin)
    decision = _thawed(plan, _kept(release, decide(rules, seen)), now)
    if challenger.mode == "bandit":
        ports.reward(_outcomes(release, matured))
    if decision.action is Action.HOLD and not tally.rows and decision.reason == trial.said:
        return decision  # nothing is new: its evidence is in the ledger already
    event = ports.ledger.append([_draft(plan, release, trial, decision, matured)], at=now)[0]
    trial.said = decision.reason
    _act(plan, decision, rules.steps, memory, ports, event)
    return decision


def _kept(release: Release, decision: Decision) -> Decision:
    """Return the decision as the mode allows it: A/B tests and bandits keep the file's weights, but for an abort."""
    fixed = release.challenger is not None and release.challenger.mode in ("ab", "bandit")
    return replace(decision, action=Action.HOLD) if fixed and decision.action is not Action.ABORT else decision


def _thawed(plan: WatchPlan, decision: Decision, now: int) -> Decision:
    """Return the decision as freezes allow it: no more traffic in one, but an abort at any time."""
    closed = frozen(plan.freezes, now) if decision.action in (Action.ADVANCE, Action.FINISH) else None
    if closed is None:
        return decision
    reason = f"{decision.reason}; held: frozen until {format_time(closed[0])}: {closed[1]}"
    return Decision(action=Action.HOLD, reason=reason)


def _outcomes(release: Release, matured: Columns) -> dict[str, Outcomes]:
    """Return how often each version was right on the rows that both scored and whose label is known."""
    ours, theirs = _scores(release, matured)
    both = np.isfinite(ours) & np.isfinite(theirs)
    truth = matured["value"][both] >= _HALF
    found = {}
    digest = release.challenger.digest if release.challenger else ""
    for name, scores in ((digest, ours), (release.champion.digest, theirs)):
        right = int(np.count_nonzero((scores[both] >= _HALF) == truth))
        found[name] = Outcomes(right=right, wrong=int(both.sum()) - right)
    return found


def _seen(
    plan: WatchPlan, release: Release, trial: Trial, tallies: tuple[Tally, Tally], matured: Columns, now: int
) -> Seen:
    steps = release.plan.steps if release.plan else ()
    ours, theirs = _scores(release, matured)
    blocks = paired_blocks(
        matured["value"], ours, theirs, matured["asked_at"], block=BLOCK, until=now - plan.monitoring.label_delay
    )
    return Seen(
        step=steps.index(trial.weight) if trial.weight in steps else 0, entered_at=trial.entered_at, now=now,
        requests=trial.rows, errors=trial.failed, challenger_p99_us=tallies[0].p99_us,
        champion_p99_us=tallies[1].p99_us, blocks=blocks, later=trial.later,
    )  # fmt: skip


def _scores(release: Release, matured: Columns) -> tuple[Any, Any]:
    nothing = np.full(len(matured["value"]), np.nan)
    challenger = release.challenger.digest if release.challenger else ""
    return matured.get(SCORE + challenger, nothing), matured.get(SCORE + release.champion.digest, nothing)


def _act(
    plan: WatchPlan, decision: Decision, steps: tuple[int, ...], memory: Memory, ports: WatchPorts, event: Event
) -> None:
    if decision.action is Action.HOLD or memory.trial is None:
        return
    move = Move(
        environment=plan.environment, model=plan.model, actor=ACTOR, at=event.at, reason=decision.reason,
        cause=(event.seq,),
    )  # fmt: skip
    moved = _moved(decision.action, steps, memory.trial, move, ports)
    if moved.event is not None:
        memory.released(moved.event)


def _moved(action: Action, steps: tuple[int, ...], trial: Trial, move: Move, ports: WatchPorts) -> Moved:
    if action is Action.ABORT:
        return abort(move, ports.release)
    if action is Action.FINISH:
        return finish(move, ports.release)
    return advance(move, next(step for step in steps if step > trial.weight), ports.release)


def _draft(plan: WatchPlan, release: Release, trial: Trial, decision: Decision, matured: Columns) -> Draft:
    body = {
        "environment": plan.environment, "action": decision.action.value, "reason": decision.reason,
        "weight": trial.weight, "rows": trial.rows, "failed": trial.failed,
        "paired": _paired(plan, release, matured),
    }  # fmt: skip
    return Draft(kind="rollout.judged", subject=trial.digest, actor=ACTOR, body=body)


def _paired(plan: WatchPlan, release: Release, matured: Columns) -> dict[str, Any] | None:
    ours, theirs = _scores(release, matured)
    both = np.isfinite(ours) & np.isfinite(theirs)
    if not both.any():
        return None
    metric, target = plan.monitoring.quality_metric, matured["value"][both]
    found = paired_difference(
        losses(metric, target, ours[both]), losses(metric, target, theirs[both]), matured["asked_at"][both] // _DAY
    )
    numbers = {"difference": found.difference, "low": found.low, "high": found.high}
    return {name: value if isfinite(value) else None for name, value in numbers.items()} | {"rows": found.rows}
