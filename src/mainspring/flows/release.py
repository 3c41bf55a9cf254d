"""Move a version through an environment: promote, advance, finish, abort, roll back. One commit and one event a move.

Order of effects: look and decide; commit the release file (the compare-and-set, and the only step that changes what
serves); append the event. `flows.moves` holds the words and the record.
"""

import json
from collections.abc import Callable
from dataclasses import replace

from mainspring.deliver import release as rules
from mainspring.deliver.ports import GATE
from mainspring.deliver.release import ROLLS_BACK, Logged, Mode, Plan, Release, ReleaseRefused, Share
from mainspring.flows.checkpoint import seal_ledger
from mainspring.flows.moves import (
    ACTOR_TRAILER,
    CAUSE_TRAILER,
    EVENT_TRAILER,
    LEDGER_TRAILER,
    REASON_TRAILER,
    RUN_TRAILER,
    TRIES,
    Admitted,
    Candidate,
    Move,
    Moved,
    ReleasePorts,
    draft,
    record,
    settle,
)
from mainspring.kernel.errors import Conflict, NotFound
from mainspring.kernel.ids import checked_name

_NO_PAPERS = Admitted()


def promote(
    move: Move, which: int | str, ports: ReleasePorts, *, plan: Plan | None = None, mode: Mode | None = "canary",
    share: Share | None = None,
) -> Moved:  # fmt: skip
    """Bring a version (number or digest) into an environment.

    The first version of an environment, or any with `mode=None`, answers everything at once; others begin a trial by
    `plan` (by default the one in the release file), with the `share` that A/B tests and bandits have. Refused: an
    unknown or unsigned version, one whose gate did not pass, any version while another is on trial, and whatever
    `ports.admit` forbids. A first version that no gate judged (an adopted model) is left to `ports.admit`.
    """
    checked_name(move.environment, "environment")
    version, digest = _find(move.model, which, ports)

    def act(current: Release | None, expected: str) -> Moved:
        if _is_there(current, digest, mode, share):
            return Moved(release=_known(current, move), commit=expected, event=None, changed=False)
        if mode is not None and current is not None and (trial := current.challenger) and trial.digest == digest:
            what = f"version {version} is on trial already: {trial.mode} at {trial.weight} %"
            raise ReleaseRefused(what, fix="end that first: mainspring rollback")
        _check_gate(digest, version, ports, first=current is None)
        files = ports.models.open(digest, ports.keys.trusted(move.environment))
        if current is None or mode is None:
            wanted = rules.promote(current, move.model, version, digest, plan)
        else:
            wanted = rules.promote_to_canary(current, version, digest, plan, mode, share)
        papers = ports.admit(move, Candidate(version=version, digest=digest, files=files, expected=expected))
        return _apply(move, "release.promoted", wanted, expected, ports, papers=papers)

    return _retried(move, ports, act, arrived=lambda release: _is_there(release, digest, mode, share))


def advance(move: Move, weight: int, ports: ReleasePorts) -> Moved:
    """Give the challenger `weight` percent of askers."""

    def act(current: Release | None, expected: str) -> Moved:
        wanted = rules.advance(_known(current, move), weight)
        if wanted == current:
            return Moved(release=wanted, commit=expected, event=None, changed=False)
        return _apply(move, "release.advanced", wanted, expected, ports)

    return _retried(move, ports, act)


def finish(move: Move, ports: ReleasePorts) -> Moved:
    """Make the challenger the champion."""

    def act(current: Release | None, expected: str) -> Moved:
        wanted = rules.finish(_known(current, move))
        ports.models.open(wanted.champion.digest, ports.keys.trusted(move.environment))
        return _apply(move, "release.finished", wanted, expected, ports)

    return _retried(move, ports, act)


def abort(move: Move, ports: ReleasePorts) -> Moved:
    """End the trial; the champion answers everything again."""

    def act(current: Release | None, expected: str) -> Moved:
        return _apply(move, "release.aborted", rules.abort(_known(current, move)), expected, ports)

    return _retried(move, ports, act)


def rollback(move: Move, ports: ReleasePorts) -> Moved:
    """Go back to the last healthy content: out of a trial, or to the champion before this one.

    It is a new commit that names what it undoes, so a second roll-back goes further back instead of undoing the first.
    """

    def act(current: Release | None, expected: str) -> Moved:
        _known(current, move)
        log = ports.files.log(move.environment)
        wanted = rules.last_healthy(log)
        ports.models.open(wanted.champion.digest, ports.keys.trusted(move.environment))
        papers = Admitted(trailers={ROLLS_BACK: log[0].commit})
        return _apply(move, "release.rolled_back", wanted, expected, ports, papers=papers)

    return _retried(move, ports, act)


def _retried(
    move: Move, ports: ReleasePorts, act: Callable[[Release | None, str], Moved],
    arrived: Callable[[Release | None], bool] = lambda release: False,
) -> Moved:  # fmt: skip
    """Look, decide and commit; again where another writer was first with something else.

    Of two moves that would change one release, one wins: the loser is told what stands there now, unless that is
    what it wanted. So nothing that somebody else decided is undone unseen.
    """
    base: Release | None = None
    for attempt in range(TRIES):
        current, expected = ports.files.read(move.environment)
        settle(move, ports)  # after the look, so that whatever we build on has its record, also a killed racer's
        if attempt and current != base and not arrived(current):
            raise Conflict(f"{move.environment} was changed meanwhile: {_told(current)}", fix="decide again")
        base = current
        try:
            return act(current, expected)
        except Conflict:
            if attempt == TRIES - 1:
                raise
    raise AssertionError  # unreachable: the last attempt returns or raises


def _apply(
    move: Move, kind: str, wanted: Release, expected: str, ports: ReleasePorts, *, papers: Admitted = _NO_PAPERS
) -> Moved:  # fmt: skip
    seq, head = ports.ledger.head()
    trailers = {
        EVENT_TRAILER: kind,
        ACTOR_TRAILER: move.actor,
        RUN_TRAILER: move.run,
        CAUSE_TRAILER: " ".join(str(number) for number in move.cause),
        REASON_TRAILER: " ".join(move.reason.split()),
        LEDGER_TRAILER: f"{seq}:{head}",
        **papers.trailers,
    }
    kept = {name: value for name, value in trailers.items() if value}
    message = f"{move.environment}: {_subject(kind, wanted)}"
    commit = ports.files.write(
        move.environment, wanted, expected=expected, message=message, trailers=kept, beside=papers.beside
    )
    logged = Logged(commit, wanted, kept)
    if move.proposed:
        told = replace(draft(logged, move), kind="promotion.proposed")
        return Moved(release=wanted, commit=commit, event=ports.ledger.append([told], at=move.at)[0], changed=True)
    event = record(logged, move, ports)
    seal_ledger(move.environment, ports.sealing, at=move.at)
    return Moved(release=wanted, commit=commit, event=event, changed=True)


def _find(model: str, which: int | str, ports: ReleasePorts) -> tuple[int, str]:
    """Return (version, digest) of a registered version; refuse any other."""
    for version, digest in ports.versions.list(model):
        if which in (version, digest):
            return version, digest
    shown = str(which)[:80]
    shown = shown if shown.isprintable() else ascii(shown)
    raise ReleaseRefused(f"{model} has no version {shown}", fix="see: mainspring status")


def _check_gate(digest: str, version: int, ports: ReleasePorts, *, first: bool) -> None:
    evidence = ports.models.evidence(digest, GATE)
    if evidence is None and first:
        return
    verdict = None if evidence is None else json.loads(evidence)
    if not isinstance(verdict, dict) or verdict.get("passed") is not True:
        what = "was not judged by its gate" if verdict is None else "did not pass its gate"
        raise ReleaseRefused(f"version {version} {what}", fix="see the reasons: mainspring gate; then train again")


def _is_there(current: Release | None, digest: str, mode: Mode | None, share: Share | None) -> bool:
    if current is None:
        return False
    trial = current.challenger
    if trial is not None:
        same_share = share is None or share == (trial.weight, trial.floor)
        return trial.digest == digest and trial.mode == mode and same_share
    return current.champion.digest == digest


def _told(release: Release | None) -> str:
    if release is None:
        return "nothing serves there"
    trial = f", version {release.challenger.version} is on trial" if release.challenger else ""
    return f"version {release.champion.version} answers{trial}"


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
