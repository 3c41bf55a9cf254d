"""Approve a version for an environment: one signed file, one commit, one event.

The approval binds the digest, the environment and the entry (`deliver.promotion`). It needs no model store and no
registry: a version that answers in the earlier environment is found in its committed release file.
"""

from dataclasses import asdict, dataclass

from mainspring.deliver.ports import Versions
from mainspring.deliver.promotion import Approval, PromotionRefused, Wanted, counted, digests_of, entry_of
from mainspring.flows.entering import (
    APPROVAL,
    APPROVERS,
    Committed,
    approval_name,
    approvers,
    read_approvals,
)
from mainspring.flows.moves import ACTOR_TRAILER, EVENT_TRAILER, REASON_TRAILER, TRIES, Move
from mainspring.kernel.errors import Conflict
from mainspring.kernel.events import Draft, Ledger
from mainspring.security.signing import key_id, public_of
from mainspring.security.statements import sign_statement

APPROVED = "promotion.approved"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovePorts:
    """What an approval needs. key: the approver's private key (PEM). earlier: the rung before, or ""."""

    ledger: Ledger
    files: Committed
    versions: Versions
    key: bytes
    earlier: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """What was approved, by whom, and who else did. names: everybody whose approval counts, but for separate duties."""

    approval: Approval
    name: str
    key: str
    names: tuple[str, ...]
    commit: str
    changed: bool


def approve(move: Move, which: int | str, ports: ApprovePorts, *, lasts: int) -> Approved:
    """Record the approver's yes for `lasts` microseconds; again while it holds changes nothing.

    Refused: a key that is no approver's, a version nobody knows, one that serves there already.
    """
    for _ in range(TRIES):
        current, expected = ports.files.read(move.environment)
        people = approvers(move.environment, ports.files)
        key = key_id(public_of(ports.key))
        if key not in people:
            raise PromotionRefused(
                f"key {key[:16]} is not an approver's of {move.environment}",
                fix=f"commit its public key as environments/{move.environment}/{APPROVERS}/NAME.pem",
            )
        version, digest = _find(move, which, ports)
        if digest in digests_of(current):
            raise PromotionRefused(f"version {version} is in {move.environment} already", fix="see: mainspring status")
        entry = entry_of(ports.files.log(move.environment), digest)
        wanted = Wanted(
            environment=move.environment, model=move.model, version=version, digest=digest, entry=entry, at=move.at
        )
        found, _ = read_approvals(wanted, ports.files, people)
        mine, name = found.get(f"{people[key][0]}#{key}"), people[key][0]
        if mine is not None and name in counted(wanted, {f"{name}#{key}": mine}):
            _tell(move, mine, name, expected, ports)
            return Approved(
                approval=mine, name=name, key=key, names=counted(wanted, found), commit=expected, changed=False
            )  # fmt: skip
        mine = Approval(
            environment=move.environment, model=move.model, version=version, digest=digest, entry=entry, at=move.at,
            expires=move.at + lasts, reason=" ".join(move.reason.split()),
        )  # fmt: skip
        try:
            commit = _commit(move, mine, name, expected, ports)
        except Conflict:
            continue
        _tell(move, mine, name, commit, ports)
        names = counted(wanted, {**found, f"{name}#{key}": mine})
        return Approved(approval=mine, name=name, key=key, names=names, commit=commit, changed=True)
    raise Conflict("other writers kept committing", fix="approve again")


def _commit(move: Move, approval: Approval, name: str, expected: str, ports: ApprovePorts) -> str:
    data = sign_statement(APPROVAL, asdict(approval), ports.key)
    path = approval_name(approval.digest, key_id(public_of(ports.key)))
    trailers = {EVENT_TRAILER: APPROVED, ACTOR_TRAILER: move.actor, REASON_TRAILER: approval.reason}
    message = f"{move.environment}: {name} approves version {approval.version}"
    kept = {trailer: value for trailer, value in trailers.items() if value}
    return ports.files.keep(move.environment, {path: data}, expected=expected, message=message, trailers=kept)


def _tell(move: Move, approval: Approval, name: str, commit: str, ports: ApprovePorts) -> None:
    """Append the event, unless an earlier call that was killed after its commit, or this one, did."""
    subject, body = f"environment:{move.environment}", {**asdict(approval), "approver": name}
    for event in ports.ledger.read(kind=APPROVED, subject=subject):
        if {key: value for key, value in event.body.items() if key != "commit"} == body:
            return
    draft = Draft(kind=APPROVED, subject=subject, actor=move.actor, body={**body, "commit": commit})
    ports.ledger.append([draft], at=move.at)


def _find(move: Move, which: int | str, ports: ApprovePorts) -> tuple[int, str]:
    """Return (version, digest): what answers in the earlier environment, or any registered version."""
    before = ports.files.read(ports.earlier)[0] if ports.earlier else None
    known = [(before.champion.version, before.champion.digest)] if before else []
    for version, digest in [*known, *ports.versions.list(move.model)]:
        if which in (version, digest):
            return version, digest
    raise PromotionRefused(f"{move.model} has no version {str(which)[:80]}", fix="see: mainspring status")
