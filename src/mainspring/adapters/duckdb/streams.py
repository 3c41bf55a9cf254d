"""Compile a row view to its *effective stream*: what it shows from when, so that an as-of join answers every ask.

A row view shows the newest row known so far. (Window views are sums: `measures` and `windows`.)
"""

# ruff: noqa: S608 - every name and literal goes through `quoted` and `text_literal`

from dataclasses import dataclass

from mainspring.adapters.duckdb.tables import column, known
from mainspring.data.views import RowView, Source, row_columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A source in a temporary table `name`. corrected: some rows share key and event time."""

    name: str
    source: Source
    corrected: bool


def row_stream(view: RowView, loaded: Loaded, *, strict: bool) -> str:
    """Return SQL of (t, event_time, `c.<column>`..), at most one row a key and moment.

    strict: rows show only after their event time, so that an ask never sees its own row.
    """
    columns = row_columns(view)
    by = ", ".join(column(name) for name in view.by)
    matchable = " AND ".join(f"{column(name)} IS NOT NULL" for name in view.by)
    order = "e, k, key, tie DESC"
    return f"""
    WITH seen AS (SELECT *, {known(loaded.source.known_columns(columns))} AS k FROM {loaded.name} WHERE {matchable}),
    shown AS (SELECT *, greatest(k, e + {int(strict)}) AS t FROM seen WHERE k IS NOT NULL),
    ranked AS (SELECT *, row_number() OVER (PARTITION BY {by} ORDER BY {order}) AS place FROM shown),
    newest AS (SELECT *, max(place) OVER (PARTITION BY {by} ORDER BY t, place
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS best FROM ranked)
    SELECT t, e AS event_time, {", ".join(column(name) for name in columns)} FROM newest WHERE place = best
    QUALIFY lead(t) OVER (PARTITION BY {by} ORDER BY t, place) IS DISTINCT FROM t
    """
