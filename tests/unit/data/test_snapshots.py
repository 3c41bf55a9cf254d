"""Snapshots: canonical partitions with stable digests, statistics, and a document that reads back equal."""

import json
import random
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainspring.adapters.duckdb.reader import SourceReader
from mainspring.adapters.memory.store import Store
from mainspring.data.expectations import ColumnRule, Expectations
from mainspring.data.snapshots import ColumnInfo, Partition, Snapshot, SourceTable, from_json, read_spec
from mainspring.data.views import Source
from mainspring.kernel.digests import digest_bytes
from mainspring.kernel.errors import Damaged

READINGS = Source(name="readings", uri="t.csv", key="id", event_time="at", known=(("seen", None),))
PLAIN = Expectations(source="readings")


def lines(count: int) -> list[str]:
    return [
        f"k{i},2013-{i % 3 + 1:02d}-01T{i % 24:02d}:00:00Z,2013-06-01T00:00:00+02:00,{i},{i / 7:.3f}"
        for i in range(count)
    ]


def write(folder: Path, rows: list[str]) -> None:
    (folder / "t.csv").write_text("\n".join(["id,at,seen,n,x", *rows]) + "\n")


def test_two_readings_give_equal_digests_whatever_the_threads_and_the_order_of_rows(tmp_path: Path) -> None:
    rows = lines(5_000)
    write(tmp_path, rows)
    first = SourceReader(tmp_path, threads=1).ingest(READINGS, PLAIN, Store())
    assert SourceReader(tmp_path, threads=4).ingest(READINGS, PLAIN, Store()) == first
    random.Random(7).shuffle(rows)
    write(tmp_path, rows)
    again = SourceReader(tmp_path).ingest(READINGS, PLAIN, Store())
    assert again.fingerprint != first.fingerprint
    assert (again.partitions, again.columns) == (first.partitions, first.columns)


def test_rows_are_kept_by_month_in_order_with_times_in_utc_and_whole_numbers_whole(tmp_path: Path) -> None:
    write(tmp_path, lines(90))
    store = Store()
    table = SourceReader(tmp_path).ingest(READINGS, PLAIN, store)
    assert [(part.rows, part.end - part.start) for part in table.partitions] == [
        (30, 31 * 86_400_000_000), (30, 28 * 86_400_000_000), (30, 31 * 86_400_000_000),
    ]  # fmt: skip
    path = store.path(table.partitions[0].digest)
    with duckdb.connect() as connection:
        types = {
            name: kind for name, kind, *_ in connection.execute(f"DESCRIBE FROM read_parquet('{path}')").fetchall()
        }
        seen = connection.execute(f"SELECT t.at, id, epoch_us(seen) FROM read_parquet('{path}') AS t").fetchall()
    assert types == {"at": "TIMESTAMP", "id": "VARCHAR", "n": "BIGINT", "seen": "TIMESTAMP", "x": "DOUBLE"}
    assert seen == sorted(seen)
    assert {at for *_, at in seen} == {1_370_037_600_000_000}


def test_a_table_without_event_time_is_one_partition(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,n\nb,1\na,NA\n")
    table = SourceReader(tmp_path).ingest(Source(name="planes", uri="t.csv", key="id", event_time=""), PLAIN, Store())
    assert [(part.rows, part.start, part.end) for part in table.partitions] == [(2, 0, 0)]
    assert table.columns[1] == ColumnInfo(name="n", type="number", nulls=1, low=1.0, high=1.0, distinct=1)


def test_types_are_found_from_all_values(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "id,whole,real,word,flag,day,code\n1,1,1,a,true,2013-01-01,007\n2,-2,2.5,NA,FALSE,2013-01-02,008\n3,,nan,,,,\n"
    )
    table = SourceReader(tmp_path).ingest(Source(name="t", uri="t.csv", key="id", event_time=""), PLAIN, Store())
    assert table.types() == {
        "id": "string", "whole": "number", "real": "number", "word": "string",
        "flag": "bool", "day": "time", "code": "string",
    }  # fmt: skip
    assert {column.name: column.nulls for column in table.columns} == {
        "id": 0, "whole": 1, "real": 1, "word": 1, "flag": 1, "day": 1, "code": 1,
    }  # fmt: skip


def test_a_fingerprint_is_remembered_only_for_a_file_at_rest(tmp_path: Path) -> None:
    write(tmp_path, lines(3))
    reader = SourceReader(tmp_path, cache=tmp_path / "cache")
    first = reader.fingerprint(READINGS)
    assert first == digest_bytes((tmp_path / "t.csv").read_bytes())
    write(tmp_path, lines(4))
    assert reader.fingerprint(READINGS) == digest_bytes((tmp_path / "t.csv").read_bytes()) != first


def test_the_read_spec_follows_how_a_source_is_read_and_not_where_it_lies() -> None:
    moved = Source(name="readings", uri="elsewhere/other.csv", key="id", event_time="at", known=(("seen", None),))
    zoned = Source(name="readings", uri="t.csv", key="id", event_time="at", known=(("seen", None),), zone="Europe/Oslo")
    assert read_spec(moved) == read_spec(READINGS) != read_spec(zoned)


names = st.text("abcdefgh", min_size=1, max_size=6)
numbers = st.floats(allow_nan=False, allow_infinity=False)
numeric = {"type": st.just("number"), "low": numbers | st.none(), "high": numbers}
textual = {"type": st.just("string"), "low": st.text(), "high": st.none()}
temporal = {"type": st.just("time"), "low": st.integers(), "high": st.integers()}
columns = st.sampled_from([numeric, textual, temporal]).flatmap(
    lambda kind: st.builds(ColumnInfo, name=names, nulls=st.integers(0, 9), distinct=st.integers(0, 9), **kind)  # type: ignore[arg-type]
)
digests = st.binary(max_size=3).map(digest_bytes)
parts = st.builds(Partition, digest=digests, rows=st.integers(0, 99), start=st.integers(), end=st.integers())
tables = st.builds(
    SourceTable, name=names, fingerprint=digests, spec=digests,
    columns=st.lists(columns, max_size=3).map(tuple), partitions=st.lists(parts, max_size=3).map(tuple),
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(tables, max_size=3).map(lambda found: Snapshot(sources=tuple(found))))
def test_a_document_reads_back_equal_and_is_named_by_its_digest(snapshot: Snapshot) -> None:
    assert from_json(json.loads(snapshot.to_bytes())) == snapshot
    assert snapshot.digest == digest_bytes(snapshot.to_bytes())


@pytest.mark.parametrize("document", [{"schema": 2, "sources": []}, {"sources": []}, {"schema": 1, "sources": [{}]}])
def test_another_shape_is_damaged(document: dict[str, object]) -> None:
    with pytest.raises(Damaged):
        from_json(document)


def test_column_order_in_the_file_does_not_matter_and_declared_types_hold(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,at,seen,n\na,2013-01-01T00:00:00Z,2013-01-01T00:00:00Z,5\n")
    rules = Expectations(source="readings", columns=(ColumnRule(column="n", type="string"),))
    first = SourceReader(tmp_path).ingest(READINGS, rules, Store())
    (tmp_path / "t.csv").write_text("n,seen,at,id\n5,2013-01-01T00:00:00Z,2013-01-01T00:00:00Z,a\n")
    assert SourceReader(tmp_path).ingest(READINGS, rules, Store()).partitions == first.partitions
    assert first.types()["n"] == "string"
