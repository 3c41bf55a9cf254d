"""The expression language: what it reads, what it refuses, and that both back-ends agree to the last bit."""

import math
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.data.expressions import (
    FUNCTIONS,
    ColumnType,
    InvalidExpression,
    UnknownColumn,
    evaluate,
    infer,
    parse,
    quoted,
    to_sql,
)
from mainspring.stats.columns import Columns

TYPES: dict[str, ColumnType] = {
    "a": "number", "b": "number", "s": "string", "z": "string",
    "t": "time", "u": "time", "p": "bool", "ask.a": "number",
}  # fmt: skip
_SQL = {"number": "DOUBLE", "string": "VARCHAR", "time": "TIMESTAMP", "bool": "BOOLEAN"}
_ZONES = ("UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")


def values(kind: ColumnType) -> st.SearchStrategy[Any]:
    """A cell of a type, often null, often at an edge."""
    cells: dict[str, st.SearchStrategy[Any]] = {
        "number": st.one_of(
            st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0**53, 1e308, 5e-324]),
            st.floats(allow_nan=False, allow_infinity=False),
        ),
        "string": st.one_of(st.sampled_from(["", "A", "a", "É", "ß", "it's", "İ"]), st.text("aAbZß€😀", max_size=4)),
        "time": st.one_of(
            st.integers(0, 2_100_000_000_000_000),
            st.integers(0, 120).map(lambda m: 1_362_898_800_000_000 + m * 60_000_000),
            st.integers(0, 120).map(lambda m: 1_383_454_800_000_000 + m * 60_000_000),
        ),
        "bool": st.booleans(),
    }
    return st.one_of(st.none(), cells[kind])


@st.composite
def expressions(draw: st.DrawFn, kind: str, depth: int = 3) -> str:
    """Text of an expression of a type, made of everything in the grammar."""
    giving = [name for name, signature in FUNCTIONS.items() if signature.gives in (kind, "same")]
    if depth == 0 or kind == "time" or draw(st.integers(0, 4)) == 0:
        return draw(_leaf(kind))
    signature = FUNCTIONS[name := draw(st.sampled_from(giving))]
    shared = kind if signature.gives == "same" else draw(st.sampled_from(sorted(_SQL)))
    parts = [draw(expressions(shared if one == "same" else one, depth - 1)) for one in signature.takes]
    return _written(name, parts, draw)


def _leaf(kind: str) -> st.SearchStrategy[str]:
    names = [name if "." in name else quoted(name) for name, of in TYPES.items() if of == kind]
    literals = {"number": ["0", "2", "0.1", "1e10"], "string": ["''", "'A'", "'it''s'"], "bool": ["true", "false"]}
    return st.sampled_from([*names, *literals.get(kind, [])])


def _written(name: str, parts: list[str], draw: st.DrawFn) -> str:
    if name == "not":
        return f"(not {parts[0]})"
    if name == "negate":
        return f"(- {parts[0]})"
    if name == "is null":
        return f"({parts[0]} is null)"
    if name in ("and", "or") or not name.replace("_", "").isalpha():
        return f"({parts[0]} {name} {parts[1]})"
    if FUNCTIONS[name].zone and draw(st.booleans()):
        parts = [*parts, f"'{draw(st.sampled_from(_ZONES))}'"]
    return f"{name}({', '.join(parts)})"


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    """An expression and some rows for it."""
    text = draw(expressions(draw(st.sampled_from(["number", "bool"]))))
    row = st.fixed_dictionaries({name: values(kind) for name, kind in TYPES.items()})
    return text, draw(st.lists(row, min_size=1, max_size=4))


@pytest.fixture(scope="module")
def connection() -> Any:  # noqa: ANN401
    with duckdb.connect() as opened:
        opened.execute("SET TimeZone = 'UTC'")
        opened.execute("SET threads = 1")
        yield opened


def as_columns(rows: list[dict[str, Any]]) -> Columns:
    """Rows as the numpy back-end takes them."""
    made: Columns = {}
    for name, kind in TYPES.items():
        cells = [row[name] for row in rows]
        if kind == "string":
            made[name] = np.array(cells, dtype=object)
        elif kind == "time":
            times = [np.datetime64("NaT") if cell is None else np.datetime64(cell, "us") for cell in cells]
            made[name] = np.array(times, dtype="datetime64[us]")
        else:
            made[name] = np.array([np.nan if cell is None else float(cell) for cell in cells], dtype=np.float64)
    return made


def by_sql(connection: duckdb.DuckDBPyConnection, text: str, rows: list[dict[str, Any]]) -> list[Any]:
    """The answers of DuckDB, bools as numbers."""
    names = [f"c{place}" for place in range(len(TYPES))]
    given = [[row[name] for name in TYPES] for row in rows]
    marks = ", ".join(f"({place}, {', '.join('?' * len(names))})" for place in range(len(rows)))
    columns = {
        name: f"make_timestamp(CAST({place} AS BIGINT))" if kind == "time" else f"CAST({place} AS {_SQL[kind]})"
        for place, (name, kind) in zip(names, TYPES.items(), strict=True)
    }
    shape = f"(VALUES {marks}) AS given(n, {', '.join(names)})"
    query = f"SELECT CAST({to_sql(parse(text), columns)} AS DOUBLE) FROM {shape} ORDER BY n"
    return [row[0] for row in connection.execute(query, [cell for row in given for cell in row]).fetchall()]


def plain(value: Any) -> Any:  # noqa: ANN401
    """A cell to compare: a number by its bits, null as None."""
    if isinstance(value, str) or value is None:
        return value
    number = float(value)
    return None if math.isnan(number) else number.hex()


@settings(max_examples=100, deadline=None)
@given(case=cases())
def test_sql_and_numpy_agree_to_the_last_bit(
    connection: duckdb.DuckDBPyConnection, case: tuple[str, list[dict[str, Any]]]
) -> None:
    text, rows = case
    try:
        infer(parse(text), TYPES)
    except InvalidExpression as error:
        assert "always null" in error.what or "levels" in error.what  # noqa: PT017
        return
    expected = [plain(value) for value in by_sql(connection, text, rows)]
    assert [plain(value) for value in evaluate(parse(text), as_columns(rows)).tolist()] == expected


@pytest.mark.parametrize(
    ("text", "cells", "answer"),
    [
        ("a / b", {"a": 1.0, "b": 0.0}, None),
        ("a * a", {"a": 1e308}, None),
        ("a > 1 or p", {"a": None, "p": 1.0}, 1.0),
        ("a > 1 and p", {"a": None, "p": 1.0}, None),
        ("1 + 2 * 3 - -4", {}, 11.0),
        ("not a = 1", {"a": 2.0}, 1.0),
        ("if(a > 1, 'big', 'small')", {"a": None}, "small"),
        ("coalesce(s, z, 'x')", {"s": None, "z": None}, "x"),
        ("concat(s, '-', z)", {"s": "a", "z": None}, None),
        ("lower('ÀB')", {}, "Àb"),
        ("weekday(t)", {"t": np.datetime64("2026-11-23T00:00")}, 0.0),
        ("day_of_year(t)", {"t": np.datetime64("2024-12-31T00:00")}, 366.0),
        ("hour(t, 'America/New_York')", {"t": np.datetime64("2013-03-10T07:00")}, 3.0),
        ("hour(t, 'America/New_York')", {"t": np.datetime64("2013-03-10T06:59")}, 1.0),
        (
            "minutes_between(t, u)",
            {"t": np.datetime64("2013-03-10T06:00"), "u": np.datetime64("2013-03-10T07:30")},
            90.0,
        ),
    ],
)
def test_an_expression_means(text: str, cells: dict[str, Any], answer: Any) -> None:  # noqa: ANN401
    columns: Columns = {}
    for name, cell in cells.items():
        kind = TYPES[name]
        dtype = object if kind == "string" else "datetime64[us]" if kind == "time" else np.float64
        columns[name] = np.array([np.nan if cell is None and kind in ("number", "bool") else cell], dtype=dtype)
    assert plain(evaluate(parse(text), columns, 1).tolist()[0]) == plain(answer)


@pytest.mark.parametrize(
    ("text", "said", "fix"),
    [
        ("", "expected a value", "put a column"),
        ("a +", "end of the expression", "put a column"),
        ("a b", "unexpected 'b'", "operator"),
        ("a $ b", "unexpected '$' at character 3", "use names"),
        ("1 < a < 3", "chained", "and"),
        ("houre(t)", "unknown function houre", "did you mean hour?"),
        ("a + s", "+ needs a number here, not a string", "number column"),
        ("hour(t, 'Mars')", "not a time zone", "IANA"),
        ("hour(t, s)", "not a time zone", "IANA"),
        ("abs(a, b)", "takes 1 arguments, not 2", "abs(number)"),
        ("null", "always null", "read a column"),
        ("flights.a", "'flights' is not a table", "ask.<column>"),
        ("90071992547409999", "too large", "2**53"),
        ("'open", "unexpected", "use names"),
        ("(" * 60 + "a" + ")" * 60, "more than 50 levels", "split"),
        ("+".join(["a"] * 60), "more than 50 levels", "split"),
        ("not " * 60 + "p", "more than 50 levels", "split"),
        ("a" * 2_001, "too long", "2,000"),
    ],
)
def test_a_wrong_expression_is_refused_with_the_place_and_a_way_out(text: str, said: str, fix: str) -> None:
    with pytest.raises(InvalidExpression) as caught:
        infer(parse(text), TYPES)
    assert said in caught.value.what
    assert fix in caught.value.fix


def test_an_unknown_column_is_met_with_the_nearest() -> None:
    with pytest.raises(UnknownColumn) as caught:
        infer(parse("delai + 1"), {"delay": "number"})
    assert caught.value.fix == "did you mean delay?"


def test_the_caret_stands_under_the_fault() -> None:
    with pytest.raises(InvalidExpression) as caught:
        infer(parse("abs(a) + s"), TYPES)
    shown, caret = caught.value.what.splitlines()[1:]
    assert shown[caret.index("^")] == "s"


def test_columns_are_named_with_the_asks_apart() -> None:
    expression = parse('ask.a + "b" / a')
    assert (expression.row_columns, expression.ask_columns) == (("b", "a"), ("a",))


@given(text=st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except InvalidExpression as error:
        assert error.fix  # noqa: PT017


def test_a_name_cannot_break_out_of_its_quotes() -> None:
    sql = to_sql(parse("""concat("x""y", 'it''s; DROP')"""), {'x"y': quoted('x"y')})
    assert sql == """("x""y" || 'it''s; DROP')"""
