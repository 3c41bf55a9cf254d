"""Feature definitions: sources, the ask, the target and the views that answer it point in time.

Declared, never pickled: one definition serves training, serving and replay. `to_json` writes them into a model's
signed contract; `digest_of(to_json(d))` identifies them.

A row is identified by its key and event time; further rows of the same identity are *corrections*. A value is known
from its known time, a derived value when its last input is, and nothing is seen before its event time.

Words: an *ask* is one question (a key at a time); a *row view* reads one row as of the ask; a *window view*
aggregates the rows of [t - window, t) as they were known at the last refresh point up to the ask.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mainspring.data.aggregates import Aggregate, read_aggregate
from mainspring.data.expressions import ColumnType as ColumnType
from mainspring.data.expressions import Expression, infer, parse

Types = Mapping[str, Mapping[str, ColumnType]]
"""Source name -> column -> type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A table with an identity and two times.

    event_time: the column that says when a row holds from; "" for a table that never changes (`always`).
    known: pairs (time column, columns known from then); `None` for columns means all others.
        Empty: known at event_time.
    zone: IANA zone of naive times in the source, or "" to refuse them.
    """

    name: str
    uri: str
    key: str
    event_time: str
    known: tuple[tuple[str, tuple[str, ...] | None], ...] = ()
    zone: str = ""

    def known_column(self, column: str) -> str:
        """Return the time column from which `column` is known; "" means always."""
        others = self.event_time
        for time_column, columns in self.known:
            if columns is None:
                others = time_column
            elif column in columns or column == time_column:
                return time_column
        if column in (self.key, self.event_time):
            return self.row_known_column()
        return others

    def row_known_column(self) -> str:
        """Return the time column from which a row is known to exist: its event time if anything is known then."""
        times = tuple(time_column for time_column, _ in self.known)
        return self.event_time if not times or self.event_time in times else times[0]

    def known_columns(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Return the time columns, other than the event time, that must have passed for `columns` to be known."""
        times = {self.row_known_column(), *(self.known_column(column) for column in columns)}
        return tuple(sorted(times - {"", self.event_time}))

    def is_early(self, column: str) -> bool:
        """Tell whether an ask of this source knows `column`: the key, the event time and what is known by then."""
        return column in (self.key, self.event_time) or self.known_column(column) in ("", self.event_time)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked and when: `key` and `at` are columns of `source`; `at` is its event time."""

    source: str
    key: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What comes true: an expression over `source`, known when its last input is. Null means no label."""

    name: str
    source: str
    expression: str
    kind: Literal["binary"] = "binary"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowView:
    """One row as of the ask: the ask's own (`by` empty) or the newest of `source` whose key columns equal `by`.

    max_age: microseconds after which a row is too old to use, or None.
    derive: (name, expression) over the row's columns and `ask.<column>`.
    """

    name: str
    source: str
    by: tuple[str, ...] = ()
    max_age: int | None = None
    columns: tuple[str, ...] = ()
    derive: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowView:
    """Aggregates over [r - window, r), where r is the last multiple of `refresh` (from 1970, UTC) up to the ask.

    window, refresh: microseconds.
    aggregates: (name, call) with call one of count(*), count(x), sum(x), avg(x), share(x).
    """

    name: str
    source: str
    by: tuple[str, ...]
    window: int
    refresh: int
    aggregates: tuple[tuple[str, str], ...]


View = RowView | WindowView


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """Everything that says what a model is asked and what it may know."""

    sources: tuple[Source, ...]
    ask: Ask
    target: Target
    views: tuple[View, ...]

    def source(self, name: str) -> Source:
        """Return the source called `name`."""
        return next(source for source in self.sources if source.name == name)

    def view(self, name: str) -> View:
        """Return the view called `name`."""
        return next(view for view in self.views if view.name == name)

    def target_expression(self, source: str) -> tuple[str, Expression] | None:
        """Return the target's name and expression if it is of `source`: what an aggregate there may name."""
        return (self.target.name, parse(self.target.expression)) if self.target.source == source else None

    def aggregates(self, view: WindowView) -> tuple[Aggregate, ...]:
        """Return the aggregates of `view`, read."""
        target = self.target_expression(view.source)
        return tuple(read_aggregate(name, text, target) for name, text in view.aggregates)

    def features(self, types: Types) -> tuple[tuple[str, Literal["number", "string"]], ...]:
        """Return (name, kind) of every feature; a bool is a number. The definitions must have been checked."""
        return tuple(
            (f"{view.name}.{column}", self._kind(view, column, types))
            for view in self.views
            for column in columns_of(view)
        )

    def _kind(self, view: View, column: str, types: Types) -> Literal["number", "string"]:
        if isinstance(view, WindowView):
            return "number"
        derived = dict(view.derive)
        here = readable(self, view, types)
        found = infer(parse(derived[column]), here) if column in derived else here[column]
        return "string" if found == "string" else "number"

    def ask_columns(self) -> tuple[str, ...]:
        """Return the early columns of the ask's row that the views read, sorted."""
        found: set[str] = set()
        for view in self.views:
            found.update(view.by)
            if isinstance(view, RowView):
                read = [parse(text) for _, text in view.derive]
                found.update(name for expression in read for name in expression.ask_columns)
                if not view.by:
                    found.update(view.columns, (name for expression in read for name in expression.row_columns))
        return tuple(sorted(found))

    def feature_names(self) -> tuple[str, ...]:
        """Return `<view>.<column>` in declared order."""
        return tuple(f"{view.name}.{column}" for view in self.views for column in columns_of(view))


def readable(definitions: Definitions, view: RowView, types: Types) -> dict[str, ColumnType]:
    """Return what a row view's expressions may read: its source's columns, and `ask.<column>` for early ones."""
    ask_source = definitions.source(definitions.ask.source)
    early = {f"ask.{name}": kind for name, kind in types[ask_source.name].items() if ask_source.is_early(name)}
    return {**types[view.source], **early}


def row_columns(view: RowView) -> tuple[str, ...]:
    """Return the columns of its own source that a row view reads, its keys included, sorted."""
    read = (name for _, text in view.derive for name in parse(text).row_columns)
    return tuple(sorted({*view.by, *view.columns, *read}))


def columns_of(view: View) -> tuple[str, ...]:
    """Return the column names that a view gives, in order."""
    if isinstance(view, WindowView):
        return tuple(name for name, _ in view.aggregates)
    return view.columns + tuple(name for name, _ in view.derive)


def to_json(definitions: Definitions) -> dict[str, Any]:
    """Return plain JSON that `from_json` reads back to equal definitions."""
    document = asdict(definitions)
    for view, raw in zip(definitions.views, document["views"], strict=True):
        raw["view"] = "window" if isinstance(view, WindowView) else "row"
    return document


def from_json(document: Mapping[str, Any]) -> Definitions:
    """Read what `to_json` wrote."""
    return Definitions(
        sources=tuple(Source(**{**raw, "known": _known(raw["known"])}) for raw in document["sources"]),
        ask=Ask(**document["ask"]),
        target=Target(**document["target"]),
        views=tuple(_view(raw) for raw in document["views"]),
    )


def _known(raw: Any) -> tuple[tuple[str, tuple[str, ...] | None], ...]:  # noqa: ANN401 - JSON
    return tuple((column, None if columns is None else tuple(columns)) for column, columns in raw)


def _pairs(raw: Any) -> tuple[tuple[str, str], ...]:  # noqa: ANN401 - JSON
    return tuple((name, text) for name, text in raw)


def _view(raw: Mapping[str, Any]) -> View:
    body = {key: value for key, value in raw.items() if key != "view"}
    body["by"] = tuple(body["by"])
    if raw["view"] == "window":
        return WindowView(**{**body, "aggregates": _pairs(body["aggregates"])})
    return RowView(**{**body, "columns": tuple(body["columns"]), "derive": _pairs(body["derive"])})
