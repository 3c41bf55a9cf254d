"""The online feature store in one SQLite file: a table a view, what each key showed from when.

The journal is the rollback journal, never WAL: the SQLite that Python links may corrupt a WAL file shared by two
writers. What is stored can be made again from a snapshot, so a commit does not wait for the disk.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from mainspring.data.ports import NEVER
from mainspring.kernel.errors import Conflict, Damaged, NotFound
from mainspring.kernel.files import make_private
from mainspring.stats.columns import Array, Columns, is_null, length

_SCHEMA = 1
_CHUNK = 20_000
_KEYS = ("key", "at", "event_time")
_WAIT_S = 10.0


class OnlineStore:
    """Reads and writes one file; threads share the object, processes share the file."""

    def __init__(self, path: Path) -> None:
        make_private(path.parent)
        self._lock = Lock()
        self._database = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        self._views: dict[str, tuple[int, dict[str, str]]] = {}
        with self._translated(path):
            path.chmod(0o600)
            self._database.execute("PRAGMA journal_mode = DELETE")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS views (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, "
                "columns TEXT NOT NULL, watermark INTEGER NOT NULL)"
            )
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _SCHEMA):
                raise Damaged(f"the online store has schema {version}, not {_SCHEMA}", fix="upgrade mainspring")
            self._database.execute(f"PRAGMA user_version = {_SCHEMA}")

    def close(self) -> None:
        """Close the file; the object cannot be used any more."""
        self._database.close()

    def write(self, view: str, rows: Columns, *, whole: bool = False) -> None:
        """Add rows of a stream; see the port. Rows are committed in parts, oldest first; a whole view in one."""
        kinds = {name: _kind(values) for name, values in rows.items() if name not in _KEYS}
        with self._translated(view):
            number, stored = self._create(view, kinds)
            if list(stored) != list(kinds):
                raise Damaged(f"view {view} has columns {list(stored)}, not {list(kinds)}", fix="use another view name")
            marks = ", ".join("?" * (3 + len(kinds)))
            sql = f"INSERT OR REPLACE INTO view_{number} VALUES ({marks})"  # noqa: S608 - a number and question marks
            order = np.argsort(rows["at"], kind="stable")
            size = length(rows) if whole else _CHUNK
            emptied = f"DELETE FROM view_{number}" if whole else ""  # noqa: S608 - a number
            for start in range(0, max(length(rows), int(whole)), max(size, 1)):
                part = order[start : start + size]
                cells = [_cells(rows[name][part]) for name in (*_KEYS, *kinds)]
                self._transact(sql, list(zip(*cells, strict=True)), first=emptied)

    def read(self, keys: Mapping[str, Sequence[str | None]], at: Sequence[int]) -> dict[str, Columns]:
        """Return what was shown to each (key, at); see the port."""
        return {view: self._read(view, wanted, at) for view, wanted in keys.items()}

    def _read(self, view: str, keys: Sequence[str | None], at: Sequence[int]) -> Columns:
        with self._translated(view):
            number, kinds = self._known(view)
            until = self.watermark(view)
            sql = f"SELECT * FROM view_{number} WHERE key = ? AND at <= ? ORDER BY at DESC LIMIT 1"  # noqa: S608
            found: list[Sequence[Any] | None] = []
            with self._lock:
                for key, moment in zip(keys, at, strict=True):
                    found.append(self._database.execute(sql, (key, min(int(moment), until))).fetchone())
        read: Columns = {"event_time": np.array([NEVER if row is None else row[2] for row in found], dtype=np.int64)}
        for place, (name, kind) in enumerate(kinds.items(), start=3):
            read[name] = _column([None if row is None else row[place] for row in found], kind)
        return read

    def watermark(self, view: str) -> int:
        """Return the time up to which the view is complete; see the port."""
        with self._translated(view), self._lock:
            row = self._database.execute("SELECT watermark FROM views WHERE name = ?", (view,)).fetchone()
        return NEVER if row is None else int(row[0])

    def publish(self, until: Mapping[str, int]) -> None:
        """Say that views are complete up to a time; see the port."""
        with self._translated(", ".join(until)):
            for view in until:
                self._known(view)
            rows = [(at, view) for view, at in until.items()]
            self._transact("UPDATE views SET watermark = max(watermark, ?) WHERE name = ?", rows)

    def prune(self, view: str, before: int) -> None:
        """Forget what no read at or after `before` can see; see the port."""
        with self._translated(view):
            number, _ = self._known(view)
            table = f"view_{number}"
            later = f"SELECT max(at) FROM {table} AS newer WHERE newer.key = {table}.key AND newer.at <= ?"  # noqa: S608
            self._transact(f"DELETE FROM {table} WHERE at < ({later})", [(before,)])  # noqa: S608 - a number only

    def _create(self, view: str, kinds: dict[str, str]) -> tuple[int, dict[str, str]]:
        with suppress(NotFound):
            return self._known(view)
        named = [(view, json.dumps(kinds), NEVER)]
        self._transact("INSERT OR IGNORE INTO views (name, columns, watermark) VALUES (?, ?, ?)", named)
        number, stored = self._known(view)
        columns = "".join(f", c{place}" for place in range(len(stored)))
        self._transact(
            f"CREATE TABLE IF NOT EXISTS view_{number} (key TEXT NOT NULL, at INTEGER NOT NULL, "
            f"event_time INTEGER NOT NULL{columns}, PRIMARY KEY (key, at)) WITHOUT ROWID",
            [()],
        )
        return number, stored

    def _known(self, view: str) -> tuple[int, dict[str, str]]:
        """Return a view's number and column kinds; `NotFound` if it was never written."""
        if view not in self._views:
            with self._lock:
                row = self._database.execute("SELECT id, columns FROM views WHERE name = ?", (view,)).fetchone()
            if row is None:
                raise NotFound(f"view {view} was never materialised", fix="run: mainspring features materialise")
            self._views[view] = (int(row[0]), json.loads(row[1]))
        return self._views[view]

    def _transact(self, sql: str, rows: Sequence[Sequence[Any]], *, first: str = "") -> None:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                if first:
                    self._database.execute(first)
                self._database.executemany(sql, rows) if sql[0] in "IUD" else self._database.execute(sql)
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self, what: object) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise Conflict(f"the online store is busy ({what}): {error}", fix="try again") from error
        except sqlite3.DatabaseError as error:
            raise Damaged(f"the online store cannot be read: {error}", fix="delete it and materialise again") from error


def _kind(values: Array) -> str:
    return {"O": "string", "M": "time"}.get(values.dtype.kind, "number")


def _cells(values: Array) -> list[Any]:
    """Return plain values with None for null; times as microseconds."""
    if values.dtype.kind == "M":
        missing, values = np.isnat(values), values.astype("datetime64[us]").astype(np.int64)
    else:
        missing = is_null(values)
    return [None if gone else value for gone, value in zip(missing.tolist(), values.tolist(), strict=True)]


def _column(values: list[Any], kind: str) -> Array:
    if kind == "number":
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    if kind == "time":
        return np.array([np.datetime64("NaT") if value is None else value for value in values], dtype="datetime64[us]")
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found
