"""Answer the window views of one loaded source: one query reads its rows, one the asks, however many views."""

# ruff: noqa: S608 - every name and literal goes through `quoted` and `text_literal`

from concurrent.futures import ThreadPoolExecutor

import duckdb
import numpy as np

from mainspring.adapters.duckdb.measures import Answer, compiled
from mainspring.adapters.duckdb.session import fetch
from mainspring.adapters.duckdb.streams import Loaded
from mainspring.adapters.duckdb.tables import column, known
from mainspring.adapters.duckdb.windows import NEVER_KNOWN, NO_ROWS, Asked, Rows, Windows
from mainspring.data.ports import KEY_JOINT
from mainspring.data.views import Definitions, WindowView
from mainspring.stats.columns import Array, Columns, take

_THREADS = 2
"""Kinds of keys answered at once: numpy sorts and searches outside Python's lock. Sums of integers stay the same."""
_NEVER = f"{NEVER_KNOWN}::BIGINT"


class WindowReader:
    """Gives every kind of key (the `by` of a view) a table of its columns with an `id` from 0."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, definitions: Definitions, loaded: Loaded) -> None:
        self._connection, self._loaded = connection, loaded
        self._answers: dict[WindowView, tuple[Answer, ...]] = {
            view: compiled(view, definitions.aggregates(view), loaded.source)
            for view in definitions.views
            if isinstance(view, WindowView) and view.source == loaded.source.name
        }
        self._keys: dict[tuple[str, ...], str] = {}
        for by in (view.by for view in self._answers):
            if by not in self._keys:
                self._keys[by] = self._numbered(by, f"{loaded.name}_keys{len(self._keys)}")

    def answer(self) -> dict[str, Array]:
        """Return every feature of the views: a value for each row of the table `asks`, in its order."""
        rows, ids = self._rows()
        asked = self._asked()
        with ThreadPoolExecutor(_THREADS) as pool:
            parts = pool.map(lambda by: self._answered(by, Windows(rows, ids[by]), asked[by]), self._keys)
            return {name: values for part in parts for name, values in part.items()}

    def _answered(self, by: tuple[str, ...], windows: Windows, asked: Asked) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for view in (view for view in self._answers if view.by == by):
            columns = windows.answer(view, self._answers[view], asked)
            found.update({f"{view.name}.{name}": values for name, values in columns.items()})
        return found

    def stream(self, view: WindowView, start: int, end: int) -> Columns:
        """Return what a view shows from when, for start < at <= end, by (at, key); see the port."""
        rows, ids = self._rows()
        keys, at, columns = Windows(rows, ids[view.by]).stream(view, self._answers[view])
        joined = f" || chr({ord(KEY_JOINT)}) || ".join(column(name) for name in view.by)
        texts = fetch(self._connection, f"SELECT {joined} AS key FROM {self._keys[view.by]} ORDER BY id")["key"]
        rank = np.empty(len(texts), np.int64)
        rank[np.argsort(texts)] = np.arange(len(texts))
        order = np.lexsort((rank[keys], at))
        order = order[(at[order] > start) & (at[order] <= end)]
        return take({"key": texts[keys], "at": at, "event_time": at, **columns}, order)

    def _numbered(self, by: tuple[str, ...], name: str) -> str:
        present = " AND ".join(f"{column(one)} IS NOT NULL" for one in by)
        columns = ", ".join(column(one) for one in by)
        distinct = f"SELECT DISTINCT {columns} FROM {self._loaded.name} WHERE {present}"
        self._connection.execute(
            f"CREATE TEMP TABLE {name} AS SELECT *, CAST(row_number() OVER () - 1 AS BIGINT) AS id FROM ({distinct})"
        )
        return name

    def _rows(self) -> tuple[Rows, dict[tuple[str, ...], Array]]:
        measures = list(dict.fromkeys(one for found in self._answers.values() for a in found for one in a.measures))
        groups = list(dict.fromkeys(measure.waits for measure in measures))
        parts = ["e AS event"]
        for place, waits in enumerate(groups):
            parts.append(f"coalesce({known(waits)}, {_NEVER}) AS known{place}")
            if self._loaded.corrected:
                order = f"PARTITION BY key, e ORDER BY {known(waits)} NULLS LAST, tie DESC"
                parts.append(f"coalesce(lead({known(waits)}) OVER ({order}), {_NEVER}) AS following{place}")
        parts += [f"{measure.sql} AS measure{place}" for place, measure in enumerate(measures)]
        found = self._joined(self._loaded.name, parts, missing=-1)
        after = {waits: found[f"following{place}"] for place, waits in enumerate(groups) if self._loaded.corrected}
        rows = Rows(
            event=found["event"],
            known={waits: found[f"known{place}"] for place, waits in enumerate(groups)},
            following=after,
            measures={measure: found[f"measure{place}"] for place, measure in enumerate(measures)},
        )
        return rows, {by: found[name] for by, name in self._keys.items()}

    def _asked(self) -> dict[tuple[str, ...], Asked]:
        parts = ["rowid AS place", "t AS at"]
        for by, name in self._keys.items():
            parts.append(f"{' OR '.join(f'{column(one)} IS NULL' for one in by)} AS no_{name}")
        found = self._joined("asks", parts, missing=NO_ROWS)
        order = np.argsort(found["place"])
        found = {name: values[order] for name, values in found.items()}
        return {
            by: Asked(ids=found[name], unmatched=found[f"no_{name}"], at=found["at"]) for by, name in self._keys.items()
        }

    def _joined(self, table: str, parts: list[str], missing: int) -> Columns:
        """Return `parts` of a table's rows in any order, none null, and by table of keys the rows' ids or `missing`."""
        joins, ids = [], []
        columns = dict.fromkeys(one for by in self._keys for one in by)
        for by, name in self._keys.items():
            match = " AND ".join(f"r.{column(one)} = {name}.{column(one)}" for one in by)
            joins.append(f"LEFT JOIN {name} ON {match}")
            ids.append(f", coalesce({name}.id, {missing}) AS {name}")
        shown = ", ".join(f"r.{part.rpartition(' AS ')[2]}" for part in parts)
        inner = f"SELECT {', '.join([*parts, *map(column, columns)])} FROM {table}"
        sql = f"SELECT {shown}{''.join(ids)} FROM ({inner}) r {' '.join(joins)}"
        return {name: np.ma.getdata(values) for name, values in self._connection.execute(sql).fetchnumpy().items()}
