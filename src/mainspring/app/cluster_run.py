"""Wiring of a run whose steps are processes in different places: begun here, concluded here, in between only stores.

The four steps between get neither ledger nor key; what they need of a run is its record in the environment's stores.
Everything here may be repeated: a run is begun once, an event told once, a digest has one version.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mainspring.app.observing import watch_plan
from mainspring.app.promotion import promote_onwards
from mainspring.app.releases import move
from mainspring.app.training import Trainer, asked_run, take_snapshot
from mainspring.app.workspace import Workspace
from mainspring.data.expectations import SourceMissing
from mainspring.deliver.promotion import PromotionRefused
from mainspring.develop.errors import StepFailed
from mainspring.develop.runs import Run
from mainspring.flows.asking import Start, first_or_told
from mainspring.flows.entering import Request
from mainspring.flows.retrain import tell_refusal
from mainspring.flows.snapshot import find_snapshot
from mainspring.flows.steps.chapters import Chapters
from mainspring.flows.train import TrainResult
from mainspring.kernel.errors import NotFound, Refused
from mainspring.kernel.events import Event
from mainspring.observe.policy import Asked, Cause

ACTOR = "workflow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be trained, and who asks. at: UTC microseconds to look back from, 0 for the end of the data.

    settings: `name=value`. cause: events of the ledger. trigger: `alert` or `watch`, whose runs begin only when the
    policy lets them, or "" for people. since: when they asked, UTC microseconds; 0 means now.
    """

    at: int = 0
    settings: Sequence[str] = ()
    reason: str = "asked for"
    cause: Sequence[int] = ()
    trigger: Cause = ""
    since: int = 0


def begin_run(workspace: Workspace, run_id: str, wish: Wish) -> tuple[Run | None, str]:
    """Keep the record of a new run and tell the ledger; return the one that is there if it was begun before.

    A new snapshot is taken where the sources' files are; elsewhere the last one holds. Returns None and the reason,
    which the ledger has too, for a run that is not due: before anything was read or made.
    """
    told = workspace.ledger.read(run=run_id)
    run: Run | None = None

    def begin(head: int | None) -> None:
        nonlocal run
        run = run or _run(trainer, workspace, run_id, wish)  # a new snapshot moves the head: then it is weighed again
        trainer.begin(run, actor=ACTOR, cause=wish.cause, expected_head=head)

    with Trainer(workspace, mirror=False) as trainer:
        if not wish.trigger or any(event.kind == "run.started" for event in told):
            begin(None)
            return run, ""
        now = workspace.clock.now
        start = Start(
            run=run_id, model=workspace.settings.name, environment=workspace.environment, actor=ACTOR,
            policy=watch_plan(workspace).retraining,
            asked=Asked(trigger=wish.trigger, reason=wish.reason, since=wish.since or now()),
        )  # fmt: skip
        why = first_or_told(start, workspace.ledger, begin, now)
    return (None, why) if why else (run, "")


def register_run(workspace: Workspace, run_id: str) -> TrainResult:
    """Judge, sign, store and number what the steps of a run made, and tell the ledger all of it."""
    with Trainer(workspace, mirror=False) as trainer:
        return trainer.conclude(workspace.stores.runs().load(run_id), actor=ACTOR)


def end_run(workspace: Workspace, run_id: str, status: str) -> Event | None:
    """Tell the ledger that a run was cut short, if nothing else did: what runs when a workflow ends, however it does.

    status: what the workflow ended as.
    """
    told = {event.kind for event in workspace.ledger.read(run=run_id)}
    if told & {"run.finished", "run.failed", "retrain.declined"}:
        return None
    try:
        run = workspace.stores.runs().load(run_id)
    except NotFound:
        return None  # it never began
    chapters = Chapters(run=run, actor=ACTOR, ledger=workspace.ledger, clock=workspace.clock)
    return chapters.failed(
        StepFailed(
            f"the workflow of run {run_id} ended as {status[:40]}", fix="see which step's pod failed, and its log"
        )
    )


def release_run(workspace: Workspace, run_id: str, *, committed: bool = True) -> tuple[int, bool, str]:
    """Bring a run's candidate into the environment if its gates passed; return (version, whether it began, why not).

    A refused candidate, or one that waits for approvals, is an outcome. committed: whether there is a repository to
    promote in; without one, somebody else does it. Raises `StepFailed` for a run that registered nothing.
    """
    event = finished(workspace, run_id)
    if event is None:
        raise StepFailed(f"run {run_id} registered no candidate", fix="see which step's pod failed, and its log")
    version = int(event.body["version"])
    if not event.body["passed"]:
        return version, False, "its gates refused it"
    if not committed:
        return version, False, "it waits to be promoted; no repository is known here"
    workspace.actor = ACTOR
    try:
        moved = promote_onwards(
            workspace, str(event.body["digest"]), request=Request(), mode="canary", share=None,
            reason=str(event.body["reason"]) or run_id,
        )  # fmt: skip
    except Refused as error:
        if isinstance(error, PromotionRefused):
            asked = replace(move(workspace, ""), run=run_id, cause=(event.seq,))
            tell_refusal(asked, version, error, workspace.ledger)
        return version, False, error.what
    return version, moved.changed, "" if moved.changed else "it answers there already"


def finished(workspace: Workspace, run_id: str) -> Event | None:
    """Return the event that ended a run with a registered candidate, or None."""
    events = workspace.ledger.read(kind="run.finished", run=run_id)
    return events[-1] if events else None


def _run(trainer: Trainer, workspace: Workspace, run_id: str, wish: Wish) -> Run:
    """Return the run's record: the one that is there, or a new one on what the sources hold now."""
    try:
        return workspace.stores.runs().load(run_id)
    except NotFound:
        _snapshot(workspace)
        return asked_run(
            trainer, workspace, at=wish.at, settings=wish.settings, reason=wish.reason or "asked for", name=run_id
        )


def _snapshot(workspace: Workspace) -> None:
    try:
        take_snapshot(workspace)
    except SourceMissing:
        find_snapshot(workspace.ledger)  # `NotFound` says how to take the first one
