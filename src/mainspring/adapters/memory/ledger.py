"""The ledger as a list."""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass, replace
from typing import Any

from mainspring.kernel.errors import Conflict, InvalidValue
from mainspring.kernel.events import GENESIS, Draft, Event, seal


class Ledger:
    """Keeps events in a list. Not shared between processes."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._turn = threading.Lock()

    def append(self, drafts: Sequence[Draft], *, at: int, expected_head: int | None = None) -> list[Event]:
        """Append `drafts` in one step."""
        with self._turn:
            seq, prev = self.head()
            if expected_head is not None and seq != expected_head:
                raise Conflict(
                    f"the ledger no longer ends at event {expected_head}: it ends at {seq}", fix="read again"
                )
            events: list[Event] = []
            for draft in drafts:
                events.append(seal(_plain_draft(draft), seq=seq + 1, at=at, prev=prev))
                seq, prev = events[-1].seq, events[-1].hash
            self._events.extend(events)
            return events

    def read(self, *, kind: str = "", subject: str = "", run: str = "", after: int = 0, limit: int = 0) -> list[Event]:
        """Return matching events in order."""
        found = [
            event
            for event in self._events[after:]
            if _is_kind(event.kind, kind) and subject in ("", event.subject) and run in ("", event.run)
        ]
        return found[:limit] if limit else found

    def head(self) -> tuple[int, str]:
        """Return (sequence number, hash) of the last event; (0, GENESIS) when empty."""
        return (self._events[-1].seq, self._events[-1].hash) if self._events else (0, GENESIS)


def _is_kind(found: str, wanted: str) -> bool:
    return found.startswith(wanted[:-1]) if wanted.endswith(".*") else wanted in ("", found)


def _plain_draft(draft: Draft) -> Draft:
    if any("\x00" in text for text in (draft.kind, draft.subject, draft.actor, draft.run)):
        raise InvalidValue("an event holds a NUL character", fix="remove it")
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
