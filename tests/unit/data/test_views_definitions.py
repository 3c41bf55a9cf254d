"""Definitions survive JSON, and say what they read."""

import pytest

from mainspring.data.aggregates import read_aggregate
from mainspring.data.personal import hidden_columns
from mainspring.data.views import Ask, Definitions, RowView, Source, Target, WindowView, from_json, row_columns, to_json
from mainspring.flows.materialise import online_views, stored_name
from mainspring.kernel.times import DAY, HOUR

FLIGHTS = Source(name="f", uri="u", key="k", event_time="t", known=(("t", ("a", "by")), ("late_t", None)), zone="UTC")
LATELY = WindowView(name="w", source="f", by=("by",), window=DAY, refresh=HOUR, aggregates=(("n", "mean(late * 2)"),))
SKY = RowView(name="s", source="o", by=("by",), max_age=5, columns=("x",), derive=(("d", "y + ask.a"),))
DEFINED = Definitions(
    sources=(FLIGHTS, Source(name="o", uri="v", key="by", event_time="")),
    ask=Ask(source="f", key="k", at="t"),
    target=Target(name="late", source="f", expression="delay - 1"),
    views=(RowView(name="own", source="f", columns=("a",)), SKY, LATELY),
)


def test_definitions_survive_json() -> None:
    assert from_json(to_json(DEFINED)) == DEFINED


def test_columns_that_are_read_are_known() -> None:
    assert DEFINED.ask_columns() == ("a", "by")
    assert row_columns(SKY) == ("by", "x", "y")
    assert DEFINED.feature_names() == ("own.a", "s.x", "s.d", "w.n")


def test_a_target_inside_an_aggregate_is_its_expression() -> None:
    call = DEFINED.aggregates(LATELY)[0]
    assert (call.function, call.columns) == ("avg", ("delay",))
    assert read_aggregate("n", "count( * )", None).expression is None


def test_a_changed_definition_is_stored_under_another_name() -> None:
    other = Definitions(
        sources=DEFINED.sources,
        ask=DEFINED.ask,
        target=Target(name="late", source="f", expression="delay - 2"),
        views=DEFINED.views,
    )
    assert online_views(DEFINED) == ("ask", "s", "w")
    assert stored_name(DEFINED, "w") != stored_name(other, "w")
    assert stored_name(DEFINED, "s") == stored_name(other, "s")
    assert stored_name(DEFINED, "s").startswith("s@")


@pytest.mark.parametrize(
    ("personal", "hidden"),
    [
        ((), ()),
        (("a",), ("own.a", "s.d")),  # a copy, and what is derived from the ask's own column
        (("y",), ("s.d",)),
        (("delay",), ("w.n",)),  # through the target's expression
        (("by", "other"), ()),  # grouping does not show it
        (("k",), ("@key",)),
    ],
)
def test_what_shows_a_personal_column_is_hidden(personal: tuple[str, ...], hidden: tuple[str, ...]) -> None:
    assert hidden_columns(DEFINED, personal, DEFINED.feature_names()) == hidden
