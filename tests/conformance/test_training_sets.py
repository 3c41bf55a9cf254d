"""Point-in-time rules by hand-made cases, on every adapter; random histories are in test_one_meaning."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pytest
from tests.conformance.histories import FLIGHTS, PLANES, START, TYPES, WEATHER, definitions, table, write_parquet

from mainspring.adapters.duckdb.training_sets import TrainingSets
from mainspring.adapters.memory.training_sets import TrainingSets as Reference
from mainspring.data.checks import InvalidDefinitions
from mainspring.data.ports import NEVER
from mainspring.data.ports import TrainingSets as Port
from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.times import HOUR, MINUTE
from mainspring.stats.columns import Columns

Flight = tuple[str, int, str | None, int | None, float | None]
Report = tuple[str, str, int, int, float]
FOREVER = START + 1_000 * HOUR


def tables(*flights: Flight, weather: tuple[Report, ...] = ()) -> dict[str, Columns]:
    """Tables of flights (key, departs, carrier, arrives, delay), in minutes from START."""
    cells = [
        (
            key,
            START + departs * MINUTE,
            carrier,
            "JFK",
            1.0,
            None if late is None else START + late * MINUTE,
            delay,
            False,
        )
        for key, departs, carrier, late, delay in flights
    ]
    reports = [(who, carrier, _time(seen), _time(told), wind, "Clear") for who, carrier, seen, told, wind in weather]
    return {"flights": table(FLIGHTS, cells), "weather": table(WEATHER, reports), "planes": table(PLANES, [])}


def _time(minutes: int | None) -> int | None:
    return None if minutes is None else START + minutes * MINUTE


def memory(made: dict[str, Columns], _: Path) -> Port:
    return Reference(made, TYPES)


def on_duckdb(made: dict[str, Columns], folder: Path) -> Port:
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        for name, columns in made.items():
            write_parquet(connection, name, columns, folder / f"{name}.parquet")
    return TrainingSets({name: [folder / f"{name}.parquet"] for name in made})


ADAPTERS: dict[str, Callable[[dict[str, Columns], Path], Port]] = {"memory": memory, "duckdb": on_duckdb}


@pytest.fixture(params=list(ADAPTERS))
def adapter(request: pytest.FixtureRequest) -> Callable[[dict[str, Columns], Path], Port]:
    return ADAPTERS[request.param]


def feature(port: Port, key: str, name: str) -> object:
    """The value of a feature at the ask of `key`."""
    asks = port.asks(definitions(), NEVER, FOREVER)
    built = port.build(definitions(), asks)
    value = built[name][asks["key"].tolist().index(key)]
    return None if isinstance(value, float) and np.isnan(value) else value


Make = Callable[[dict[str, Columns], Path], Port]


def test_a_window_ends_at_the_last_refresh_and_leaves_the_ask_out(adapter: Make, tmp_path: Path) -> None:
    port = adapter(
        tables(("a", 10, "AA", 20, 30.0), ("b", 70, "AA", None, None), ("c", 119, "AA", None, None)), tmp_path
    )
    assert feature(port, "c", "lately.flights") == 1.0
    assert feature(port, "b", "lately.flights") == 1.0
    assert feature(port, "a", "lately.flights") == 0.0


def test_an_outcome_counts_from_when_it_is_known(adapter: Make, tmp_path: Path) -> None:
    port = adapter(tables(("a", 10, "AA", 60, 30.0), ("b", 20, "AA", 61, 0.0), ("c", 60, "AA", None, None)), tmp_path)
    assert feature(port, "c", "lately.late_share") == 1.0
    assert feature(port, "c", "lately.flights") == 2.0


def test_a_correction_replaces_from_when_it_is_known(adapter: Make, tmp_path: Path) -> None:
    flights: tuple[Flight, ...] = (
        ("a", 10, "AA", 30, 30.0), ("a", 10, "AA", 90, 5.0), ("b", 60, "AA", None, None), ("c", 120, "AA", None, None),
    )  # fmt: skip
    port = adapter(tables(*flights), tmp_path)
    assert feature(port, "b", "lately.delay") == 30.0
    assert feature(port, "c", "lately.delay") == 5.0
    assert feature(port, "c", "lately.flights") == 2.0


def test_a_row_that_is_never_known_never_counts(adapter: Make, tmp_path: Path) -> None:
    port = adapter(tables(("a", 10, "AA", None, 30.0), ("b", 120, "AA", None, None)), tmp_path)
    assert feature(port, "b", "lately.delay") is None
    assert feature(port, "b", "lately.known") == 0.0


def test_an_outcome_promised_for_a_far_year_never_counts(adapter: Make, tmp_path: Path) -> None:
    far = 4_000_000_000  # minutes: beyond the year 9600
    port = adapter(tables(("a", 10, "AA", far, 30.0), ("b", 20, "AB", 30, 6.0), ("c", 120, "AB", None, None)), tmp_path)
    assert feature(port, "c", "lately.delay") == 6.0
    assert feature(port, "c", "lately.known") == 1.0


def test_no_asks_have_no_features(adapter: Make, tmp_path: Path) -> None:
    port = adapter(tables(("a", 10, "AA", 20, 30.0)), tmp_path)
    built = port.build(definitions(), port.asks(definitions(), NEVER, NEVER))
    assert {name: len(values) for name, values in built.items()} == dict.fromkeys(built, 0)


def test_a_null_key_matches_nothing(adapter: Make, tmp_path: Path) -> None:
    port = adapter(tables(("a", 10, None, 20, 30.0), ("b", 120, None, None, None)), tmp_path)
    assert feature(port, "b", "lately.flights") is None
    assert feature(port, "b", "weather.wind") is None


def test_a_row_too_old_is_null_and_a_late_report_is_not_seen_early(adapter: Make, tmp_path: Path) -> None:
    reports = (("s1", "AA", 0, 0, 7.0), ("s1", "AA", 30, 90, 9.0))
    flights: tuple[Flight, ...] = (
        ("a", 60, "AA", None, None),
        ("b", 90, "AA", None, None),
        ("c", 151, "AA", None, None),
    )
    port = adapter(tables(*flights, weather=reports), tmp_path)
    assert [feature(port, key, "weather.wind") for key in "abc"] == [7.0, 9.0, None]


def test_every_version_of_a_label_is_given(adapter: Make, tmp_path: Path) -> None:
    port = adapter(tables(("a", 10, "AA", 30, 30.0), ("a", 10, "AA", 90, 5.0), ("b", 60, "AA", 70, None)), tmp_path)
    found = port.targets(definitions())
    assert found["key"].tolist() == ["a", "a"]
    assert found["value"].tolist() == [1.0, 0.0]
    assert (found["known_at"] - START).tolist() == [30 * MINUTE, 90 * MINUTE]


def test_asks_are_taken_by_time_with_what_is_known_early(adapter: Make, tmp_path: Path) -> None:
    port = adapter(tables(("b", 10, "AA", 20, 1.0), ("a", 10, "B6", 20, 1.0), ("c", 11, "AA", 20, 1.0)), tmp_path)
    asks = port.asks(definitions(), START, START + 11 * MINUTE)
    assert asks["key"].tolist() == ["a", "b"]
    assert "carrier" in asks
    assert "delay" not in asks


def test_definitions_that_leak_are_never_built(adapter: Make, tmp_path: Path) -> None:
    port = adapter(tables(("a", 10, "AA", 20, 1.0)), tmp_path)
    asks = port.asks(definitions(), NEVER, FOREVER)
    with pytest.raises(InvalidDefinitions):
        port.build(definitions(window=HOUR, refresh=2 * HOUR), asks)
    with pytest.raises(InvalidValue, match="lack"):
        port.build(definitions(), {"key": asks["key"], "at": asks["at"]})


def test_the_written_file_is_the_same_in_every_folder_and_thread(tmp_path: Path) -> None:
    many = [(f"k{n:05}", n % 997, f"C{n % 7}", n % 997 + n % 200, n / 7) for n in range(20_000)]
    made = tables(*many)
    files = []
    for name in ("one", "two"):
        folder = tmp_path / name
        port = on_duckdb(made, folder)
        port.write(definitions(), folder / "features.parquet")
        files.append((folder / "features.parquet").read_bytes())
        assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    assert files[0] == files[1]


def test_sums_of_fractions_are_exact_to_a_billionth(tmp_path: Path) -> None:
    many: list[Flight] = [(f"k{n}", n % 60, "AA", 60, 0.1) for n in range(3_000)]
    port = on_duckdb(tables(*many, ("last", 120, "AA", None, None)), tmp_path)
    total = feature(port, "last", "lately.total")
    assert total == pytest.approx(100.0, rel=1e-12)


@pytest.mark.parametrize("view", ["ask", "weather", "plane", "before", "lately", "route", "storms"])
def test_a_stream_in_parts_is_the_stream_as_a_whole(view: str, tmp_path: Path) -> None:
    flights: list[Flight] = [(f"k{n}", n * 13 % 700, f"C{n % 3}", n * 13 % 700 + n % 90, n / 7) for n in range(60)]
    reports = tuple(("s1", f"C{n % 3}", n * 17, n * 17 + n % 5 * 20, float(n)) for n in range(40))
    port = on_duckdb(tables(*flights, weather=reports), tmp_path)
    edges = [NEVER, START + 100 * MINUTE, START + 101 * MINUTE, START + 6 * HOUR, FOREVER]
    parts = [port.stream(definitions(), view, start, end) for start, end in pairwise(edges)]
    whole = port.stream(definitions(), view, NEVER, FOREVER)
    for name, values in whole.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), values, err_msg=name)
