"""Random histories of three tables with all that goes wrong: corrections, ties, nulls, late and never known rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from hypothesis import strategies as st

from mainspring.data.expressions import ColumnType
from mainspring.data.views import Ask, Definitions, RowView, Source, Target, Types, WindowView
from mainspring.kernel.times import HOUR, MINUTE
from mainspring.stats.columns import Columns

START = 1_362_877_200_000_000  # 2013-03-10 01:00 UTC: New York changes its clocks at 07:00
STEP = 15 * MINUTE
KEYS = ("f0", "f1", "f2", "f3", "f4", "f5")
_SQL = {"string": "VARCHAR", "number": "DOUBLE", "time": "TIMESTAMP", "bool": "BOOLEAN"}
FLIGHTS: Mapping[str, ColumnType] = {
    "flight": "string", "departs": "time", "carrier": "string", "dest": "string", "gate": "number", "arrives": "time",
    "delay": "number", "diverted": "bool",
}  # fmt: skip
WEATHER: Mapping[str, ColumnType] = {
    "station": "string", "carrier": "string", "seen": "time", "published": "time", "wind": "number", "sky": "string",
}  # fmt: skip
PLANES: Mapping[str, ColumnType] = {
    "plane": "string", "carrier": "string", "dest": "string", "seats": "number", "maker": "string",
}  # fmt: skip
TYPES: Types = {"flights": FLIGHTS, "weather": WEATHER, "planes": PLANES}

_carriers = st.sampled_from(["AA", "B6", "ß", None])
_dests = st.sampled_from(["JFK", "O'Hare", None])
_numbers = st.one_of(
    st.none(), st.integers(-20, 40).map(float), st.floats(-1e6, 1e6, allow_nan=False, width=32), st.just(float("inf"))
)
_steps = st.integers(0, 40)
_us = st.sampled_from([0, 0, 0, 1, -1])


@st.composite
def moments(draw: st.DrawFn) -> int:
    """A time near START, mostly on a quarter of an hour, sometimes a microsecond beside it."""
    return START + draw(_steps) * STEP + draw(_us)


@st.composite
def histories(draw: st.DrawFn) -> dict[str, Columns]:
    """Tables flights (asked; corrected later), weather (published late or never) and planes (timeless)."""
    departs = {key: draw(moments()) for key in KEYS}
    flights = []
    for key in draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=12)):
        late = draw(st.one_of(st.none(), st.integers(-2, 20)))
        arrives = None if late is None else departs[key] + late * STEP + draw(_us)
        flights.append((key, departs[key], draw(_carriers), draw(_dests), draw(_numbers), arrives, draw(_numbers),
                        draw(st.sampled_from([True, False, None]))))  # fmt: skip
    weather = draw(
        st.lists(
            st.tuples(st.sampled_from(["s1", "s2"]), _carriers, moments(), st.one_of(st.none(), moments()), _numbers,
                      st.sampled_from(["Clear", "RAIN", None])),
            max_size=10,
        )
    )  # fmt: skip
    planes = draw(
        st.lists(st.tuples(st.sampled_from(["p1", "p2", "p3"]), _carriers, _dests, _numbers, _dests), max_size=4)
    )
    return {"flights": table(FLIGHTS, _unique(flights, 6)), "weather": table(WEATHER, _unique(weather, 4)),
            "planes": table(PLANES, _unique(planes, 1))}  # fmt: skip


def _unique(rows: list[tuple[Any, ...]], identity: int) -> list[tuple[Any, ...]]:
    """Keep one row an identity (key, event time and known time), as reading a source does."""
    return list({tuple(row[i] for i in range(identity) if i in (0, identity - 1, 2)): row for row in rows}.values())


def table(columns: Mapping[str, str], rows: list[tuple[Any, ...]]) -> Columns:
    """Return rows as columns of the types that the memory adapter takes."""
    made: Columns = {}
    for place, (name, kind) in enumerate(columns.items()):
        values = [row[place] for row in rows]
        if kind == "number":
            made[name] = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        elif kind == "time":
            nat = np.datetime64("NaT")
            made[name] = np.array(
                [nat if value is None else np.datetime64(value, "us") for value in values], dtype="datetime64[us]"
            )
        else:
            made[name] = np.array(values, dtype=object)
    return made


def write_parquet(connection: duckdb.DuckDBPyConnection, name: str, columns: Columns, path: Path) -> None:
    """Write a table of `TYPES` as Parquet."""
    shown = ", ".join(f"CAST({column} AS {_SQL[kind]}) AS {column}" for column, kind in TYPES[name].items())
    if len(next(iter(columns.values()))):
        connection.register("made", columns)
        connection.execute(f"COPY (SELECT {shown} FROM made) TO '{path}' (FORMAT parquet)")
        connection.unregister("made")
    else:
        empty = ", ".join(f"CAST(NULL AS {_SQL[kind]}) AS {column}" for column, kind in TYPES[name].items())
        connection.execute(f"COPY (SELECT {empty} WHERE FALSE) TO '{path}' (FORMAT parquet)")


def definitions(*, window: int = 3 * HOUR, refresh: int = HOUR, max_age: int | None = 2 * HOUR) -> Definitions:
    """Return definitions that use every kind of view."""
    calls = (("late_share", "avg(late)"), ("delay", "avg(delay)"), ("total", "sum(delay / 3)"),
             ("known", "count(delay)"), ("flights", "count(*)"), ("odd", "share(diverted)"),
             ("gates", "sum(gate)"))  # fmt: skip
    return Definitions(
        sources=(
            Source(name="flights", uri="flights", key="flight", event_time="departs",
                   known=(("departs", ("carrier", "dest", "gate")), ("arrives", None))),
            Source(name="weather", uri="weather", key="station", event_time="seen", known=(("published", None),)),
            Source(name="planes", uri="planes", key="plane", event_time=""),
        ),
        ask=Ask(source="flights", key="flight", at="departs"),
        target=Target(name="late", source="flights", expression="delay >= 15 and not diverted"),
        views=(
            RowView(name="own", source="flights", columns=("carrier", "gate"),
                    derive=(("hour", "hour(departs, 'America/New_York')"),
                            ("to", "lower(concat(carrier, '-', dest))"))),
            RowView(name="weather", source="weather", by=("carrier",), max_age=max_age, columns=("wind", "sky"),
                    derive=(("age", "minutes_between(seen, ask.departs)"), ("gust", "wind / ask.gate"))),
            RowView(name="plane", source="planes", by=("carrier", "dest"), columns=("seats", "maker")),
            RowView(name="before", source="flights", by=("dest",), columns=("delay", "diverted")),
            WindowView(name="lately", source="flights", by=("carrier",), window=window, refresh=refresh,
                       aggregates=calls),
            WindowView(name="route", source="flights", by=("carrier", "dest"), window=2 * window, refresh=refresh,
                       aggregates=calls[:3]),
            WindowView(name="storms", source="weather", by=("carrier",), window=window, refresh=refresh,
                       aggregates=(("reports", "count(*)"), ("rain", "share(lower(sky) = 'rain')"),
                                   ("wind", "avg(wind)"))),
        ),
    )  # fmt: skip
