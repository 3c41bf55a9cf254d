"""A move of a release: who moves what, what a move needs, and its record in the ledger.

A release commit's trailers hold all that its event says, so a move that was killed between the two is completed by the
next move, or by asking for the same one again: every flow settles first.

The trailer `Mainspring-Ledger: <seq>:<hash>` names the ledger's head at commit time, before the move's own event:
a ledger that was cut below that event no longer has it, and `flows.audit` finds out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from mainspring.deliver.ports import Checkpoints, Keys, ModelStore, ReleaseFiles, Versions
from mainspring.deliver.release import ROLLS_BACK, Logged, Release
from mainspring.flows.checkpoint import Sealing
from mainspring.kernel.errors import Conflict
from mainspring.kernel.events import Draft, Event, Ledger

LEDGER_TRAILER = "Mainspring-Ledger"
EVENT_TRAILER = "Mainspring-Event"
ACTOR_TRAILER = "Mainspring-Actor"
RUN_TRAILER = "Mainspring-Run"
CAUSE_TRAILER = "Mainspring-Cause"
REASON_TRAILER = "Mainspring-Reason"
EDITED = "release.edited"
EMERGENCY_TRAILER = "Mainspring-Emergency"
PAPERS: Mapping[str, str] = {
    "emergency": EMERGENCY_TRAILER, "from": "Mainspring-From", "evidence": "Mainspring-Evidence",
    "approved_by": "Mainspring-Approved-By", "gate": "Mainspring-Gate", "image": "Mainspring-Image",
    "sbom": "Mainspring-SBOM", "scan": "Mainspring-Scan",
}  # fmt: skip
TRIES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Who moves what, when and why.

    environment, model: names. actor: `user:<name>` or `watch`. at: UTC microseconds. reason: one line for people.
    run: the run it belongs to, or "". cause: sequence numbers of the events that led here. proposed: the commit goes
    to a branch for others to merge, so nothing has moved yet.
    """

    environment: str
    model: str
    actor: str
    at: int
    reason: str = ""
    run: str = ""
    cause: tuple[int, ...] = ()
    proposed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A version's papers for an environment: trailers of the commit, and files that it writes beside the release."""

    trailers: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Who wants to enter: a registered version, its verified files, and the commit at which the rest was read."""

    version: int
    digest: str
    files: Mapping[str, bytes]
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePorts:
    """What a move needs. admit: judges who may enter an environment; it raises what forbids it, or returns papers."""

    ledger: Ledger
    files: ReleaseFiles
    models: ModelStore
    versions: Versions
    keys: Keys
    checkpoints: Checkpoints
    admit: Callable[[Move, Candidate], Admitted] = lambda move, candidate: Admitted()

    @property
    def sealing(self) -> Sealing:
        """What signing the ledger's end needs."""
        return Sealing(ledger=self.ledger, keys=self.keys, checkpoints=self.checkpoints)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The state after a move. changed: False when it was so already. event: its record, None if not changed."""

    release: Release
    commit: str
    event: Event | None
    changed: bool


def settle(move: Move, ports: ReleasePorts) -> Event | None:
    """Append the events of release commits that have none; return the last, or None if nothing was left open.

    Such a commit is a move that was killed before its event (only the newest can be: every move settles first), or
    an edit that somebody committed by hand, which is told as `release.edited`.
    """
    if not ports.files.head(move.environment):
        return None
    last = None
    for logged in _open(ports.files.log(move.environment), move, ports):
        last = record(logged, move, ports)
    return last


def ledger_trailer(trailers: Mapping[str, str]) -> tuple[int, str] | None:
    """Return the (seq, hash) of the ledger's head that a release commit names, or None."""
    seq, _, found = trailers.get(LEDGER_TRAILER, "").partition(":")
    return (int(seq), found) if seq.isascii() and seq.isdigit() and found else None


def _open(log: Sequence[Logged], move: Move, ports: ReleasePorts) -> list[Logged]:
    """Return the commits since the last recorded one, oldest first; only the newest where none is recorded."""
    moves = ports.ledger.read(kind="release.*", subject=f"environment:{move.environment}")
    told = {event.body.get("commit") for event in moves}
    since = list(takewhile(lambda logged: logged.commit not in told, log))
    found = since if len(since) < len(log) else since[:1]
    by_hand = [logged for logged in found[1:] if EVENT_TRAILER not in logged.trailers]
    return [*reversed(by_hand), *found[:1]]


def record(logged: Logged, move: Move, ports: ReleasePorts) -> Event | None:
    """Append the event of a release commit unless it is there; exactly one, whoever else tries."""
    named = ledger_trailer(logged.trailers)
    subject, since = f"environment:{move.environment}", named[0] if named else 0
    for _ in range(TRIES):
        seq, _ = ports.ledger.head()
        known = ports.ledger.read(kind="release.*", subject=subject, after=since)
        if any(event.body.get("commit") == logged.commit for event in known):
            return None
        try:
            return ports.ledger.append([draft(logged, move)], at=move.at, expected_head=seq)[0]
        except Conflict:
            continue
    raise Conflict("other writers kept appending to the ledger", fix="run the command again: it completes the record")


def draft(logged: Logged, move: Move) -> Draft:
    """Return the event that a release commit's content and trailers tell."""
    release, trailers = logged.release, logged.trailers
    body: dict[str, Any] = {
        "environment": move.environment,
        "champion": {"version": release.champion.version, "digest": release.champion.digest},
        "challenger": None,
        "commit": logged.commit,
        "reason": trailers.get(REASON_TRAILER, "" if EVENT_TRAILER in trailers else "committed by hand"),
    }
    if release.challenger is not None:
        body["challenger"] = {
            "version": release.challenger.version, "digest": release.challenger.digest,
            "weight": release.challenger.weight, "mode": release.challenger.mode,
        }  # fmt: skip
    if ROLLS_BACK in trailers:
        body["rolls_back"] = trailers[ROLLS_BACK]
    body.update({name: trailers[trailer] for name, trailer in PAPERS.items() if trailer in trailers})
    return Draft(
        kind=trailers.get(EVENT_TRAILER, EDITED),
        subject=f"environment:{move.environment}",
        actor=trailers.get(ACTOR_TRAILER, "" if EVENT_TRAILER in trailers else "git"),
        run=trailers.get(RUN_TRAILER, ""),
        cause=tuple(int(number) for number in trailers.get(CAUSE_TRAILER, "").split() if number.isdigit()),
        body=body,
    )
