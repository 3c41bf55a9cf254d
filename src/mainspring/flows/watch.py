"""Look and act: take in the log, judge the rollout, judge the window, decide about retraining.

One look is `look`; a laptop's scheduler, a CronJob and a replay all call it. It reads the present from the release
file and the ledger, so it may be killed and called again. What it found and why it did or did not act is in the
ledger: `window.judged`, `rollout.judged`, `retrain.started`, `retrain.declined`, `log.damaged`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mainspring.deliver.release import Release
from mainspring.deliver.rollout import Decision
from mainspring.flows.checkpoint import seal_ledger
from mainspring.flows.ingest import Gap, Ingested, ingest
from mainspring.flows.judge import Judged, judge_window
from mainspring.flows.memory import Memory, remember
from mainspring.flows.moves import Move, settle
from mainspring.flows.posted import Posted
from mainspring.flows.resume import resume, try_again
from mainspring.flows.retrain import Retrained, retrain
from mainspring.flows.trial import judge_rollout
from mainspring.flows.watch_ports import ACTOR, WatchPlan, WatchPorts
from mainspring.kernel.events import Draft

_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What one look found and did; None where there was nothing to judge. commit: of the release in force now."""

    ingested: Ingested
    posted: Posted
    rollout: Decision | None
    window: Judged | None
    retrained: Retrained | None
    release: Release | None
    commit: str


def look(plan: WatchPlan, memory: Memory, ports: WatchPorts, *, now: int) -> Looked:
    """Look once at `now` (UTC microseconds). `memory` is what earlier looks found; it is brought up to date."""
    ingested = ingest(ports.log, ports.observations, ports.references, every=plan.monitoring.every)
    if ingested.damage:
        ports.ledger.append([_damaged(plan, ingested.damage)], at=now)
    posted = ports.posted(now)
    release, commit = ports.release.files.read(plan.environment)
    rollout, window, retrained = None, None, None
    if release is not None:
        memory.begin(now)
        _catch_up(plan, release, memory, ports, now)
        resume(plan, release, memory, ports, now=now)
        try_again(plan, release, memory, ports, now=now)
        release, commit = ports.release.files.read(plan.environment)
    if release is not None and release.challenger is not None:
        rollout = judge_rollout(plan, release, ingested, memory, ports, now=now)
        release, commit = ports.release.files.read(plan.environment)
    if release is not None and memory.window_due(now, plan.monitoring.every):
        window = judge_window(plan, release.champion.digest, ports, now=now)
        retrained = retrain(plan, window, memory, ports, now=now)
        release, commit = ports.release.files.read(plan.environment)
    seal_ledger(plan.environment, ports.release.sealing, at=now)
    ports.compact()
    return Looked(
        ingested=ingested,
        posted=posted,
        rollout=rollout,
        window=window,
        retrained=retrained,
        release=release,
        commit=commit,
    )


def _damaged(plan: WatchPlan, damage: Sequence[Gap]) -> Draft:
    places = [{"segment": gap.segment, "offset": gap.offset, "bytes": gap.size} for gap in damage]
    body = {
        "model": plan.model, "environment": plan.environment, "places": len(places),
        "bytes": sum(gap.size for gap in damage), "first": places[:_SHOWN],
    }  # fmt: skip
    return Draft(kind="log.damaged", subject=f"environment:{plan.environment}", actor=ACTOR, body=body)


def _catch_up(plan: WatchPlan, release: Release, memory: Memory, ports: WatchPorts, now: int) -> None:
    """Learn of a move that others made, or that was committed and then killed before the ledger had it."""
    wanted, trial = release.challenger, memory.trial
    same_trial = (wanted and (wanted.digest, wanted.weight)) == (trial and (trial.digest, trial.weight))
    if not same_trial or release.champion.digest != memory.champion:
        settle(Move(environment=plan.environment, model=plan.model, actor=ACTOR, at=now), ports.release)
        found = remember(ports.ledger, plan.environment)
        memory.trial, memory.champion = found.trial, found.champion
