"""Compile the aggregates of a window view to *measures*: numbers of single rows whose sums give every answer.

Aggregates share measures: `avg(x)` and `count(x)` count the same rows. SQL gives a row's measures;
`windows` adds them up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mainspring.adapters.duckdb.tables import column
from mainspring.data.aggregates import Aggregate
from mainspring.data.expressions import Expression, to_sql
from mainspring.data.expressions.tree import Call, Literal, walk
from mainspring.data.views import Source, WindowView

_STRICT = frozenset(("=", "!=", "<", "<=", ">", ">=", "not", "negate", "abs", "floor", "lower", "concat"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number a row: SQL over a loaded row that is never null, and the known times that it waits for."""

    sql: str
    waits: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One aggregate over the sums of its measures: `count` of the rows that have a value, `total` of the values.

    function: count, sum, avg or share. total is None for a count.
    """

    name: str
    function: str
    count: Measure
    total: Measure | None

    @property
    def measures(self) -> Iterator[Measure]:
        """Yield its one or two measures."""
        yield self.count
        if self.total is not None:
            yield self.total


def compiled(view: WindowView, aggregates: Sequence[Aggregate], source: Source) -> tuple[Answer, ...]:
    """Return how each aggregate of a view is answered; all its values wait for its key columns too."""
    return tuple(_answer(call, source.known_columns((*view.by, *call.columns))) for call in aggregates)


def _answer(call: Aggregate, waits: tuple[str, ...]) -> Answer:
    if call.expression is None:
        return Answer(name=call.name, function=call.function, count=Measure(sql="TRUE", waits=waits), total=None)
    value = to_sql(call.expression, {name: column(name) for name in call.columns})
    count = Measure(sql=_is_known(call.expression, value), waits=waits)
    total = Measure(sql=f"coalesce(CAST(({value}) AS DOUBLE), 0)", waits=waits)
    return Answer(
        name=call.name, function=call.function, count=count, total=None if call.function == "count" else total
    )  # fmt: skip


def _is_known(expression: Expression, sql: str) -> str:
    """Return SQL that tells whether a value is not null; by its columns where possible, so that aggregates share it."""
    nodes = list(walk(expression.root))
    strict = all(node.function in _STRICT for node in nodes if isinstance(node, Call))
    constants = any(isinstance(node, Literal) and node.value is None for node in nodes)
    if strict and not constants and expression.columns:
        return "(" + " AND ".join(f"{column(name)} IS NOT NULL" for name in sorted(expression.columns)) + ")"
    return f"(({sql}) IS NOT NULL)"
