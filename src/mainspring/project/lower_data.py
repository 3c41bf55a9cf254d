"""Lower the data part: sources, the ask, feature views and the target, with what can be judged before data is read.

What needs column types (unknown columns, wrong types, leaks through derived values) is judged by `data.checks` once the
sources can be reached.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from zoneinfo import ZoneInfo

from mainspring.data.expectations import ColumnRule, Expectations
from mainspring.data.expressions import parse
from mainspring.data.ports import ASK_VIEW
from mainspring.data.views import Ask, Definitions, RowView, Source, Target, View, WindowView
from mainspring.kernel.errors import MainspringError
from mainspring.kernel.times import parse_duration
from mainspring.project.data_models import (
    AskSection,
    ColumnRules,
    DataSection,
    RowFeature,
    SourceSection,
    TargetSection,
    WindowFeature,
)
from mainspring.project.mistakes import Path

Features = Mapping[str, RowFeature | WindowFeature]
ALWAYS = "always"
_AGGREGATE = re.compile(r"(count|sum|avg|mean|share)\((.+)\)", re.DOTALL)


@dataclass(slots=True, kw_only=True)
class Findings:
    """Mistakes found between sections: (path, what, fix, code).

    known: names as written, bad entries included. gates: places of the gates in the file.
    """

    known: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gates: tuple[int, ...] = ()
    mistakes: list[tuple[Path, str, str, str]] = field(default_factory=list)

    def add(self, path: Path, what: str, fix: str, code: str = "project.value") -> None:
        """Note a mistake and go on."""
        self.mistakes.append((path, what, fix, code))

    def told(self, path: Path, check: Callable[[], object]) -> None:
        """Note the error that `check` raises, if it does."""
        try:
            check()
        except MainspringError as error:
            self.add(path, error.what, error.fix, error.code)

    def source(self, name: str, path: Path) -> bool:
        """Tell whether a source of that name is declared; note it if not."""
        names = self.known.get("sources", ())
        if name not in names:
            near = get_close_matches(name, names, n=1)
            fix = f"did you mean `{near[0]}`?" if near else f"declare it under data.sources, or use {', '.join(names)}"
            self.add(path, f"no source is called {name!r}", fix, "project.reference")
        return name in names


def lower_definitions(
    data: DataSection, ask: AskSection, features: Features, target: TargetSection, found: Findings
) -> Definitions:
    """Return the definitions; mistakes go to `found`."""
    sources = {name: _source(name, section, found) for name, section in data.sources.items()}
    _check_ask(ask, sources, found)
    views = tuple(_view(name, feature, ask, sources, found) for name, feature in features.items())
    _check_target(target, ask, found)
    return Definitions(
        sources=tuple(sources.values()), ask=Ask(source=ask.from_, key=ask.key, at=ask.at), views=views,
        target=Target(name=target.name, source=target.from_, expression=target.expression, kind=target.kind),
    )  # fmt: skip


def lower_expectations(data: DataSection, found: Findings) -> Mapping[str, Expectations]:
    """Return what each source promises; patterns must compile and ranges must not be empty."""
    before = len(found.mistakes)
    for name, columns in data.expectations.items():
        here: Path = ("data", "expectations", name)
        found.source(name, here)
        for column, rules in columns.items():
            _check_rules(rules, (*here, column), found)
    if len(found.mistakes) > before:
        return {}
    return {
        name: Expectations(
            source=name, min_rows=source.min_rows,
            columns=tuple(_rule(column, rules) for column, rules in data.expectations.get(name, {}).items()),
        )
        for name, source in data.sources.items()
    }  # fmt: skip


def _rule(column: str, rules: ColumnRules) -> ColumnRule:
    return ColumnRule(
        column=column, type=rules.type or "", between=rules.between, pattern=rules.pattern or "",
        allowed=rules.in_ or (), nulls=rules.nulls, unique=rules.unique,
    )  # fmt: skip


def _check_rules(rules: ColumnRules, here: Path, found: Findings) -> None:
    if rules.between is not None and rules.between[0] > rules.between[1]:
        what = f"between {rules.between[0]:g} and {rules.between[1]:g} nothing lies"
        found.add((*here, "between"), what, "write the lowest first: [1, 6000]")
    if rules.pattern is not None:
        try:
            re.compile(rules.pattern)
        except re.error as error:
            what = f"{rules.pattern[:60]!r} is not a regular expression: {error.msg}"
            found.add((*here, "pattern"), what, "for example '[A-Z0-9]{2}'")


def _source(name: str, section: SourceSection, found: Findings) -> Source:
    here: Path = ("data", "sources", name)
    event_time = "" if section.event_time == ALWAYS else section.event_time
    if not event_time and section.known_at:
        found.add((*here, "known_at"), "a table that never changes is always known", "remove known_at")
    if section.zone:
        _check_zone(section.zone, (*here, "zone"), found)
    known = tuple((time, None if columns == "others" else tuple(columns)) for time, columns in section.known_at.items())
    _check_known(known, (*here, "known_at"), found)
    return Source(name=name, uri=section.uri, key=section.key, event_time=event_time, known=known, zone=section.zone)


def _check_zone(zone: str, here: Path, found: Findings) -> None:
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        found.add(here, f"{zone[:60]!r} is not a time zone", "write an IANA name such as America/New_York")


def _check_known(known: tuple[tuple[str, tuple[str, ...] | None], ...], here: Path, found: Findings) -> None:
    if sum(columns is None for _, columns in known) > 1:
        found.add(here, "`others` stands twice", "give it to one time column")
    seen: dict[str, str] = {}
    for time, columns in known:
        for index, column in enumerate(columns or ()):
            if column in seen:
                what = f"{column} is already known at {seen[column]}"
                found.add((*here, time, index), what, "list a column once", "project.duplicate")
            seen[column] = time


def _check_ask(ask: AskSection, sources: Mapping[str, Source], found: Findings) -> None:
    if not found.source(ask.from_, ("ask", "from")) or ask.from_ not in sources:
        return
    source = sources[ask.from_]
    if not source.event_time:
        found.add(("ask", "from"), f"{ask.from_} has no event_time", "ask about rows that happen at a time")
    elif ask.at != source.event_time:
        found.add(("ask", "at"), f"{ask.at} is not the event_time of {ask.from_}", f"write at: {source.event_time}")
    if ask.key != source.key:
        found.add(("ask", "key"), f"{ask.key} is not the key of {ask.from_}", f"write key: {source.key}")


def _check_target(target: TargetSection, ask: AskSection, found: Findings) -> None:
    if found.source(target.from_, ("target", "from")) and target.from_ != ask.from_:
        what = f"the outcome is in {target.from_}, the ask in {ask.from_}"
        found.add(("target", "from"), what, f"write from: {ask.from_}", "project.reference")
    found.told(("target", "expression"), lambda: parse(target.expression))


def _view(
    name: str, feature: RowFeature | WindowFeature, ask: AskSection, sources: Mapping[str, Source], found: Findings
) -> View:
    here: Path = ("features", name)
    if name == ASK_VIEW:
        found.add(here, f"{name!r} stands for the question itself", "give the feature another name", "project.name")
    source = sources.get(feature.from_) if found.source(feature.from_, (*here, "from")) else None
    by = (feature.by,) if isinstance(feature.by, str) else tuple(feature.by)
    if isinstance(feature, WindowFeature):
        return _window(name, feature, by, source, found)
    if not by and feature.from_ != ask.from_:
        found.add(here, f"{feature.from_} is not the ask's source and `by` is missing", "say which row: by: <column>")
    if feature.max_age and (not by or (source is not None and not source.event_time)):
        found.add((*here, "max_age"), "the row has no age", "remove max_age")
    _check_columns(feature, here, found)
    if not by and source is not None and feature.from_ == ask.from_:
        _check_early(feature, source, here, found)
    return RowView(
        name=name, source=feature.from_, by=by, columns=feature.columns, derive=tuple(feature.derive.items()),
        max_age=parse_duration(feature.max_age) if feature.max_age else None,
    )  # fmt: skip


def _window(
    name: str, feature: WindowFeature, by: tuple[str, ...], source: Source | None, found: Findings
) -> WindowView:
    here: Path = ("features", name)
    window, refresh = parse_duration(feature.window), parse_duration(feature.refresh)
    if source is not None and not source.event_time:
        found.add((*here, "from"), f"{feature.from_} has no event_time, so no window", "use a source with event_time")
    if not by:
        found.add((*here, "by"), "a window needs a column to group by", "write by: <column>")
    if refresh > window:
        found.add((*here, "refresh"), f"{feature.refresh} is longer than the window", "refresh within the window")
    for column, call in feature.aggregate.items():
        _check_aggregate(call, (*here, "aggregate", column), found)
    return WindowView(
        name=name, source=feature.from_, by=by, window=window, refresh=refresh,
        aggregates=tuple(feature.aggregate.items()),
    )  # fmt: skip


def _check_aggregate(call: str, here: Path, found: Findings) -> None:
    shape = _AGGREGATE.fullmatch(call.strip())
    if not shape or (shape[2].strip() == "*" and shape[1] != "count"):
        fix = "write count(*), count(x), sum(x), avg(x) or share(x)"
        found.add(here, f"{call[:60]!r} is not an aggregate", fix, "expression.invalid")
    elif shape[2].strip() != "*":
        found.told(here, lambda: parse(shape[2]))


def _check_columns(feature: RowFeature, here: Path, found: Findings) -> None:
    if not feature.columns and not feature.derive:
        found.add(here, "the feature has neither columns nor derive", "list at least one column")
    seen: set[str] = set()
    for index, column in enumerate(feature.columns):
        if column in seen:
            found.add((*here, "columns", index), f"{column} is listed twice", "list it once", "project.duplicate")
        seen.add(column)
    for column in feature.derive:
        if column in seen:
            what = f"{column} is listed under columns and derived"
            found.add((*here, "derive", column), what, "give the derived one another name", "project.duplicate")
    reads = {column: _reads(text, (*here, "derive", column), found) for column, text in feature.derive.items()}
    for column in reads:
        around = _cycle(column, reads)
        if around:
            what = f"derived columns read each other: {' -> '.join(around)}"
            found.add((*here, "derive", column), what, "derive from the source's columns", "project.reference")


def _reads(text: str, here: Path, found: Findings) -> tuple[str, ...]:
    try:
        return tuple(parse(text).columns)
    except MainspringError as error:
        found.add(here, error.what, error.fix, error.code)
        return ()


def _cycle(start: str, reads: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return a way from a derived column back to itself through another one, or ()."""
    waiting: list[tuple[str, ...]] = [(start,)]
    seen: set[str] = set()
    while waiting:
        way = waiting.pop()
        for column in reads.get(way[-1], ()):
            if column == start and len(way) > 1:
                return (*way, start)
            if column in reads and column not in seen and column != way[-1]:
                seen.add(column)
                waiting.append((*way, column))
    return ()


def _check_early(feature: RowFeature, source: Source, here: Path, found: Findings) -> None:
    """Refuse columns of the ask's own row that become known only after the ask."""

    def judge(column: str, path: Path) -> None:
        known = source.known_column(column.removeprefix("ask."))
        if known not in ("", source.event_time):
            what = f"{column} is known only at {known}, after the question is asked"
            found.add(path, what, f"use it in a window, or list it under known_at.{source.event_time}", "feature.leak")

    for index, column in enumerate(feature.columns):
        judge(column, (*here, "columns", index))
    for name, text in feature.derive.items():
        for column in _reads(text, (*here, "derive", name), Findings()):
            judge(column, (*here, "derive", name))
