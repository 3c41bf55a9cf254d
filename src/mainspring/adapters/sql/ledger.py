"""The ledger in SQL. `seq` is the primary key, so the insert itself is the compare-and-set."""

import json
import threading
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, func, insert, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from mainspring.adapters.sql.database import BUSY_S, StoreBusy, events_table, open_database, reading, writing
from mainspring.kernel.errors import Conflict
from mainspring.kernel.events import GENESIS, Draft, Event, plain_draft, seal
from mainspring.kernel.failpoints import hit

_FIELDS = ("kind", "subject", "actor", "run")


class Ledger:
    """Appends and reads events in SQLite (`sqlite:////folder/ledger.db`) or PostgreSQL (`postgresql://...`).

    Threads of one process take turns here; processes take turns in the database. durable: False for a replay, which
    can be run again: then a power cut may cost the file.
    """

    def __init__(self, url: str, *, durable: bool = True) -> None:
        self._engine = open_database(url, durable=durable)
        self._turn = threading.Lock()

    def append(self, drafts: Sequence[Draft], *, at: int, expected_head: int | None = None) -> list[Event]:
        """Append `drafts` in one transaction; see `kernel.events.Ledger`."""
        ready = [plain_draft(draft) for draft in drafts]
        deadline = time.monotonic() + BUSY_S
        while True:
            try:
                with self._turn, writing(self._engine) as connection:
                    return _append(connection, ready, at, expected_head)
            except IntegrityError as error:
                if expected_head is not None:
                    raise _moved(expected_head) from error
                if time.monotonic() > deadline:
                    raise StoreBusy("other writers were always first", fix="run the command again") from error

    def read(self, *, kind: str = "", subject: str = "", run: str = "", after: int = 0, limit: int = 0) -> list[Event]:
        """Return matching events in order; see `kernel.events.Ledger`."""
        table = events_table.c
        query = select(events_table).where(table.seq > after).order_by(table.seq)
        if kind.endswith(".*"):
            prefix = kind[:-1]
            query = query.where(func.substr(table.kind, 1, len(prefix)) == prefix)
        elif kind:
            query = query.where(table.kind == kind)
        if subject:
            query = query.where(table.subject == subject)
        if run:
            query = query.where(table.run == run)
        if limit:
            query = query.limit(limit)
        with reading(self._engine) as connection:
            return [_event(row) for row in connection.execute(query)]

    def head(self) -> tuple[int, str]:
        """Return (sequence number, hash) of the last event; (0, GENESIS) when empty."""
        with reading(self._engine) as connection:
            return _head(connection)

    def close(self) -> None:
        """Give the connections back. A later call opens new ones."""
        self._engine.dispose()


def _append(connection: Connection, drafts: Sequence[Draft], at: int, expected: int | None) -> list[Event]:
    seq, prev = _head(connection)
    if expected is not None and seq != expected:
        raise _moved(expected, seq)
    events: list[Event] = []
    for draft in drafts:
        event = seal(draft, seq=seq + 1, at=at, prev=prev)
        seq, prev = event.seq, event.hash
        events.append(event)
    if events:
        connection.execute(insert(events_table), [_row(event) for event in events])
        hit("ledger.append")
    return events


def _head(connection: Connection) -> tuple[int, str]:
    query = select(events_table.c.seq, events_table.c.hash).order_by(events_table.c.seq.desc()).limit(1)
    found = connection.execute(query).first()
    return (found.seq, found.hash) if found else (0, GENESIS)


def _row(event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq, "at": event.at, "kind": event.kind, "subject": event.subject, "actor": event.actor,
        "run": event.run, "cause": json.dumps(list(event.cause)), "body": json.dumps(event.body, allow_nan=False),
        "prev": event.prev, "hash": event.hash, "schema": event.schema,
    }  # fmt: skip


def _event(row: Row[Any]) -> Event:
    return Event(
        seq=row.seq, at=row.at, kind=row.kind, subject=row.subject, actor=row.actor, run=row.run,
        cause=tuple(json.loads(row.cause)), body=json.loads(row.body), prev=row.prev, hash=row.hash, schema=row.schema,
    )  # fmt: skip


def _moved(expected: int, found: int | None = None) -> Conflict:
    now = "" if found is None else f": it ends at {found}"
    return Conflict(f"the ledger no longer ends at event {expected}{now}", fix="read it again, then decide again")
