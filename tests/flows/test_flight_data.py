"""The flights example: its data script gives what its project file promises."""

import importlib.util
from pathlib import Path
from types import ModuleType

import duckdb
import pytest

from mainspring.adapters.duckdb.reader import SourceReader
from mainspring.adapters.memory.ledger import Ledger
from mainspring.adapters.memory.store import Store
from mainspring.flows.snapshot import SnapshotPorts, open_snapshot, take
from mainspring.kernel.times import parse_time
from mainspring.project.load import load

pytestmark = pytest.mark.xdist_group("flights")  # the data is made once, for one worker

EXAMPLE = Path(__file__).parents[2] / "examples" / "flight_delay"


def script() -> ModuleType:
    found = importlib.util.spec_from_file_location("flight_data", EXAMPLE / "src" / "flight_delay" / "data.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("flights")
    script().write(place / "data")
    return place


def ask(folder: Path, query: str) -> tuple[object, ...]:
    with duckdb.connect() as connection:
        found = connection.execute(query.replace("flights", f"'{folder}/data/flights.parquet'")).fetchone()
    assert found is not None
    return tuple(found)


def test_every_flight_is_there_once_and_lands_after_it_was_to_leave(folder: Path) -> None:
    assert ask(
        folder,
        "SELECT count(*), count(DISTINCT flight_id), count(*) FILTER (arrived_at IS NULL),"
        " count(*) FILTER (arrived_at <= scheduled_departure) FROM flights",
    ) == (336_776, 336_776, 9_430, 0)


def test_arrivals_agree_with_take_off_and_air_time(folder: Path) -> None:
    """What is left between both is taxiing: minutes, never a wrong hour or day. It checks every zone at once."""
    taxi = "date_diff('minute', scheduled_departure + to_minutes(departure_delay + air_time), arrived_at)"
    low, high = ask(folder, f"SELECT min({taxi}), max({taxi}) FROM flights")
    assert (low, high) == (5, 235)


def test_the_simulated_vendor_turns_its_score_round(folder: Path) -> None:
    before, after = (
        ask(
            folder,
            "SELECT avg(vendor_risk) FILTER (arrival_delay >= 15) - avg(vendor_risk) FILTER (arrival_delay < 15)"
            f" FROM flights WHERE scheduled_departure {sign} TIMESTAMPTZ '2013-09-10 00:00:00+00'",
        )[0]
        for sign in ("<", ">=")
    )
    assert isinstance(before, float)
    assert isinstance(after, float)
    assert before > 0.05
    assert after < -0.05


def test_the_data_keeps_what_the_project_file_promises(folder: Path) -> None:
    settings = load(EXAMPLE / "mainspring.yaml").settings
    ports = SnapshotPorts(ledger=Ledger(), store=Store(), reader=SourceReader(folder))
    taken = take(
        settings.definitions.sources, settings.expectations, ports, at=parse_time("2026-01-01"), actor="user:ada",
        ask=settings.definitions.ask.source,
    )  # fmt: skip
    assert dict(taken.rows) == {"flights": 336_776, "planes": 3_322, "weather": 26_115}
    assert taken.warnings == ()
    flights = open_snapshot(ports.ledger, ports.store).table("flights")
    assert flights is not None
    assert len(flights.partitions) == 13
