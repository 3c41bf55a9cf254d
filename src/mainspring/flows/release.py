"""Move a version through an environment: promote, advance, finish, abort, roll back. One commit and one event a move.

Order of effects: look and decide; commit the release file (the compare-and-set, and the only step that changes what
serves); append the event. The commit's trailers hold all that the event says, so a move that was killed between the
two is completed by the next move, or by asking for the same one again: every flow here settles first.

The trailer `Mainspring-Ledger: <seq>:<hash>` names the ledger's head at commit time, before the move's own event:
a ledger that was cut below that event no longer has it, and `flows.audit` finds out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from mainspring.deliver import release as rules
from mainspring.deliver.ports import GATE, Checkpoints, Keys, ModelStore, ReleaseFiles, Versions
from mainspring.deliver.release import ROLLS_BACK, Logged, Mode, Plan, Release, ReleaseRefused
from mainspring.flows.checkpoint import Sealing, seal_ledger
from mainspring.kernel.errors import Conflict, NotFound
from mainspring.kernel.events import Draft, Event, Ledger

LEDGER_TRAILER = "Mainspring-Ledger"
EVENT_TRAILER = "Mainspring-Event"
ACTOR_TRAILER = "Mainspring-Actor"
RUN_TRAILER = "Mainspring-Run"
CAUSE_TRAILER = "Mainspring-Cause"
REASON_TRAILER = "Mainspring-Reason"
EDITED = "release.edited"
_TRIES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Who moves what, when and why.

    environment, model: names. actor: `user:<name>` or `watch`. at: UTC microseconds. reason: one line for people.
    run: the run it belongs to, or "". cause: sequence numbers of the events that led here.
    """

    environment: str
    model: str
    actor: str
    at: int
    reason: str = ""
    run: str = ""
    cause: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePorts:
    """What a move needs."""

    ledger: Ledger
    files: ReleaseFiles
    models: ModelStore
    versions: Versions
    keys: Keys
    checkpoints: Checkpoints

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


def promote(
    move: Move, which: int | str, ports: ReleasePorts, *, plan: Plan | None = None, mode: Mode | None = "canary"
) -> Moved:
    """Bring a version (number or digest) into an environment.

    The first version of an environment, or any with `mode=None`, answers everything at once; others begin a trial by
    `plan` (by default the one in the release file). Refused: an unknown or unsigned version, one whose gate did not
    pass (unless it is the first), and any version while another is on trial.
    """
    settle(move, ports)
    current, expected = ports.files.read(move.environment)
    version, digest = _find(move.model, which, ports)
    if _is_there(current, digest, mode):
        return Moved(release=_known(current, move), commit=expected, event=None, changed=False)
    _check_gate(digest, version, ports, first=current is None)
    ports.models.open(digest, ports.keys.trusted(move.environment))
    if current is None or mode is None:
        wanted = rules.promote(current, move.model, version, digest, plan)
    else:
        wanted = rules.promote_to_canary(current, version, digest, plan, mode)
    return _apply(move, "release.promoted", wanted, expected, ports)


def advance(move: Move, weight: int, ports: ReleasePorts) -> Moved:
    """Give the challenger `weight` percent of askers."""
    settle(move, ports)
    current, expected = ports.files.read(move.environment)
    wanted = rules.advance(_known(current, move), weight)
    if wanted == current:
        return Moved(release=wanted, commit=expected, event=None, changed=False)
    return _apply(move, "release.advanced", wanted, expected, ports)


def finish(move: Move, ports: ReleasePorts) -> Moved:
    """Make the challenger the champion."""
    settle(move, ports)
    current, expected = ports.files.read(move.environment)
    wanted = rules.finish(_known(current, move))
    ports.models.open(wanted.champion.digest, ports.keys.trusted(move.environment))
    return _apply(move, "release.finished", wanted, expected, ports)


def abort(move: Move, ports: ReleasePorts) -> Moved:
    """End the trial; the champion answers everything again."""
    settle(move, ports)
    current, expected = ports.files.read(move.environment)
    return _apply(move, "release.aborted", rules.abort(_known(current, move)), expected, ports)


def rollback(move: Move, ports: ReleasePorts) -> Moved:
    """Go back to the last healthy content: out of a trial, or to the champion before this one.

    It is a new commit that names what it undoes, so a second roll-back goes further back instead of undoing the first.
    """
    settle(move, ports)
    current, expected = ports.files.read(move.environment)
    _known(current, move)
    log = ports.files.log(move.environment)
    wanted = rules.last_healthy(log)
    ports.models.open(wanted.champion.digest, ports.keys.trusted(move.environment))
    return _apply(move, "release.rolled_back", wanted, expected, ports, undone=log[0].commit)


def settle(move: Move, ports: ReleasePorts) -> Event | None:
    """Append the events of release commits that have none; return the last, or None if nothing was left open.

    Such a commit is a move that was killed before its event (only the newest can be: every move settles first), or
    an edit that somebody committed by hand, which is told as `release.edited`.
    """
    if not ports.files.head(move.environment):
        return None
    last = None
    for logged in _open(ports.files.log(move.environment), move, ports):
        last = _record(logged, move, ports)
    return last


def ledger_trailer(trailers: Mapping[str, str]) -> tuple[int, str] | None:
    """Return the (seq, hash) of the ledger's head that a release commit names, or None."""
    seq, _, found = trailers.get(LEDGER_TRAILER, "").partition(":")
    return (int(seq), found) if seq.isascii() and seq.isdigit() and found else None


def _apply(move: Move, kind: str, wanted: Release, expected: str, ports: ReleasePorts, *, undone: str = "") -> Moved:
    seq, head = ports.ledger.head()
    trailers = {
        EVENT_TRAILER: kind,
        ACTOR_TRAILER: move.actor,
        RUN_TRAILER: move.run,
        CAUSE_TRAILER: " ".join(str(number) for number in move.cause),
        REASON_TRAILER: " ".join(move.reason.split()),
        ROLLS_BACK: undone,
        LEDGER_TRAILER: f"{seq}:{head}",
    }
    kept = {name: value for name, value in trailers.items() if value}
    message = f"{move.environment}: {_subject(kind, wanted)}"
    commit = ports.files.write(move.environment, wanted, expected=expected, message=message, trailers=kept)
    event = _record(Logged(commit, wanted, kept), move, ports)
    seal_ledger(move.environment, ports.sealing, at=move.at)
    return Moved(release=wanted, commit=commit, event=event, changed=True)


def _open(log: Sequence[Logged], move: Move, ports: ReleasePorts) -> list[Logged]:
    """Return the commits since the last recorded one, oldest first; only the newest where none is recorded."""
    moves = ports.ledger.read(kind="release.*", subject=f"environment:{move.environment}")
    told = {event.body.get("commit") for event in moves}
    since = list(takewhile(lambda logged: logged.commit not in told, log))
    found = since if len(since) < len(log) else since[:1]
    by_hand = [logged for logged in found[1:] if EVENT_TRAILER not in logged.trailers]
    return [*reversed(by_hand), *found[:1]]


def _record(logged: Logged, move: Move, ports: ReleasePorts) -> Event | None:
    """Append the event of a release commit unless it is there; exactly one, whoever else tries."""
    named = ledger_trailer(logged.trailers)
    subject, since = f"environment:{move.environment}", named[0] if named else 0
    for _ in range(_TRIES):
        seq, _ = ports.ledger.head()
        known = ports.ledger.read(kind="release.*", subject=subject, after=since)
        if any(event.body.get("commit") == logged.commit for event in known):
            return None
        try:
            return ports.ledger.append([_draft(logged, move)], at=move.at, expected_head=seq)[0]
        except Conflict:
            continue
    raise Conflict("other writers kept appending to the ledger", fix="run the command again: it completes the record")


def _draft(logged: Logged, move: Move) -> Draft:
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
    return Draft(
        kind=trailers.get(EVENT_TRAILER, EDITED),
        subject=f"environment:{move.environment}",
        actor=trailers.get(ACTOR_TRAILER, "" if EVENT_TRAILER in trailers else "git"),
        run=trailers.get(RUN_TRAILER, ""),
        cause=tuple(int(number) for number in trailers.get(CAUSE_TRAILER, "").split() if number.isdigit()),
        body=body,
    )


def _find(model: str, which: int | str, ports: ReleasePorts) -> tuple[int, str]:
    """Return (version, digest) of a registered version; refuse any other."""
    for version, digest in ports.versions.list(model):
        if which in (version, digest):
            return version, digest
    raise ReleaseRefused(f"{model} has no version {str(which)[:80]}", fix="see: mainspring status")


def _check_gate(digest: str, version: int, ports: ReleasePorts, *, first: bool) -> None:
    if first:
        return
    evidence = ports.models.evidence(digest, GATE)
    verdict = None if evidence is None else json.loads(evidence)
    if not isinstance(verdict, dict) or verdict.get("passed") is not True:
        what = "was not judged by its gate" if verdict is None else "did not pass its gate"
        raise ReleaseRefused(f"version {version} {what}", fix="see the reasons: mainspring gate; then train again")


def _is_there(current: Release | None, digest: str, mode: Mode | None) -> bool:
    if current is None:
        return False
    if current.challenger is not None:
        return mode is not None and current.challenger.digest == digest
    return current.champion.digest == digest


def _known(current: Release | None, move: Move) -> Release:
    if current is None:
        raise NotFound(f"nothing serves in {move.environment} yet", fix="mainspring promote")
    if current.model != move.model:
        raise ReleaseRefused(f"{move.environment} serves {current.model!r}, not {move.model!r}", fix="use its project")
    return current


def _subject(kind: str, release: Release) -> str:
    champion, trial = f"version {release.champion.version}", release.challenger
    name = f"version {trial.version}" if trial else champion
    return {
        "release.promoted": f"promote {name}" + (f" at {trial.weight} %" if trial else ""),
        "release.advanced": f"advance {name}" + (f" to {trial.weight} %" if trial else ""),
        "release.finished": f"{champion} is the champion",
        "release.aborted": f"abort the trial, {champion} stays",
        "release.rolled_back": f"roll back to {champion}",
    }[kind]
