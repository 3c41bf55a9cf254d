"""Open an SQLite file the safe way: rollback journal, private, one schema version, one writer at a time."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from mainspring.kernel.errors import Damaged
from mainspring.kernel.files import make_private

SCHEMA = 1
BUSY_S = 30.0
Durability = Literal["FULL", "NORMAL", "OFF"]


def connect(path: Path, tables: str, durability: Durability) -> sqlite3.Connection:
    """Open (and make on first use) the file at `path`; every statement of `tables` must be `if not exists`."""
    make_private(path.parent)
    try:
        database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        database.execute("pragma journal_mode = delete")
        database.execute(f"pragma synchronous = {durability}")
        version = database.execute("pragma user_version").fetchone()[0]
        if version not in (0, SCHEMA):
            database.close()
            raise Damaged(f"{path.name} has schema {version}, not {SCHEMA}", fix="upgrade mainspring")
        if not version:
            path.chmod(0o600)
            database.executescript(f"begin immediate; {tables}; pragma user_version = {SCHEMA}; commit")
    except sqlite3.DatabaseError as error:
        raise Damaged(f"{path.name} cannot be opened: {error}", fix="restore it, or rebuild it from the log") from error
    return database


@contextmanager
def writing(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Run a block as one transaction: all of it or nothing."""
    database.execute("begin immediate")
    try:
        yield database
    except BaseException:
        database.execute("rollback")
        raise
    database.execute("commit")
