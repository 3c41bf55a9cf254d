"""Go on with a candidate that an earlier watch had asked for when its process ended, or that a freeze kept out.

Between `retrain.started` and the first release of its candidate a training may end with its process. The next watch
then finishes the same run (finished steps are kept) and puts the candidate on trial, or tells the ledger why not;
it never trains another instead. A candidate that nothing but a freeze kept out is tried again when it is over.
"""

from mainspring.deliver.freezes import frozen
from mainspring.deliver.release import Release
from mainspring.flows.memory import Memory
from mainspring.flows.retrain import enter, try_out
from mainspring.flows.watch_ports import ACTOR, WatchPlan, WatchPorts
from mainspring.kernel.errors import MainspringError
from mainspring.kernel.events import Draft

_TRY_AGAIN = 75


def resume(plan: WatchPlan, release: Release, memory: Memory, ports: WatchPorts, *, now: int) -> None:
    """Finish `memory.pending`, if there is such a run."""
    run, memory.pending = memory.pending, ""
    if not run:
        return
    memory.open.pop(run, None)
    why = _obstacle(run, release, ports)
    if not why:
        try:
            result = ports.resume(run)
            began = try_out(plan, result, memory, ports, now=now)
        except MainspringError as error:
            why = error.what
        else:
            why = "" if began or not result.verdict.passed else f"version {result.version} answers already"
    if why:
        _decline(plan, run, "interrupted", f"a training that was cut short goes no further: {why}", ports, now)


def try_again(plan: WatchPlan, release: Release, memory: Memory, ports: WatchPorts, *, now: int) -> None:
    """Try `memory.waiting` when its freeze is over and nothing else is on trial; tell why if it has become stale."""
    waiting = memory.waiting
    if waiting is None or release.challenger is not None or frozen(plan.freezes, now):
        return
    why = _obstacle(waiting.run, release, ports)
    if not why:
        reason = str(ports.ledger.read(kind="run.started", run=waiting.run)[0].body["reason"])
        try:
            entered = enter(plan, waiting, reason, memory, ports, now=now)
        except MainspringError as error:
            if error.exit_code == _TRY_AGAIN:
                raise  # it still waits: the next look tries it
            why = error.what
        else:
            why = "" if entered else f"version {waiting.version} answers already"
    if why:
        memory.waiting = None
        _decline(plan, waiting.run, "frozen", f"a candidate that a freeze kept out goes no further: {why}", ports, now)


def _decline(plan: WatchPlan, run: str, by: str, why: str, ports: WatchPorts, now: int) -> None:
    body = {"trigger": "", "blocked_by": by, "reason": why}
    draft = Draft(kind="retrain.declined", subject=f"model:{plan.model}", actor=ACTOR, run=run, body=body)
    ports.ledger.append([draft], at=now)


def _obstacle(run: str, release: Release, ports: WatchPorts) -> str:
    """Say why the run's candidate can no longer go on trial, or ""."""
    if release.challenger is not None:
        return f"version {release.challenger.version} is on trial"
    judged_against = str(ports.ledger.read(kind="run.started", run=run)[0].body["champion"])
    if judged_against and judged_against != release.champion.digest:
        return "it was compared with a champion that no longer answers"
    return ""
