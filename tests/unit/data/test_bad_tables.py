"""Bad CSV and Parquet files: each is refused with a message that names place and remedy, and nothing is stored."""

import struct
import threading
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest
from tests.unit.data import forged_parquet as forged

from mainspring.adapters.duckdb.reader import SourceReader
from mainspring.adapters.memory.store import Store
from mainspring.data.expectations import ColumnRule, DataRefused, Expectations, SourceChanged, SourceMissing
from mainspring.data.snapshots import SourceTable
from mainspring.data.views import Source
from mainspring.kernel.errors import MainspringError
from mainspring.kernel.times import DAY
from mainspring.observe.references import reference_profile

HEAD = b"id,at,x\n"
GOOD = HEAD + b"a,2013-01-01T00:00:00Z,1\nb,2013-02-01T00:00:00Z,2\n"


def source(uri: str = "t.csv", **changes: str) -> Source:
    return Source(**{"name": "readings", "uri": uri, "key": "id", "event_time": "at", **changes})  # type: ignore[arg-type]


def read(
    folder: Path, content: bytes = b"", subject: Source | None = None, rules: tuple[ColumnRule, ...] = ()
) -> SourceTable:
    subject = subject or source()
    if content:
        (folder / subject.uri).write_bytes(content)
    return SourceReader(folder).ingest(subject, Expectations(source="readings", columns=rules), Store())


def parquet(folder: Path, query: str) -> Source:
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{folder / 't.parquet'}' (FORMAT parquet)")
    return source("t.parquet")


def rows(*lines: str) -> bytes:
    return HEAD + "".join(f"{line}\n" for line in lines).encode()


ODD_CSV: list[tuple[str, bytes, str]] = [
    ("blank", b"  \n", "is empty"),
    ("header only", HEAD, "t.csv has no rows"),
    ("ragged short", GOOD + b"c,2013-03-01T00:00:00Z\n", "line 4 has 2 values, not 3; first at row 3"),
    ("ragged long", GOOD + b"c,2013-03-01T00:00:00Z,3,4\n", "line 4 has 4 values, not 3"),
    ("unclosed quote", HEAD + b'a,2013-01-01T00:00:00Z,"1\nb,2013-01-02T00:00:00Z,2\n', "quote that is never closed"),
    ("NUL", HEAD + b"a,2013-01-01T00:00:00Z,\x00\n", "line 2 holds a NUL byte"),
    ("duplicate names", b"id,at,x,X\na,2013-01-01T00:00:00Z,1,2\n", "2 columns are called 'x'"),
    ("empty name", b"id,at,\na,2013-01-01T00:00:00Z,1\n", "column 3 cannot be named"),
    ("missing column", b"id,att,x\na,2013-01-01T00:00:00Z,1\n", "did you mean 'att'?"),
    ("semicolons", b"id;at;x\na;2013-01-01T00:00:00Z;1,5\n", "separated by ';', not by commas"),
    (
        "comma decimals",
        rows('a,2013-01-01T00:00:00Z,"1,5"', 'b,2013-01-02T00:00:00Z,"2,5"'),
        "as decimal point or thousands marks",
    ),
    ("thousands", rows('a,2013-01-01T00:00:00Z,"1,500,000"', 'b,2013-01-02T00:00:00Z,"2,000"'), "thousands marks"),
    ("UTF-16", GOOD.decode().encode("utf-16"), "is UTF-16"),
    ("Latin-1", HEAD + "a,2013-01-01T00:00:00Z,Zürich\n".encode("latin-1"), "line 2 is not UTF-8"),
    ("Parquet inside", b"PAR1" + GOOD, "is Parquet, not CSV"),
    ("naive", rows("a,2013-01-01T00:00:00,1"), "times carry no offset"),
    (
        "naive and aware",
        rows("a,2013-01-01T00:00:00,1", "b,2013-01-01T00:00:00Z,1"),
        "1 times lack an offset and 1 carry",
    ),
    ("no time", rows("a,soon,1"), "1 value is not times; first at row 1 (key a): 'soon'"),
    ("no such day", rows("a,2013-02-30T00:00:00Z,1"), "1 value is not times"),
    ("year 20130", rows("a,20130-01-01T00:00:00Z,1"), "outside 1900 to 2199"),
    ("null key", rows(",2013-01-01T00:00:00Z,1"), "1 row has no value here"),
    ("null time", rows("a,,1", "b,2013-01-01T00:00:00Z,1"), "1 row has no value here"),
    (
        "twice",
        rows("a,2013-01-01T00:00:00Z,1", "a,2013-01-01T00:00:00Z,2"),
        "1 row repeats another row's id, at; first at row 2",
    ),
    (
        "infinite",
        rows("a,2013-01-01T00:00:00Z,1.5", "b,2013-01-01T00:00:00Z,inf"),
        "1 value is infinite; first at row 2",
    ),
    ("1e999", rows("a,2013-01-01T00:00:00Z,1.5", "b,2013-01-01T00:00:00Z,1e999"), "1 value is infinite"),
    ("big ids", rows("a,2013-01-01T00:00:00Z,9007199254740993"), "2**53 or more and would lose digits"),
    ("huge field", HEAD + b"a,2013-01-01T00:00:00Z," + b"x" * (1 << 21) + b"\n", "longer than 1 MB"),
    ("many columns", b",".join(b"c%d" % i for i in range(2_500)) + b"\n", "2,500 columns, more than 2,000"),
]


@pytest.mark.parametrize(("content", "message"), [case[1:] for case in ODD_CSV], ids=[case[0] for case in ODD_CSV])
def test_a_bad_csv_is_refused_and_the_message_says_where(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataRefused) as refused:
        read(tmp_path, content)
    assert message in str(refused.value)
    assert refused.value.fix
    assert refused.value.code == "data.refused"
    assert str(tmp_path) not in str(refused.value)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    for name in ("t.csv", "t.parquet"):
        (tmp_path / name).touch()
        with pytest.raises(DataRefused, match=r"0 bytes"):
            read(tmp_path, subject=source(name))


def test_one_row_is_enough(tmp_path: Path) -> None:
    assert read(tmp_path, rows("a,2013-01-01T00:00:00Z,1")).rows == 1


def test_a_word_among_numbers_is_found_after_row_100_000(tmp_path: Path) -> None:
    lines = [f"k{i},2013-01-01T00:00:00Z,{i}" for i in range(100_000)]
    with pytest.raises(
        DataRefused, match=r"1 value is not numbers; the others are; first at row 100001 \(key z\): 'x7'"
    ):
        read(tmp_path, rows(*lines, "z,2013-01-01T00:00:00Z,x7"))


def test_the_hour_that_the_clock_repeats_is_refused_and_the_one_it_skips(tmp_path: Path) -> None:
    eastern = source(zone="America/New_York")
    with pytest.raises(DataRefused, match=r"1 time happens twice.*row 2"):
        read(tmp_path, rows("a,2013-11-03 00:30:00,1", "b,2013-11-03 01:30:00,1", "c,2013-11-03 02:30:00,1"), eastern)
    with pytest.raises(DataRefused, match=r"1 time does not exist.*row 1"):
        read(tmp_path, rows("a,2013-03-10 02:30:00,1"), eastern)


def test_naive_times_are_read_in_the_zone_of_their_source(tmp_path: Path) -> None:
    table = read(tmp_path, rows("a,2013-07-01 00:00:00,1"), source(zone="America/New_York"))
    assert {column.name: column.low for column in table.columns}["at"] == 1_372_651_200_000_000


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT 'a' AS id, TIMESTAMP '2013-01-01' AS at", "times carry no offset"),
        ("SELECT 'a' AS id, TIMESTAMPTZ '2013-01-01' AS at, [1, 2] AS x", "INTEGER[] have no place"),
        ("SELECT 'a' AS id, TIMESTAMPTZ '2013-01-01' AS at, {'y': {'z': 1}} AS x", "have no place"),
        ("SELECT 'a' AS id, TIMESTAMPTZ '2013-01-01' AS at, '\\x00'::BLOB AS x", "BLOB have no place"),
        ("SELECT 9007199254740993::DOUBLE AS id, TIMESTAMPTZ '2013-01-01' AS at", "stored as floating point"),
        ("SELECT 'a' AS id, TIMESTAMPTZ '2013-01-01' AS at, 9007199254740993 AS x", "2**53 or more"),
        ("SELECT 'a' AS id, TIMESTAMPTZ '2013-01-01' AS at, 'inf'::DOUBLE AS x", "1 value is infinite"),
        ("SELECT 'a' AS id, TIMESTAMPTZ '2013-01-01' AS at, 'a' || chr(0) AS x", "1 value holds a NUL byte"),
        ("SELECT 'a' AS id, TIMESTAMPTZ '2013-01-01' AS at, repeat('x', 1100000) AS x", "longer than 1 MB"),
        ("SELECT 'a' AS id, TIMESTAMPTZ '2013-01-01' AS at WHERE false", "has no rows"),
        ("SELECT 'a' AS key, TIMESTAMPTZ '2013-01-01' AS at", "has no such column"),
    ],
)
def test_a_bad_parquet_is_refused(tmp_path: Path, query: str, message: str) -> None:
    subject = parquet(tmp_path, query)
    with pytest.raises(DataRefused) as refused:
        read(tmp_path, subject=subject)
    assert message in str(refused.value)


def _cut(data: bytes) -> bytes:
    return data[:-10]


def _foreign(data: bytes) -> bytes:
    return b"XXXX" + data[4:]


def _long_footer(data: bytes) -> bytes:
    return data[:-8] + struct.pack("<I", 2**31 - 1) + b"PAR1"


def _scrambled(data: bytes) -> bytes:
    middle = len(data) - 60
    return data[:middle] + b"\xff" * 40 + data[middle + 40 :]


@pytest.mark.parametrize("damage", [_cut, _foreign, _long_footer, _scrambled])
def test_a_damaged_parquet_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    subject = parquet(
        tmp_path, "SELECT 'a' || i AS id, TIMESTAMPTZ '2013-01-01' AS at, i AS x FROM range(1000) AS r(i)"
    )
    path = tmp_path / "t.parquet"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataRefused, match=r"cut off|is not Parquet|cannot be read"):
        read(tmp_path, subject=subject)


FORGED: list[tuple[str, Callable[[], bytes], str]] = [
    ("index beyond the dictionary", lambda: forged.table(index=7), "dictionary offset out of r"),
    ("page of negative size", lambda: forged.table(page_size=-5), "cannot be read: Invalid Input Error"),
    ("page of 2 GB", lambda: forged.table(page_size=2**31 - 1), "more than memory and scratch space may hold"),
    ("text of negative size", lambda: forged.table(text_size=-1), "cannot be read: Out of buffer"),
    ("text of 2 GB", lambda: forged.table(text_size=2**31 - 1), "cannot be read: Out of buffer"),
    ("dictionary of negative size", lambda: forged.table(entries=-1), "cannot be read: Invalid Input Error"),
    ("dictionary of 2**31 entries", lambda: forged.table(entries=2**31 - 1), "cannot be read: Out of buffer"),
    ("column of negative size", lambda: forged.table(chunk_size=-9), "cannot be read: INTERNAL Error"),
    ("a trillion rows in a byte", lambda: forged.table(rows=10**12), "its footer promises 1,000,000,000,000 rows"),
    ("nested 200 deep", lambda: forged.nested(200), "have no place in a plain table"),
    (
        "nested 5,000 deep",
        lambda: forged.nested(5_000),
        "cannot be read: Invalid Input Error: Malformed Parquet schema",
    ),
    ("100,001 row groups", lambda: forged.row_groups(100_001), "100,001 row groups"),
    ("a million row groups", lambda: forged.row_groups(1_000_000), "bytes: too many row groups or columns"),
]


@pytest.mark.parametrize(("make", "message"), [case[1:] for case in FORGED], ids=[case[0] for case in FORGED])
def test_a_forged_parquet_is_refused(tmp_path: Path, make: Callable[[], bytes], message: str) -> None:
    with pytest.raises(DataRefused) as refused:
        read(tmp_path, make(), source("t.parquet"))
    assert message in str(refused.value)
    assert str(tmp_path) not in str(refused.value)


def test_what_the_forger_makes_is_a_table_when_nothing_is_forged(tmp_path: Path) -> None:
    assert read(tmp_path, forged.table(), source("t.parquet", zone="UTC")).rows == 1


def test_a_small_file_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    columns = "'k' || i AS id, TIMESTAMPTZ '2013-01-01 00:00:00+00' AS at, repeat('x', 100_000) AS x"
    subject = parquet(tmp_path, f"SELECT {columns} FROM range(10_000) t(i)")
    assert (tmp_path / "t.parquet").stat().st_size < 1_000_000  # 1 GB of text
    reader = SourceReader(tmp_path, memory="100MB", spill="30MB")
    with pytest.raises(DataRefused, match="it unpacks to more than memory and scratch space may hold"):
        reader.ingest(subject, Expectations(source="readings"), Store())


@pytest.mark.slow
def test_a_column_of_a_million_levels_is_kept_and_watched_by_its_commonest_hundred(tmp_path: Path) -> None:
    columns = "'k' || i AS id, make_timestamptz(1356998400000000 + i) AS at, 'level ' || i AS x"
    found = read(tmp_path, subject=parquet(tmp_path, f"SELECT {columns} FROM range(1_000_000) t(i)"))
    (column,) = [info for info in found.columns if info.name == "x"]
    assert found.rows == 1_000_000
    assert 900_000 < column.distinct < 1_100_000
    levels = np.array([f"level {n}" for n in range(50_000)], dtype=object)
    at = np.arange(50_000, dtype=np.int64) * (60 * DAY // 50_000)
    watched = reference_profile({"x": levels}, at, np.linspace(0, 1, 50_000))
    assert len(watched.columns[0].levels) == 100


def test_ids_stay_whole_when_they_are_declared_as_strings(tmp_path: Path) -> None:
    content = rows("a,2013-01-01T00:00:00Z,9007199254740993")
    table = read(tmp_path, content, rules=(ColumnRule(column="x", type="string"),))
    assert {column.name: column.low for column in table.columns}["x"] == "9007199254740993"


def test_odd_but_finite_numbers_are_kept_and_equal_zeros_are_one(tmp_path: Path) -> None:
    table = read(
        tmp_path, rows("a,2013-01-01T00:00:00Z,-0.0", "b,2013-01-01T00:00:00Z,1e308", "c,2013-01-01T00:00:00Z,5e-324")
    )
    info = next(column for column in table.columns if column.name == "x")
    assert (repr(info.low), info.high, info.nulls) == ("0.0", 1e308, 0)


def test_leading_zeros_make_text(tmp_path: Path) -> None:
    assert read(tmp_path, rows("a,2013-01-01T00:00:00Z,007")).types()["x"] == "string"


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(HEAD + b"".join(b"k%d,2013-01-01T00:00:00Z,%d\n" % (i, i) for i in range(50_000)))
    store, done = Store(), threading.Event()

    def keep_growing() -> None:
        line = 0
        while not done.wait(0.002):
            line += 1
            with path.open("ab") as stream:
                stream.write(b"late%d,2013-01-02T00:00:00Z,1\n" % line)

    writer = threading.Thread(target=keep_growing)
    writer.start()
    try:
        with pytest.raises(SourceChanged, match=r"t\.csv changed while it was read") as changed:
            SourceReader(tmp_path).ingest(source(), Expectations(source="readings"), store)
    finally:
        done.set()
        writer.join()
    assert changed.value.exit_code == 75


@pytest.mark.parametrize(
    ("uri", "error", "message"),
    [
        ("gone.csv", SourceMissing, "there is no file gone.csv"),
        ("../t.csv", DataRefused, "leads out of the project"),
        ("t.csv.gz", DataRefused, "neither .csv nor .parquet"),
    ],
)
def test_a_file_that_cannot_be_a_source_is_refused(
    tmp_path: Path, uri: str, error: type[MainspringError], message: str
) -> None:
    with pytest.raises(error, match=message):
        read(tmp_path, subject=source(uri))
