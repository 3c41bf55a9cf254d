"""Refuse definitions that cannot be right: unknown names, wrong types, and every way to read the future.

`check_definitions` reports all problems at once, each with a path such as `features.weather.columns`. Only structure is
judged; that values are used from their known time on is the business of the training sets.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mainspring.data.aggregates import Aggregate
from mainspring.data.expressions import ColumnType, Expression, infer, nearest, parse
from mainspring.data.views import Definitions, RowView, Source, Types, View, WindowView, columns_of, readable
from mainspring.kernel.errors import MainspringError
from mainspring.kernel.times import SECOND

LEAK = "feature.leak"
_RESERVED = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault: where (`features.weather.columns`), what, a stable code, and what to do."""

    path: str
    what: str
    code: str
    fix: str


class InvalidDefinitions(MainspringError):
    """Definitions with faults; `problems` holds all of them."""

    code = "definitions.invalid"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        lines = "\n".join(f"  {problem.path}: {problem.what} [{problem.code}]" for problem in problems)
        super().__init__(f"the definitions have {len(problems)} problems:\n{lines}", fix=problems[0].fix)
        self.problems = problems


def check_definitions(definitions: Definitions, types: Types) -> None:
    """Raise `InvalidDefinitions` with every problem found, or return.

    types: source -> column -> "number", "string", "time" or "bool"; a source that is missing here is a problem.
    """
    problems = tuple(find_problems(definitions, types))
    if problems:
        raise InvalidDefinitions(problems)


def find_problems(definitions: Definitions, types: Types) -> Iterator[Problem]:
    """Yield every problem; names come first, for nothing else can be judged without them."""
    unnamed = list(_names(definitions, types))
    yield from unnamed
    if unnamed:
        return
    for source in definitions.sources:
        yield from _source(source, types[source.name])
    yield from _ask(definitions, types)
    yield from _target(definitions, types)
    for view in definitions.views:
        yield from _view(definitions, view, types)


def _problem(path: str, what: str, fix: str, code: str = "definitions.invalid") -> Problem:
    return Problem(path=path, what=what, code=code, fix=fix)


def _names(definitions: Definitions, types: Types) -> Iterator[Problem]:
    known = [source.name for source in definitions.sources]
    yield from _twice("data.sources", known)
    yield from _twice("features", [view.name for view in definitions.views])
    for name in known:
        if name not in types:
            yield _problem(f"data.sources.{name}", f"source {name} was not read", "take a snapshot", "source.unknown")
    places = [("ask.from", definitions.ask.source), ("target.from", definitions.target.source)]
    for path, name in places + [(f"features.{view.name}.from", view.source) for view in definitions.views]:
        if name not in known:
            yield _problem(path, f"no source is called {name}", nearest(name, known), "source.unknown")
    if not definitions.views:
        yield _problem("features", "no features are declared", "declare at least one view")


def _twice(path: str, names: list[str]) -> Iterator[Problem]:
    for name, count in Counter(names).items():
        if count > 1:
            yield _problem(f"{path}.{name}", f"{name} is declared {count} times", "give each its own name")
        if path == "features" and name == _RESERVED:
            yield _problem(f"{path}.{name}", "ask names the ask's own row", "call the view something else")


def _column(path: str, name: str, types: Mapping[str, ColumnType]) -> Iterator[Problem]:
    if name not in types:
        yield _problem(path, f"unknown column {name}", nearest(name, list(types)), "column.unknown")


def _typed(path: str, name: str, types: Mapping[str, ColumnType], want: ColumnType) -> Iterator[Problem]:
    yield from _column(path, name, types)
    if types.get(name, want) != want:
        yield _problem(path, f"{name} is a {types[name]}, not a {want}", f"name a {want} column", "column.type")


def _source(source: Source, types: Mapping[str, ColumnType]) -> Iterator[Problem]:
    path = f"data.sources.{source.name}"
    yield from _typed(f"{path}.key", source.key, types, "string")
    if source.event_time:
        yield from _typed(f"{path}.event_time", source.event_time, types, "time")
    elif source.known:
        yield _problem(f"{path}.known_at", "a table without event_time is always known", "name its event_time")
    groups = [time for time, columns in source.known if columns is None]
    if len(groups) > 1:
        yield _problem(f"{path}.known_at", f"others is given to {' and '.join(groups)}", "let one column have others")
    listed = [column for _, columns in source.known for column in columns or ()]
    for column, count in Counter(listed).items():
        yield from _column(f"{path}.known_at", column, types)
        if count > 1:
            yield _problem(f"{path}.known_at", f"{column} is listed {count} times", "list it once")
    for time, _ in source.known:
        yield from _typed(f"{path}.known_at", time, types, "time")


def _ask(definitions: Definitions, types: Types) -> Iterator[Problem]:
    ask, source = definitions.ask, definitions.source(definitions.ask.source)
    yield from _typed("ask.key", ask.key, types[source.name], "string")
    if ask.key != source.key:
        yield _problem("ask.key", f"{ask.key} is not the key of {source.name}", f"write key: {source.key}", "ask.key")
    if not source.event_time or ask.at != source.event_time:
        fix = f"write at: {source.event_time}" if source.event_time else f"give {source.name} an event_time"
        yield _problem("ask.at", f"{ask.at} is not the event time of {source.name}", fix, "ask.at")


def _target(definitions: Definitions, types: Types) -> Iterator[Problem]:
    target = definitions.target
    if target.source != definitions.ask.source:
        yield _problem("target.from", "the target is not of the ask's source", f"write from: {definitions.ask.source}")
    if target.name in types[target.source]:
        yield _problem("target.name", f"{target.name} is also a column of {target.source}", "call the target otherwise")
    found: list[Problem | ColumnType] = list(_inferred("target.expression", target.expression, types[target.source]))
    yield from (problem for problem in found if isinstance(problem, Problem))
    if found[0] in ("string", "time"):
        what = f"the target is a {found[0]}, not yes or no"
        yield _problem("target.expression", what, "compare it: for example arrival_delay >= 15", "expression.invalid")


def _inferred(path: str, text: str, types: Mapping[str, ColumnType]) -> Iterator[Problem | ColumnType]:
    """Yield the type of an expression, or the problem it has."""
    try:
        yield infer(parse(text), types)
    except MainspringError as error:
        yield _problem(path, error.what, error.fix, error.code)


def _view(definitions: Definitions, view: View, types: Types) -> Iterator[Problem]:
    path = f"features.{view.name}"
    for name, count in Counter(columns_of(view)).items():
        if count > 1:
            yield _problem(path, f"{name} is given {count} times", "give each column its own name")
    if not columns_of(view):
        yield _problem(path, "the view gives no columns", "list columns, derive or aggregate something")
    yield from _keys(definitions, view, types)
    if isinstance(view, WindowView):
        yield from _window(definitions, view, types)
    else:
        yield from _row(definitions, view, types)


def _keys(definitions: Definitions, view: View, types: Types) -> Iterator[Problem]:
    path, ask_source = f"features.{view.name}.by", definitions.source(definitions.ask.source)
    if len(set(view.by)) != len(view.by):
        yield _problem(path, "a key column is named twice", "name it once")
    for column in view.by:
        yield from _typed(path, column, types[view.source], "string")
        yield from _typed(path, column, types[ask_source.name], "string")
        yield from _early(path, column, ask_source)
    if not view.by and (isinstance(view, WindowView) or view.source != ask_source.name):
        yield _problem(path, f"nothing joins {view.source} to the ask", "name the shared key columns: by", "view.by")


def _early(path: str, column: str, ask_source: Source) -> Iterator[Problem]:
    if not ask_source.is_early(column):
        known = ask_source.known_column(column)
        fix = f"use a column known at {ask_source.event_time}; if it is, list it there under known_at"
        yield _problem(path, f"{column} is known only from {known}, after the ask", fix, LEAK)


def _row(definitions: Definitions, view: RowView, types: Types) -> Iterator[Problem]:
    path, source = f"features.{view.name}", definitions.source(view.source)
    if view.max_age is not None and (not view.by or not source.event_time):
        yield _problem(
            f"{path}.max_age", "only a row found by key and time has an age", "remove max_age", "view.max_age"
        )
    if view.max_age is not None and view.max_age <= 0:
        yield _problem(f"{path}.max_age", "max_age must be above zero", "write a duration such as 3h", "view.max_age")
    for column in view.columns:
        yield from _read(f"{path}.columns", column, definitions, view, types)
        if types[view.source].get(column) == "time":
            fix = "derive a number from it, for example hour(t)"
            yield _problem(f"{path}.columns", f"{column} is a time, not a number or text", fix, "column.type")
    for name, text in view.derive:
        yield from _derived(f"{path}.derive.{name}", text, definitions, view, types)


def _read(path: str, column: str, definitions: Definitions, view: RowView, types: Types) -> Iterator[Problem]:
    """Judge one column that a row view reads from its source."""
    if column == definitions.target.name:
        fix = "read it inside an aggregate of a window view, where only known outcomes count"
        yield _problem(path, f"{column} is the target: it is known after the ask", fix, LEAK)
        return
    yield from _column(path, column, types[view.source])
    if not view.by and column in types[view.source] and view.source == definitions.ask.source:
        yield from _early(path, column, definitions.source(view.source))


def _derived(path: str, text: str, definitions: Definitions, view: RowView, types: Types) -> Iterator[Problem]:
    here = readable(definitions, view, types)
    ask_source = definitions.source(definitions.ask.source)
    try:
        expression = parse(text)
    except MainspringError as error:
        yield _problem(path, error.what, error.fix, error.code)
        return
    leaks = list(_leaks(path, expression, definitions, view, types))
    yield from leaks
    late = {f"ask.{name}": kind for name, kind in types[ask_source.name].items()}
    for found in _inferred(path, text, here if not leaks else {**late, **here, definitions.target.name: "number"}):
        if isinstance(found, Problem):
            yield found
        elif found == "time":
            yield _problem(path, "a feature cannot be a time", "derive a number: hour(t)", "expression.invalid")


def _leaks(
    path: str, expression: Expression, definitions: Definitions, view: RowView, types: Types
) -> Iterator[Problem]:
    ask_source = definitions.source(definitions.ask.source)
    for column in expression.row_columns:
        yield from (found for found in _read(path, column, definitions, view, types) if found.code == LEAK)
    for column in expression.ask_columns:
        if column in types[ask_source.name]:
            yield from _early(path, column, ask_source)


def _window(definitions: Definitions, view: WindowView, types: Types) -> Iterator[Problem]:
    path, source = f"features.{view.name}", definitions.source(view.source)
    if not source.event_time:
        yield _problem(f"{path}.from", f"{source.name} has no event_time to count in", "name its event_time")
    if view.refresh < SECOND or view.window <= 0:
        yield _problem(f"{path}.refresh", "a window is refreshed at most every second", "write a duration such as 1h")
    if view.refresh > view.window:
        yield _problem(f"{path}.refresh", "refresh is longer than the window", "let refresh be at most the window")
    try:
        aggregates = definitions.aggregates(view)
    except MainspringError as error:
        yield _problem(f"{path}.aggregate", error.what, error.fix, error.code)
        return
    for aggregate in aggregates:
        yield from _aggregate(f"{path}.aggregate.{aggregate.name}", aggregate, types[view.source])


def _aggregate(path: str, aggregate: Aggregate, types: Mapping[str, ColumnType]) -> Iterator[Problem]:
    if aggregate.expression is None:
        return
    try:
        found = infer(aggregate.expression, types)
    except MainspringError as error:
        yield _problem(path, error.what, error.fix, error.code)
        return
    allowed = {"sum": ("number", "bool"), "avg": ("number", "bool"), "share": ("bool",)}.get(aggregate.function)
    if allowed and found not in allowed:
        what = f"{aggregate.function} needs a {' or '.join(allowed)}, not a {found}"
        yield _problem(path, what, "count(x) takes any column", "expression.invalid")
