"""Compile a view to its *effective stream*: what it shows from when, so that an as-of join answers every ask.

A row view shows the newest row known so far. A window view is a sum of deltas: a row adds its value when it is in the
window and known, takes it back when it leaves or is corrected; both count from the next refresh point on.

Sums are integers (doubles scaled by a power of two), so their value does not depend on the order of threads.
"""

# ruff: noqa: S608 - every name and literal goes through `quoted` and `text_literal`

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from mainspring.adapters.duckdb.tables import column, known
from mainspring.data.aggregates import Aggregate
from mainspring.data.expressions import ColumnType, Expression, infer, to_sql
from mainspring.data.expressions.tree import Call, Literal, walk
from mainspring.data.views import RowView, Source, WindowView, row_columns

_SCALE_BITS = 50
_LARGEST_BITS = 99
_WHOLE_LIMIT = 2**31
_TIMES = 2**56  # microseconds between the earliest and the latest time that a point can have: 2,283 years


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A source in a temporary table `name`. corrected: some rows share key and event time."""

    name: str
    source: Source
    types: Mapping[str, ColumnType]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measure:
    """One running integer of a window stream: SQL over a loaded row, the columns it waits for, its scale in bits."""

    sql: str
    waits: tuple[str, ...]
    bits: int


class WindowStream:
    """The compiled deltas of one window view over a table of rows with an `id` for their key."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, view: WindowView, aggregates: Sequence[Aggregate], loaded: Loaded
    ) -> None:
        self._view, self._loaded = view, loaded
        self._radix = _TIMES // view.refresh + 2
        self._measures: dict[str, _Measure] = {}
        self._answers = {call.name: self._compile(connection, call) for call in aggregates}

    def sql(self, rows: str) -> str:
        """Return SQL of (code, `c.<aggregate>`..): a key's values from a refresh point on, the last up to it.

        rows: a table like the loaded one, with `id`. Keys share one running sum: what a key adds it takes back, so
        its sums are zero before its first point.
        """
        moves = " UNION ALL ".join(self._moves(rows, waits) for waits in self._groups())
        kinds = {name: "HUGEINT" if measure.bits else "BIGINT" for name, measure in self._measures.items()}
        grouped = ", ".join(f"CAST(sum({name}) AS {kind}) AS {name}" for name, kind in kinds.items())
        sums = ", ".join(f"sum({name}) OVER up_to AS {name}" for name in kinds)
        values = ", ".join(f"{sql} AS {column(name)}" for name, sql in self._answers.items())
        return f"""
        WITH moves AS ({moves}),
        points AS (SELECT code, {grouped} FROM moves GROUP BY code),
        running AS (SELECT code, {sums} FROM points
            WINDOW up_to AS (ORDER BY code ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW))
        SELECT code, {values} FROM running
        """

    def code(self, key: str, moment: str) -> str:
        """Return SQL of the number of a key's refresh point at or before a moment: ordered by key, then time."""
        refresh = self._view.refresh
        point = f"{moment} // {refresh} - CAST({moment} % {refresh} < 0 AS BIGINT)"
        return f"(CAST({key} AS BIGINT) * {self._radix} + {point})"

    def decode(self) -> tuple[str, str]:
        """Return SQL of the key's id and of the refresh point's moment that are in a `code`."""
        key = f"((code + {self._radix // 2}) // {self._radix})"
        return key, f"((code - {key} * {self._radix}) * {self._view.refresh})"

    def _groups(self) -> list[tuple[str, ...]]:
        return sorted({measure.waits for measure in self._measures.values()})

    def _moves(self, rows: str, waits: tuple[str, ...]) -> str:
        """Return SQL of the deltas of all measures that wait for the same known times."""
        until = f"e + {self._view.window} + 1"
        if self._loaded.corrected:
            following = "lead(k) OVER (PARTITION BY key, e ORDER BY k, tie DESC)"
            until = f"least({until}, coalesce({following}, {until}))"
        mine = [name for name, measure in self._measures.items() if measure.waits == waits]
        values = ", ".join(f"{self._measures[name].sql} AS {name}" for name in mine)
        seen = f"SELECT *, {known(waits)} AS k FROM {rows}"
        spans = f"""SELECT id, {values}, {self._point("greatest(k, e + 1)")} AS first, {self._point(until)} AS past
            FROM ({seen}) WHERE k IS NOT NULL"""
        adds = ", ".join(name if name in mine else f"0 AS {name}" for name in self._measures)
        takes = ", ".join(f"-{name} AS {name}" if name in mine else f"0 AS {name}" for name in self._measures)
        base = f"CAST(id AS BIGINT) * {self._radix}"
        moving = f"FROM ({spans}) WHERE id IS NOT NULL AND first < past"
        return (
            f"SELECT {base} + first AS code, {adds} {moving} UNION ALL SELECT {base} + past AS code, {takes} {moving}"
        )

    def _point(self, moment: str) -> str:
        """Return SQL of the number of the first refresh point at or after a moment, also before 1970."""
        refresh = self._view.refresh
        return f"(({moment}) // {refresh} + CAST(({moment}) % {refresh} > 0 AS BIGINT))"

    def _compile(self, connection: duckdb.DuckDBPyConnection, call: Aggregate) -> str:
        """Register the measures of one aggregate and return SQL of its value over their running sums."""
        waits = tuple(sorted({*self._view.by, *call.columns}))
        if call.expression is None:
            return f"CAST({self._measure('1::BIGINT', waits)} AS DOUBLE)"
        value = to_sql(call.expression, {name: column(name) for name in call.columns})
        count = self._measure(f"CAST({_is_known(call.expression, value)} AS BIGINT)", waits)
        if call.function == "count":
            return f"CAST({count} AS DOUBLE)"
        kind = infer(call.expression, self._loaded.types)
        number = f"CAST(({value}) AS DOUBLE)"
        bits = 0 if kind == "bool" else self._bits(connection, number)
        whole = f"CAST({number} AS BIGINT)" if not bits else f"CAST(round({number} * {2.0**bits!r}) AS HUGEINT)"
        total = f"(CAST({self._measure(f'coalesce({whole}, 0)', waits, bits)} AS DOUBLE) / {2.0**bits!r})"
        answer = total if call.function == "sum" else f"{total} / {count}"
        return f"CASE WHEN {count} > 0 THEN {answer} END"

    def _measure(self, sql: str, waits: tuple[str, ...], bits: int = 0) -> str:
        for name, measure in self._measures.items():
            if (measure.sql, measure.waits) == (sql, self._times(waits)):
                return name
        name = f"m{len(self._measures)}"
        self._measures[name] = _Measure(sql=sql, waits=self._times(waits), bits=bits)
        return name

    def _times(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        return self._loaded.source.known_columns(columns)

    def _bits(self, connection: duckdb.DuckDBPyConnection, number: str) -> int:
        """Return the power of two that scales values to integers: 0 for whole ones, else 50 or less for huge ones."""
        sql = f"SELECT max(abs(x)), bool_and(x = floor(x)) FROM (SELECT {number} AS x FROM {self._loaded.name})"
        largest, whole = connection.execute(sql).fetchall()[0]
        if largest is None or (whole and largest < _WHOLE_LIMIT):
            return 0
        exponent = max(0, math.frexp(largest)[1] - (_LARGEST_BITS - _SCALE_BITS))
        return _SCALE_BITS - exponent


_STRICT = frozenset(("=", "!=", "<", "<=", ">", ">=", "not", "negate", "abs", "floor", "lower", "concat"))


def _is_known(expression: Expression, sql: str) -> str:
    """Return SQL that tells whether a value is not null; by its columns where possible, so that aggregates share it."""
    nodes = list(walk(expression.root))
    strict = all(node.function in _STRICT for node in nodes if isinstance(node, Call))
    constants = any(isinstance(node, Literal) and node.value is None for node in nodes)
    if strict and not constants and expression.columns:
        return "(" + " AND ".join(f"{column(name)} IS NOT NULL" for name in sorted(expression.columns)) + ")"
    return f"(({sql}) IS NOT NULL)"
