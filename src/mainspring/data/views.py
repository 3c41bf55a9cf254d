"""Feature definitions: sources, the ask, the target and the views that answer it point in time.

Declared, never pickled: one definition serves training, serving and replay. `to_json` writes them into a model's
signed contract; `digest_of(to_json(d))` identifies them.

Words: an *ask* is one question (a key at a time); a *row view* reads one row as of the ask; a *window view*
aggregates the rows of [t - window, t) as they were known at the last refresh point up to the ask.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

ColumnType = Literal["number", "string", "time", "bool"]


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
            return self.event_time
        return others


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

    def feature_names(self) -> tuple[str, ...]:
        """Return `<view>.<column>` in declared order."""
        return tuple(f"{view.name}.{column}" for view in self.views for column in columns_of(view))


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
