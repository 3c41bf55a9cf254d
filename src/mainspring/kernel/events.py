"""What happened: one append-only, hash-chained event per transition.

`seal` makes the next event of a chain; `first_break` re-reads a chain and names the first record that does not
hold. A chain alone cannot show that its end was cut off: release commits carry `Mainspring-Ledger: <seq>:<hash>`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from mainspring.kernel.digests import canonical_json, digest_bytes

GENESIS = "sha256:" + "0" * 64
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An event before it has a place in the chain.

    kind: what happened, `<noun>.<past participle>`, for example `gate.passed`.
    subject: what it happened to: a digest, `version:<n>`, `run:<id>`, `environment:<name>` or `source:<name>`.
    actor: who did it (`user:<name>`, `watch`, `server`).
    run: the run it belongs to, or "".
    cause: sequence numbers of the events that led to it.
    body: JSON-like details; no NaN.
    """

    kind: str
    subject: str
    actor: str
    run: str = ""
    cause: Sequence[int] = ()
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One sealed record. `at` is UTC microseconds; `hash` covers every other field."""

    seq: int
    at: int
    kind: str
    subject: str
    actor: str
    run: str
    cause: tuple[int, ...]
    body: Mapping[str, Any]
    prev: str
    hash: str
    schema: int = SCHEMA


class Ledger(Protocol):
    """Appends and reads events. Every adapter passes tests/conformance/test_ledger.py."""

    def append(self, drafts: Sequence[Draft], *, at: int, expected_head: int | None = None) -> list[Event]:
        """Append `drafts` in one transaction.

        With `expected_head` (a sequence number, 0 for an empty ledger) the append happens only if the ledger
        still ends there, else `Conflict` is raised and nothing is written. Without it, losers of a race retry.
        """

    def read(self, *, kind: str = "", subject: str = "", run: str = "", after: int = 0, limit: int = 0) -> list[Event]:
        """Return matching events in order; `kind` may end in `.*`; `limit` 0 means all."""

    def head(self) -> tuple[int, str]:
        """Return (sequence number, hash) of the last event; (0, GENESIS) when empty."""


def seal(draft: Draft, *, seq: int, at: int, prev: str) -> Event:
    """Return the event that follows `prev` in the chain."""
    content = {
        "seq": seq, "at": at, "kind": draft.kind, "subject": draft.subject, "actor": draft.actor, "run": draft.run,
        "cause": list(draft.cause), "body": draft.body, "prev": prev, "schema": SCHEMA,
    }  # fmt: skip
    return Event(
        seq=seq, at=at, kind=draft.kind, subject=draft.subject, actor=draft.actor, run=draft.run,
        cause=tuple(draft.cause), body=draft.body, prev=prev, hash=digest_bytes(canonical_json(content)),
    )  # fmt: skip


def expected_hash(event: Event) -> str:
    """Return the hash that `event` must carry."""
    content = asdict(event)
    del content["hash"]
    return digest_bytes(canonical_json(content))


def first_break(events: Iterable[Event]) -> str | None:
    """Return what is wrong with the first record that does not hold, or None for a whole chain."""
    prev = GENESIS
    for seq, event in enumerate(events, start=1):
        if event.seq != seq:
            return f"event {seq} is missing: found {event.seq} in its place"
        if event.prev != prev:
            return f"event {seq} does not follow event {seq - 1}"
        if event.hash != expected_hash(event):
            return f"event {seq} was changed after it was written"
        prev = event.hash
    return None
