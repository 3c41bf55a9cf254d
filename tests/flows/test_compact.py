"""Closed segments become Parquet, one row a prediction; a request comes back as it was; a kill loses nothing."""

from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.flows.story import START, request

from mainspring.adapters.files.logs import SegmentWriter
from mainspring.adapters.files.logs_reader import SegmentReader
from mainspring.adapters.frames.parquet import ParquetFrames
from mainspring.flows.compact import BATCH, CompactPorts, columns_of, compact, find_compacted
from mainspring.kernel.errors import NotFound
from mainspring.kernel.records import LoggedRequest
from mainspring.kernel.times import HOUR

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
FRAMES = ParquetFrames(keep=0)
END = ("9999999999.log", 0)


def hourly(hours: int, *, rows: int = 3) -> list[LoggedRequest]:
    """One request an hour; every third has a challenger too."""
    found = []
    for hour in range(hours):
        scores = {OLD: np.linspace(0.1, 0.9, rows)}
        if hour % 3 == 0:
            scores[NEW] = np.linspace(0.2, 0.8, rows)
        columns = {"x": np.arange(rows) + 0.5, "kind": np.array(["a", None, "c"][:rows], dtype=object)}
        at = START + hour * HOUR
        found.append(
            request(
                [f"k{hour}-{n}" for n in range(rows)], [at] * rows, scores, number=hour, logged_at=at, columns=columns
            )
        )
    return found


class House:
    def __init__(self, root: Path, records: list[LoggedRequest]) -> None:
        writer = SegmentWriter(root / "log")
        writer.append(records)
        writer.close()
        self.reader, self.folder = SegmentReader(root / "log"), root / "predictions"
        self.ports = CompactPorts(segments=self.reader, frames=FRAMES, folder=self.folder)

    def find(self, record: LoggedRequest) -> LoggedRequest:
        try:
            return self.reader.find(record.request_id)
        except NotFound:
            return find_compacted(record.request_id, self.folder, FRAMES)

    def rows(self) -> int:
        """Predictions in all files, those of open segments included."""
        closed = list(self.folder.glob("*.parquet"))
        counted = sum(len(FRAMES.read(path)["row"]) for path in closed)
        return counted + sum(len(record.keys) for record in self.reader.read().records)


def test_whole_batches_of_closed_segments_go_and_every_request_stays_findable(tmp_path: Path) -> None:
    records = hourly(2 * BATCH + 5)
    house = House(tmp_path, records)
    assert compact(house.ports, END) == 2
    assert [path.name for path in sorted(house.folder.iterdir())] == [
        "2024010100-2024010123.parquet", "2024010200-2024010223.parquet",
    ]  # fmt: skip
    assert len(house.reader.segments()) == 5
    assert house.rows() == 3 * len(records)
    assert [house.find(record) for record in records[::5]] == records[::5]
    assert compact(house.ports, END) == 0


def test_what_was_not_taken_in_and_the_newest_segment_stay(tmp_path: Path) -> None:
    house = House(tmp_path, hourly(BATCH + 1))
    assert compact(house.ports, ("", 0)) == 0
    assert compact(house.ports, (house.reader.segments()[BATCH - 1], 10)) == 0
    assert len(house.reader.segments()) == BATCH + 1
    assert compact(house.ports, (house.reader.segments()[BATCH], 0)) == 1


def test_reading_goes_on_after_compaction(tmp_path: Path) -> None:
    records = hourly(BATCH + 3)
    house = House(tmp_path, records)
    position = house.reader.read(limit=BATCH + 1).position
    compact(house.ports, position)
    assert list(house.reader.read(position).records) == records[BATCH + 1 :]


def test_the_segments_of_several_workers_go_together_and_a_later_one_of_an_old_hour_is_kept(tmp_path: Path) -> None:
    records = hourly(2 * BATCH + 4)
    house = House(tmp_path, records[::2])
    worker = SegmentWriter(tmp_path / "log", "1")
    worker.append(records[1::2])
    worker.close()
    assert compact(house.ports, house.reader.read().position) == 2
    assert house.rows() == 3 * len(records)
    again = request(["z"], [START], {OLD: np.array([0.5])}, number=99, logged_at=START)
    writer = SegmentWriter(tmp_path / "log")  # a server whose clock was set back
    writer.append([again])
    writer.close()
    assert compact(house.ports, house.reader.read().position) == 0
    assert house.rows() == 3 * len(records) + 1
    assert [house.find(record) for record in [*records[::5], again]] == [*records[::5], again]


class Killed:
    """Segments whose process dies after some removals."""

    def __init__(self, inner: SegmentReader, removals: int) -> None:
        self.inner, self.left = inner, removals
        self.closed, self.records = inner.closed, inner.records

    def remove(self, name: str) -> None:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.inner.remove(name)


@pytest.mark.parametrize("removals", [0, 7, BATCH - 1])
def test_a_kill_between_writing_and_removing_loses_nothing_and_doubles_nothing(tmp_path: Path, removals: int) -> None:
    records = hourly(BATCH + 2)
    house = House(tmp_path, records)
    with pytest.raises(KeyboardInterrupt):
        compact(CompactPorts(segments=Killed(house.reader, removals), frames=FRAMES, folder=house.folder), END)
    assert [house.find(record) for record in records[::5]] == records[::5]
    later = [request(["z"], [START + hour * HOUR], {OLD: np.array([0.5])}, number=hour) for hour in range(26, 60)]
    writer = SegmentWriter(tmp_path / "log")
    writer.append(later)
    writer.close()
    compact(house.ports, END)
    assert house.rows() == 3 * len(records) + len(later)
    assert [house.find(record) for record in [*records, *later][::9]] == [*records, *later][::9]


class Torn:
    """Frames whose process dies while it writes."""

    def read(self, path: Path) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
        return FRAMES.read(path)

    def write(self, path: Path, columns: object) -> None:
        path.write_bytes(b"half a file")
        raise KeyboardInterrupt


def test_a_kill_while_writing_leaves_the_segments(tmp_path: Path) -> None:
    records = hourly(BATCH + 1)
    house = House(tmp_path, records)
    with pytest.raises(KeyboardInterrupt):
        compact(CompactPorts(segments=house.reader, frames=Torn(), folder=house.folder), END)  # type: ignore[arg-type]
    assert len(house.reader.segments()) == BATCH + 1
    assert compact(house.ports, END) == 1
    assert house.rows() == 3 * len(records)
    assert not list(house.folder.glob("*.tmp"))


def test_the_files_are_tables_that_anyone_can_ask(tmp_path: Path) -> None:
    house = House(tmp_path, hourly(BATCH + 1))
    compact(house.ports, END)
    with duckdb.connect() as connection:
        sql = f"SELECT served_by, count(*), avg(\"feature:x\") FROM '{house.folder}/*.parquet' GROUP BY ALL"
        assert connection.execute(sql).fetchall() == [(OLD, 3 * BATCH, 1.5)]


def test_an_unknown_prediction_is_in_no_file(tmp_path: Path) -> None:
    house = House(tmp_path, hourly(BATCH + 1))
    compact(house.ports, END)
    for name in ("p-2024010105-zzzzzzzzzzzzzzzz.0", "p-2031010105-zzzzzzzzzzzzzzzz"):
        with pytest.raises(NotFound, match="is not in the log"):
            find_compacted(name, house.folder, FRAMES)
    with pytest.raises(NotFound):
        find_compacted("p-2024010105-zzzzzzzzzzzzzzzz", tmp_path / "nowhere", FRAMES)


TEXT = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6)
NUMBER = st.floats(width=64, allow_nan=True)
DIGESTS = [f"sha256:{letter * 64}" for letter in "abc"]


@st.composite
def logged(draw: st.DrawFn) -> LoggedRequest:
    rows = draw(st.integers(1, 4))
    versions = draw(st.permutations(DIGESTS).map(lambda found: found[:2]) | st.just(DIGESTS[:1]))
    columns: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
    for name in draw(st.sets(st.sampled_from(["x", "view.y", 'a "b" c', "é"]))):
        kind = draw(st.booleans())
        values = draw(st.lists(NUMBER if kind else TEXT, min_size=rows, max_size=rows))
        columns[name] = np.array([*values, None], dtype=object)[:-1] if not kind else np.array(values, np.float64)
    record = request(
        draw(st.lists(st.text("abü", max_size=3), min_size=rows, max_size=rows)),
        draw(st.lists(st.integers(0, 2**60), min_size=rows, max_size=rows)),
        {name: np.array(draw(st.lists(NUMBER, min_size=rows, max_size=rows))) for name in versions},
        served=draw(st.lists(st.sampled_from(versions), min_size=rows, max_size=rows)),
        number=draw(st.integers(0, 2**79)), logged_at=START + draw(st.integers(0, HOUR - 1)), columns=columns,
    )  # fmt: skip
    failed = st.sampled_from([name for name in DIGESTS if name not in versions])
    record.errors = draw(st.dictionaries(failed, st.text(max_size=5, alphabet="xy z"), max_size=1))
    record.took_each = draw(st.dictionaries(st.sampled_from([*versions, *record.errors]), st.integers(0, 10**9)))
    return record


def alike(one: LoggedRequest, other: LoggedRequest) -> bool:
    """Equal, all NaN being one."""
    plain = []
    for record in (one, other):
        numbers = {
            name: np.frombuffer(raw, "<f8").tolist() for name, raw in {**record.numbers, **record.scores}.items()
        }
        shown = {name: [repr(value) for value in values] for name, values in numbers.items()}
        rest = {name: getattr(record, name) for name in record.__slots__ if name not in ("numbers", "scores")}
        plain.append((shown, list(record.numbers), sorted(record.scores), rest))
    return plain[0] == plain[1]


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(records=st.lists(logged(), min_size=1, max_size=4, unique_by=lambda record: record.request_id))
def test_every_request_comes_back_as_it_was_logged(records: list[LoggedRequest], tmp_path: Path) -> None:
    path = tmp_path / "2024010100-2024010100.parquet"
    path.unlink(missing_ok=True)
    FRAMES.write(path, columns_of(records))
    for record in records:
        assert alike(find_compacted(record.request_id, tmp_path, FRAMES), record)
