"""Taking snapshots: new versions only for new data, time travel, and refused data that changes nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mainspring.adapters.duckdb.reader import SourceReader
from mainspring.adapters.memory.ledger import Ledger
from mainspring.adapters.memory.store import Store
from mainspring.data.expectations import ColumnRule, DataRefused, Expectations
from mainspring.data.views import Source
from mainspring.flows.snapshot import SnapshotPorts, SnapshotTaken, find_snapshot, open_snapshot, table_paths, take
from mainspring.kernel.errors import NotFound
from mainspring.kernel.times import DAY, parse_time

SOURCES = (
    Source(name="readings", uri="readings.csv", key="id", event_time="at"),
    Source(name="sites", uri="sites.csv", key="site", event_time=""),
)
JANUARY = ["a,2013-01-05T00:00:00Z,1", "b,2013-01-06T00:00:00Z,2"]
FEBRUARY = ["c,2013-02-05T00:00:00Z,3"]
NOW = parse_time("2013-03-01")


@pytest.fixture
def ports(tmp_path: Path) -> SnapshotPorts:
    write(tmp_path, JANUARY + FEBRUARY)
    (tmp_path / "sites.csv").write_text("site,height\nx,1\ny,2\n")
    return SnapshotPorts(ledger=Ledger(), store=Store(), reader=SourceReader(tmp_path, cache=tmp_path / "cache"))


def write(folder: Path, rows: list[str]) -> None:
    (folder / "readings.csv").write_text("\n".join(["id,at,n", *rows]) + "\n")


def snap(ports: SnapshotPorts, at: int = NOW, rules: tuple[ColumnRule, ...] = ()) -> SnapshotTaken:
    promises = {"readings": Expectations(source="readings", columns=rules)} if rules else {}
    return take(SOURCES, promises, ports, at=at, actor="user:ada", ask="readings")


def test_the_first_snapshot_is_version_1_and_unchanged_data_makes_no_other(ports: SnapshotPorts) -> None:
    first = snap(ports)
    assert (first.version, first.new, dict(first.rows)) == (1, True, {"readings": 3, "sites": 2})
    again = snap(ports, at=NOW + DAY)
    assert (again.version, again.new, again.digest) == (1, False, first.digest)
    assert [event.kind for event in ports.ledger.read()] == ["snapshot.taken"]


def test_changed_data_rewrites_only_the_changed_partition(ports: SnapshotPorts, tmp_path: Path) -> None:
    snap(ports)
    write(tmp_path, [*JANUARY, *FEBRUARY, "d,2013-02-06T00:00:00Z,4"])
    assert snap(ports).version == 2
    old, new = (open_snapshot(ports.ledger, ports.store, version=version) for version in (1, 2))
    was, now = old.table("readings"), new.table("readings")
    assert was is not None
    assert now is not None
    assert was.partitions[0] == now.partitions[0]
    assert was.partitions[1] != now.partitions[1]
    assert old.table("sites") == new.table("sites")


def test_time_travel_by_version_and_by_date(ports: SnapshotPorts, tmp_path: Path) -> None:
    first = snap(ports, at=NOW)
    write(tmp_path, JANUARY)
    second = snap(ports, at=NOW + DAY)
    ledger, store = ports.ledger, ports.store
    assert open_snapshot(ledger, store).digest == second.digest
    assert open_snapshot(ledger, store, version=1).digest == first.digest
    assert open_snapshot(ledger, store, date=NOW + DAY - 1).digest == first.digest
    assert open_snapshot(ledger, store, date=NOW + DAY).digest == second.digest
    assert find_snapshot(ledger, date=NOW).body["version"] == 1
    with pytest.raises(NotFound, match="no snapshot version 9"):
        open_snapshot(ledger, store, version=9)
    with pytest.raises(NotFound, match="2013-02-28T00:00:00Z"):
        open_snapshot(ledger, store, date=NOW - DAY)


def test_nothing_taken_means_nothing_found(ports: SnapshotPorts) -> None:
    with pytest.raises(NotFound, match="no snapshot yet"):
        open_snapshot(ports.ledger, ports.store)


def test_refused_data_leaves_the_last_good_snapshot_and_says_so(ports: SnapshotPorts, tmp_path: Path) -> None:
    good = snap(ports)
    write(tmp_path, [*JANUARY, "c,2013-02-05T00:00:00Z,300"])
    (tmp_path / "sites.csv").write_text("site,height\nx,1\nx,2\n")
    with pytest.raises(DataRefused) as refused:
        snap(ports, rules=(ColumnRule(column="n", between=(0, 100)),))
    told = str(refused.value)
    assert "readings.n: 1 value outside [0, 100]; first at row 3 (key c): '300'" in told
    assert "sites.site: 1 row repeats another row's site" in told
    assert "snapshot 1 of 2013-03-01T00:00:00Z stays in use" in told
    event = ports.ledger.read(kind="snapshot.refused")[0]
    assert (event.body["kept"], event.body["sources"]) == (1, ["readings", "sites"])
    assert open_snapshot(ports.ledger, ports.store).digest == good.digest


def test_the_first_refusal_says_that_there_is_nothing_to_fall_back_on(ports: SnapshotPorts, tmp_path: Path) -> None:
    write(tmp_path, [])
    with pytest.raises(DataRefused, match="no earlier snapshot"):
        snap(ports)


def test_new_rules_are_judged_once_and_make_no_new_version(ports: SnapshotPorts) -> None:
    first = snap(ports)
    rules = (ColumnRule(column="n", between=(0, 100)),)
    for _ in range(2):
        assert snap(ports, rules=rules) == SnapshotTaken(
            version=1, digest=first.digest, new=False, rows=first.rows, warnings=first.warnings
        )
    assert [event.kind for event in ports.ledger.read()] == ["snapshot.taken", "snapshot.checked"]
    with pytest.raises(DataRefused):
        snap(ports, rules=(ColumnRule(column="n", between=(0, 1)),))


def test_warnings_travel_with_the_answer_and_the_event(ports: SnapshotPorts, tmp_path: Path) -> None:
    (tmp_path / "sites.csv").write_text("site,height\nx,1\ny,1\n")
    taken = snap(ports)
    assert [str(note) for note in taken.warnings] == ["sites.height: every value is 1.0"]
    assert ports.ledger.read()[0].body["warnings"] == ["sites.height: every value is 1.0"]


def test_the_tables_of_a_snapshot_are_files_in_order_of_time(ports: SnapshotPorts) -> None:
    snap(ports)
    paths = table_paths(open_snapshot(ports.ledger, ports.store), ports.store)
    assert {name: len(files) for name, files in paths.items()} == {"readings": 2, "sites": 1}


def test_a_failure_before_the_commit_leaves_no_version(ports: SnapshotPorts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSPRING_FAILPOINT", "snapshot.commit:err")
    with pytest.raises(OSError, match=r"snapshot\.commit"):
        snap(ports)
    monkeypatch.delenv("MAINSPRING_FAILPOINT")
    assert ports.ledger.head()[0] == 0
    assert snap(ports).version == 1


def test_reading_needs_no_pandas(tmp_path: Path) -> None:
    code = "import sys, mainspring.flows.snapshot as s; assert not {'pandas', 'duckdb'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, check=False)
    assert done.returncode == 0
