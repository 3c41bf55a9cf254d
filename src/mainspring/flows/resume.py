"""Go on with a candidate that an earlier watch had asked for when its process ended.

Between `retrain.started` and the first release of its candidate a training may end with its process. The next watch
then finishes the same run (finished steps are kept) and puts the candidate on trial, or tells the ledger why not;
it never trains another instead.
"""

from mainspring.deliver.release import Release
from mainspring.flows.memory import Memory
from mainspring.flows.retrain import try_out
from mainspring.flows.watch_ports import ACTOR, WatchPlan, WatchPorts
from mainspring.kernel.errors import MainspringError
from mainspring.kernel.events import Draft


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
        what = f"a training that was cut short goes no further: {why}"
        body = {"trigger": "", "blocked_by": "interrupted", "reason": what}
        ports.ledger.append(
            [Draft(kind="retrain.declined", subject=f"model:{plan.model}", actor=ACTOR, run=run, body=body)], at=now
        )


def _obstacle(run: str, release: Release, ports: WatchPorts) -> str:
    """Say why the run's candidate can no longer go on trial, or ""."""
    if release.challenger is not None:
        return f"version {release.challenger.version} is on trial"
    judged_against = str(ports.ledger.read(kind="run.started", run=run)[0].body["champion"])
    if judged_against and judged_against != release.champion.digest:
        return "it was compared with a champion that no longer answers"
    return ""
