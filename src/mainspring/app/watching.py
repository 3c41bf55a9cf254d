"""Wiring of the watch as people run it: once, by a schedule, and the readings around it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mainspring.app.features import refresh_features
from mainspring.app.observing import label_ports, open_observations, watch_plan, watch_ports
from mainspring.app.readings import publish
from mainspring.app.releases import catch_up, follow_aliases
from mainspring.app.training import Trainer
from mainspring.app.workspace import Workspace
from mainspring.flows.labels import Labelled, add_labels, read_label_file
from mainspring.flows.memory import remember
from mainspring.flows.status import Status
from mainspring.flows.status import status as read_status
from mainspring.flows.train import TrainResult
from mainspring.flows.watch import Looked, look
from mainspring.flows.watch_ports import Candidate, HandedOver
from mainspring.kernel.errors import MainspringError
from mainspring.kernel.times import DAY, MINUTE, SECOND, format_time

Tell = Callable[[Looked], None]
Say = Callable[[str], None]
_LOOK_EVERY = MINUTE


def watch_once(workspace: Workspace, *, progress: Say = lambda _: None, ask: Path | None = None) -> Looked:
    """Look once, now. ask: a folder to write a wanted training into, for others to do; None: it is done here."""
    catch_up(workspace)
    with Trainer(workspace, progress=progress) as trainer, open_observations(workspace) as observations:
        memory = remember(workspace.ledger, workspace.environment)
        ports = watch_ports(workspace, trainer, observations)
        if ask is not None:
            ports = replace(ports, train=lambda wanted: hand_over(wanted, ask))
        looked = look(watch_plan(workspace), memory, ports, now=workspace.clock.now())
    if workspace.named_store("online"):
        try:
            progress(f"{refresh_features(workspace):,} rows of features written to the online store")
        except MainspringError as error:  # the age of features is a reading of its own, and an alert
            progress(f"features were not brought up to date: {error}")
    publish(workspace, progress=progress)
    if looked.release is not None:
        follow_aliases(workspace, looked.release, progress)
    return looked


def watch_forever(workspace: Workspace, tell: Tell, *, progress: Say = lambda _: None) -> None:
    """Look every minute (windows are judged once a tick) until interrupted; one look at a time."""
    from apscheduler.schedulers.blocking import BlockingScheduler

    scheduler = BlockingScheduler(timezone="UTC")
    every = min(_LOOK_EVERY, workspace.settings.monitoring.every) // SECOND
    scheduler.add_job(
        lambda: tell(watch_once(workspace, progress=progress)), "interval", seconds=max(1, every), max_instances=1,
        coalesce=True,
    )  # fmt: skip
    tell(watch_once(workspace, progress=progress))
    try:
        scheduler.start()
    except (KeyboardInterrupt, SystemExit):
        scheduler.shutdown(wait=False)


def bring_log(workspace: Workspace, url: str) -> int:
    """Bring what servers elsewhere logged into the object store at `url`, as far back as a window reaches."""
    from mainspring.adapters.objects.bucket import Bucket
    from mainspring.adapters.objects.log_pull import pull_log

    plan, now = workspace.settings.monitoring, workspace.clock.now()
    reach = 2 * plan.window + plan.label_delay + DAY
    return pull_log(Bucket(url), workspace.paths.log, since=now - reach, until=now)


def hand_over(wanted: Candidate, folder: Path) -> TrainResult:
    """Write what to train, a file a word, for `step begin`; then raise `HandedOver`."""
    folder.mkdir(parents=True, exist_ok=True)
    words = {
        "reason": wanted.reason, "at": format_time(wanted.at), "cause": ",".join(map(str, wanted.cause)),
        "asked": "yes",
    }  # fmt: skip
    for name, text in words.items():
        (folder / name).write_text(text, encoding="utf-8")
    raise HandedOver


def present_status(workspace: Workspace) -> Status:
    """Return the present at a glance."""
    every = workspace.settings.monitoring.every
    return read_status(
        workspace.settings.name, workspace.environment, every=every, ledger=workspace.ledger, files=workspace.releases
    )


def label_file(workspace: Workspace, path: Path) -> Labelled:
    """Take in the labels of a file."""
    with open_observations(workspace) as observations:
        return add_labels(read_label_file(path), label_ports(workspace, observations), now=workspace.clock.now())
