"""Definitions that cannot be right are refused, all faults at once, each with its path and code."""

from dataclasses import replace
from typing import Any

import pytest

from mainspring.data.checks import InvalidDefinitions, check_definitions
from mainspring.data.views import (
    Ask,
    Definitions,
    RowView,
    Source,
    Target,
    Types,
    WindowView,
    from_json,
    to_json,
)  # fmt: skip
from mainspring.kernel.times import DAY, HOUR

FLIGHTS = Source(
    name="flights", uri="f", key="flight", event_time="departs",
    known=(("departs", ("carrier", "origin", "distance")), ("arrives", None)),
)  # fmt: skip
WEATHER = Source(name="weather", uri="w", key="origin", event_time="seen")
OWN = RowView(name="own", source="flights", columns=("carrier",), derive=(("hour", "hour(departs)"),))
SKY = RowView(name="sky", source="weather", by=("origin",), max_age=HOUR, columns=("wind",))
LATELY = WindowView(
    name="lately", source="flights", by=("carrier",), window=DAY, refresh=HOUR, aggregates=(("late", "avg(late)"),)
)
TYPES: Types = {
    "flights": {"flight": "string", "departs": "time", "carrier": "string", "origin": "string", "distance": "number",
                "arrives": "time", "delay": "number", "gate": "string"},
    "weather": {"origin": "string", "seen": "time", "wind": "number", "sky": "string"},
}  # fmt: skip
GOOD = Definitions(
    sources=(FLIGHTS, WEATHER),
    ask=Ask(source="flights", key="flight", at="departs"),
    target=Target(name="late", source="flights", expression="delay >= 15"),
    views=(OWN, SKY, LATELY),
)


def faults(definitions: Definitions) -> list[tuple[str, str]]:
    """(path, code) of every problem."""
    try:
        check_definitions(definitions, TYPES)
    except InvalidDefinitions as error:
        return [(problem.path, problem.code) for problem in error.problems]
    return []


def test_good_definitions_pass_and_survive_json() -> None:
    check_definitions(GOOD, TYPES)
    assert from_json(to_json(GOOD)) == GOOD
    assert GOOD.features(TYPES) == (
        ("own.carrier", "string"), ("own.hour", "number"), ("sky.wind", "number"), ("lately.late", "number"),
    )  # fmt: skip
    assert GOOD.ask_columns() == ("carrier", "departs", "origin")


LEAK = "feature.leak"
CASES: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"own": {"columns": ("delay",)}}, ("features.own.columns", LEAK)),
    ({"own": {"columns": ("late",)}}, ("features.own.columns", LEAK)),
    ({"own": {"derive": (("x", "delay + 1"),)}}, ("features.own.derive.x", LEAK)),
    ({"own": {"derive": (("x", "if(late, 1, 0)"),)}}, ("features.own.derive.x", LEAK)),
    ({"own": {"derive": (("x", "ask.delay"),)}}, ("features.own.derive.x", LEAK)),
    ({"own": {"derive": (("x", "minutes_between(departs, arrives)"),)}}, ("features.own.derive.x", LEAK)),
    ({"sky": {"derive": (("x", "wind * ask.delay"),)}}, ("features.sky.derive.x", LEAK)),
    ({"lately": {"by": ("gate",)}}, ("features.lately.by", LEAK)),
    ({"own": {"columns": ("carier",)}}, ("features.own.columns", "column.unknown")),
    ({"own": {"columns": ("departs",)}}, ("features.own.columns", "column.type")),
    ({"own": {"derive": (("x", "hour(carrier)"),)}}, ("features.own.derive.x", "expression.invalid")),
    ({"own": {"derive": (("x", "departs"),)}}, ("features.own.derive.x", "expression.invalid")),
    ({"own": {"max_age": HOUR}}, ("features.own.max_age", "view.max_age")),
    ({"own": {"columns": ("carrier", "carrier")}}, ("features.own", "definitions.invalid")),
    ({"own": {"columns": (), "derive": ()}}, ("features.own", "definitions.invalid")),
    ({"own": {"name": "sky"}}, ("features.sky", "definitions.invalid")),
    ({"own": {"name": "ask"}}, ("features.ask", "definitions.invalid")),
    ({"own": {"source": "flight"}}, ("features.own.from", "source.unknown")),
    ({"sky": {"by": ()}}, ("features.sky.by", "view.by")),
    ({"sky": {"by": ("sky",)}}, ("features.sky.by", "column.unknown")),
    ({"lately": {"refresh": 2 * DAY}}, ("features.lately.refresh", "definitions.invalid")),
    ({"lately": {"refresh": 1}}, ("features.lately.refresh", "definitions.invalid")),
    ({"lately": {"aggregates": (("x", "avg(carrier)"),)}}, ("features.lately.aggregate.x", "expression.invalid")),
    ({"lately": {"aggregates": (("x", "share(delay)"),)}}, ("features.lately.aggregate.x", "expression.invalid")),
    ({"lately": {"aggregates": (("x", "avg(dela)"),)}}, ("features.lately.aggregate.x", "column.unknown")),
    ({"lately": {"aggregates": (("x", "median(delay)"),)}}, ("features.lately.aggregate", "expression.invalid")),
    ({"lately": {"aggregates": (("x", "sum(*)"),)}}, ("features.lately.aggregate", "expression.invalid")),
    ({"ask": {"at": "arrives"}}, ("ask.at", "ask.at")),
    ({"ask": {"key": "carrier"}}, ("ask.key", "ask.key")),
    ({"target": {"expression": "carrier"}}, ("target.expression", "expression.invalid")),
    ({"target": {"name": "delay"}}, ("target.name", "definitions.invalid")),
    ({"target": {"source": "weather", "expression": "wind > 1"}}, ("target.from", "definitions.invalid")),
]


@pytest.mark.parametrize(("changes", "fault"), CASES)
def test_a_fault_is_found_where_it_is(changes: dict[str, Any], fault: tuple[str, str]) -> None:
    assert fault in faults(changed(changes))


def changed(changes: dict[str, Any]) -> Definitions:
    """GOOD with parts replaced."""
    views = tuple(replace(view, **changes.get(view.name, {})) for view in GOOD.views)
    ask, target = replace(GOOD.ask, **changes.get("ask", {})), replace(GOOD.target, **changes.get("target", {}))
    return replace(GOOD, views=views, ask=ask, target=target)


def test_all_faults_are_told_at_once_with_a_hint() -> None:
    wrong = changed({"own": {"columns": ("carier",)}, "lately": {"by": ("gate",)}, "ask": {"at": "arrives"}})
    assert len(faults(wrong)) >= 3
    with pytest.raises(InvalidDefinitions, match="unknown column carier"):
        check_definitions(wrong, TYPES)


def test_what_is_not_listed_early_is_known_late() -> None:
    assert FLIGHTS.known_column("delay") == "arrives"
    assert FLIGHTS.known_column("carrier") == "departs"
    assert FLIGHTS.known_columns(["carrier", "delay"]) == ("arrives",)
    late = replace(FLIGHTS, known=(("arrives", None),))
    assert late.known_columns([]) == ("arrives",)
    assert late.is_early("flight")
    assert not late.is_early("carrier")
