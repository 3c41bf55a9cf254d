"""What happened: one append-only, hash-chained event per transition.

`seal` makes the next event of a chain; `first_break` re-reads a chain and names the first record that does not
hold. A chain alone cannot show that its end was cut off: release commits carry `Mainspring-Ledger: <seq>:<hash>`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import Any, Protocol

from mainspring.kernel.digests import canonical_json, digest_bytes
from mainspring.kernel.errors import InvalidValue

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


def plain_draft(draft: Draft) -> Draft:
    """Return the draft as it will be read back: plain JSON body, texts that every database can hold."""
    for name in ("kind", "subject", "actor", "run"):
        if "\x00" in getattr(draft, name):
            raise InvalidValue(f"the {name} of an event holds a NUL character", fix="remove it")
    try:
        body = json.loads(json.dumps(draft.body, allow_nan=False, default=_plain))
        json.dumps(body, ensure_ascii=False).encode("utf-8")
    except (ValueError, TypeError) as error:
        raise InvalidValue(
            f"an event's body is not plain JSON: {error}", fix="use texts, numbers, lists, null"
        ) from error
    return replace(draft, cause=tuple(draft.cause), body=body)


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON is any of these
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


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
