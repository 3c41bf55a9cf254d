"""The ledger as a list."""

import threading
from collections.abc import Sequence

from mainspring.kernel.errors import Conflict
from mainspring.kernel.events import GENESIS, Draft, Event, plain_draft, seal


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
                events.append(seal(plain_draft(draft), seq=seq + 1, at=at, prev=prev))
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
