"""Prove that the record is whole: the ledger's chain, the release commits that name it, and the version numbers.

An edited, reordered or deleted event breaks the chain. A ledger whose end was cut off has an unbroken chain; but the
release commits and the signed checkpoint name events that are then missing, and the version table is ahead of it.

Checkpoints stay on the machine that signed them. Where this one never did, as in a fresh clone, that there is none is
no fault: the report says what it could not compare. Where it did, a missing one was removed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mainspring.deliver.documents import InvalidRelease
from mainspring.deliver.ports import Checkpoints, Keys, ReleaseFiles, Versions
from mainspring.deliver.release import Logged
from mainspring.flows.checkpoint import last_checkpoint
from mainspring.flows.moves import EVENT_TRAILER, ledger_trailer
from mainspring.kernel.errors import InvalidValue, MainspringError, NotFound
from mainspring.kernel.events import GENESIS, Event, Ledger, first_break


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPorts:
    """What an audit reads.

    sealed: tells whether this machine has signed checkpoints of an environment. private: nobody else writes this
    ledger, so in a clone it is empty.
    """

    ledger: Ledger
    files: ReleaseFiles
    versions: Versions
    keys: Keys
    checkpoints: Checkpoints
    sealed: Callable[[str], bool] = lambda environment: True
    private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that does not hold. where: `event <n>`, `commit <sha>`, `version <n>`, `checkpoint`."""

    where: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What was read and what does not hold, the first bad record first. notes: what could not be compared, and why."""

    events: int
    commits: int
    versions: int
    head: tuple[int, str]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Tell whether everything holds."""
        return not self.problems


def verify(model: str, environments: Sequence[str], ports: AuditPorts) -> AuditReport:
    """Read the ledger, every environment's release log and the version table; report what does not hold.

    `NotFound` in a clone that has release commits and no ledger to verify them by.
    """
    events = ports.ledger.read()
    logs = {environment: ports.files.log(environment) for environment in environments}
    bare = [environment for environment in environments if not _sealed_here(environment, ports)]
    if ports.private and not events and len(bare) == len(logs) and any(logs.values()):
        raise NotFound(
            f"this clone has no ledger: nothing is verified of {sum(map(len, logs.values()))} release commits",
            fix="run it where the ledger is, or name that in environments.ENV.stores; from git alone: audit releases",
        )
    versions = ports.versions.list(model)
    problems = [
        *_chain(events),
        *(problem for environment in environments for problem in _readable(environment, ports)),
        *(problem for log in logs.values() for problem in _named(events, log)),
        *(problem for environment, log in logs.items() for problem in _moves(events, environment, log)),
        *(problem for name in environments if name not in bare for problem in _sealed(events, name, ports)),
        *_numbers(versions, [logged for log in logs.values() for logged in log]),
    ]
    return AuditReport(
        events=len(events),
        commits=sum(len(log) for log in logs.values()),
        versions=len(versions),
        head=(events[-1].seq, events[-1].hash) if events else (0, GENESIS),
        problems=tuple(problems),
        notes=tuple(_uncompared(environment, len(logs[environment])) for environment in bare if logs[environment]),
    )


def _sealed_here(environment: str, ports: AuditPorts) -> bool:
    return ports.checkpoints.read(environment) is not None or ports.sealed(environment)


def _uncompared(environment: str, commits: int) -> str:
    return (
        f"no local checkpoints of {environment}: chain verified from its start and against {commits} release commits; "
        "not compared with a checkpoint, so an end cut off after the last commit would not be seen from here"
    )


def _chain(events: Sequence[Event]) -> list[Problem]:
    broken = first_break(events)
    if broken is None:
        return []
    return [Problem(where=" ".join(broken.split(" ")[:2]), what=broken)]


def _readable(environment: str, ports: AuditPorts) -> list[Problem]:
    """Check that what stands at the branch's head can serve: histories leave out what cannot."""
    try:
        ports.files.read(environment)
    except (InvalidRelease, InvalidValue) as error:
        return [Problem(where=f"release of {environment}", what=f"it cannot be read: {error.what}")]
    return []


def _named(events: Sequence[Event], log: Sequence[Logged]) -> list[Problem]:
    """Check the ledger heads that release commits name: this finds an end that was cut off."""
    hashes = {event.seq: event.hash for event in events} | {0: GENESIS}
    problems: list[Problem] = []
    for logged in reversed(log):
        named = ledger_trailer(logged.trailers)
        if named is None or hashes.get(named[0]) == named[1]:
            continue
        last = events[-1].seq if events else 0
        if named[0] > last:
            what = f"event {last + 1} is missing: commit {logged.commit[:12]} was made when the ledger had {named[0]}"
        else:
            what = f"event {named[0]} is not the one that commit {logged.commit[:12]} names"
        problems.append(Problem(where=f"event {min(named[0], last + 1)}", what=what))
    return problems[:1]


def _moves(events: Sequence[Event], environment: str, log: Sequence[Logged]) -> list[Problem]:
    """Check that moves and release commits are the same set, one event a commit."""
    subject = f"environment:{environment}"
    moves = [event for event in events if event.subject == subject and event.kind.startswith("release.")]
    told = [str(event.body["commit"]) for event in moves if event.body.get("commit")]
    made = {logged.commit for logged in log}
    problems: list[Problem] = []
    for event in moves:
        commit = str(event.body.get("commit", ""))
        if commit and commit not in made:
            problems.append(
                Problem(where=f"event {event.seq}", what=f"its commit {commit[:12]} is not in {environment}'s history")
            )
        elif told.count(commit) > 1:
            problems.append(Problem(where=f"event {event.seq}", what=f"commit {commit[:12]} is recorded twice"))
    for logged in reversed(log):
        if logged.commit in told:
            continue
        if EVENT_TRAILER in logged.trailers:
            what = "it is not in the ledger: a move was interrupted (the next one completes it), or its event is gone"
        else:
            what = (
                "somebody changed the release by hand and it is not in the ledger yet: the next watch or move tells it"
            )
        problems.append(Problem(where=f"commit {logged.commit}", what=what))
    return problems


def _sealed(events: Sequence[Event], environment: str, ports: AuditPorts) -> list[Problem]:
    """Check the signed checkpoint: this finds an end that was cut off after the last release commit."""
    moved = any(e.subject == f"environment:{environment}" and e.kind.startswith("release.") for e in events)
    data, where = ports.checkpoints.read(environment), "checkpoint"
    if data is None:
        what = f"{environment} has none: it was removed, or the first move was interrupted (the next one writes it)"
        return [Problem(where=where, what=what)] if moved else []
    try:
        found = last_checkpoint(environment, data, ports.keys)
    except MainspringError as error:
        return [Problem(where=where, what=error.what)]
    if {event.seq: event.hash for event in events}.get(found.seq) == found.hash:
        return []
    last = events[-1].seq if events else 0
    if found.seq > last:
        what = (
            f"event {last + 1} is missing: the checkpoint of {environment} was signed when the ledger had {found.seq}"
        )
    else:
        what = f"event {found.seq} is not the one that the checkpoint of {environment} was signed over"
    return [Problem(where=f"event {min(found.seq, last + 1)}", what=what)]


def _numbers(versions: Sequence[tuple[int, str]], log: Sequence[Logged]) -> list[Problem]:
    """Check that numbers are dense, digests unique, and releases name what the table says."""
    problems = [
        Problem(where=f"version {wanted}", what=f"it is missing: version {found} is in its place")
        for wanted, (found, _) in enumerate(versions, start=1)
        if found != wanted
    ][:1]
    table = dict(versions)
    if len(set(table.values())) != len(table):
        problems.append(Problem(where="versions", what="one digest has two numbers"))
    for logged in log:
        for named in (logged.release.champion, logged.release.challenger):
            if named is not None and table.get(named.version) != named.digest:
                what = f"commit {logged.commit[:12]} released it as {named.digest}, the table says otherwise"
                problems.append(Problem(where=f"version {named.version}", what=what))
    return problems
