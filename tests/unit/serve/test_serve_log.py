"""The prediction log: bounded, counted, repaired after a torn write, and never silent about damage."""

import io
import struct
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.serve.serving_kit import NOW

from mainspring.adapters.files.logs import SegmentWriter, segment_name
from mainspring.adapters.files.logs_reader import START, SegmentReader
from mainspring.kernel.errors import Conflict, NotFound
from mainspring.kernel.ids import request_id
from mainspring.kernel.records import LoggedRequest
from mainspring.kernel.times import HOUR
from mainspring.serve.frames import framed, frames, last_end
from mainspring.serve.log import LogLimits, PredictionLog
from mainspring.serve.log_packing import pack, unpack
from mainspring.serve.ports import Chunk


def record(number: int, at: int = NOW, rows: int = 2) -> LoggedRequest:
    return LoggedRequest(
        request_id=request_id(at, struct.pack(">QH", number, 0)), logged_at=at, took_us=5, release="c",
        keys=[f"k{row}" for row in range(rows)], asked_at=np.full(rows, at, dtype="<i8").tobytes(),
        numbers={"x": np.arange(rows, dtype="<f8").tobytes()}, strings={"s": ["a", None][:rows]}, versions=["sha256:a"],
        scores={"sha256:a": np.zeros(rows).tobytes()}, served=bytes(rows),
    )  # fmt: skip


def written(root: Path, records: Sequence[LoggedRequest], writer: str = "") -> Path:
    """Write every record in a frame of its own, as a quiet server does."""
    segments = SegmentWriter(root, writer)
    for one in records:
        segments.append([one])
    segments.close()
    return root / segment_name(NOW, writer)


def test_what_is_written_is_read_in_order_an_hour_a_segment(tmp_path: Path) -> None:
    records = [record(number, NOW + number * HOUR // 2) for number in range(5)]
    written(tmp_path, records)
    reader = SegmentReader(tmp_path)
    assert reader.segments() == ["2013050106.log", "2013050107.log", "2013050108.log"]
    assert list(reader.read().records) == records
    assert not reader.read().damage


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 2_000))
def test_a_torn_tail_loses_only_the_torn_record(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    root = tmp_path_factory.mktemp("log")
    path = written(root, [record(number) for number in range(3)])
    whole = path.read_bytes()
    kept = whole[: max(0, len(whole) - cut)]
    path.write_bytes(kept)
    complete = len(kept) // (len(whole) // 3)
    before = SegmentReader(root).read()
    assert len(before.records) == complete
    writer = SegmentWriter(root)
    writer.append([record(9)])
    writer.close()
    assert writer.repaired_bytes == len(kept) - complete * (len(whole) // 3)
    after = SegmentReader(root).read(before.position)
    assert [found.request_id for found in after.records] == [record(9).request_id]
    assert not after.damage


@settings(max_examples=40, deadline=None)
@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
@example(at=3, bit=0)  # turns the one magic into the other
def test_a_flipped_bit_costs_one_record_and_is_reported(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    root = tmp_path_factory.mktemp("log")
    path = written(root, [record(number) for number in range(4)])
    data = bytearray(path.read_bytes())
    size = len(data) // 4
    data[at % (3 * size)] ^= 1 << bit  # not in the last frame, which could be a torn tail
    path.write_bytes(data)
    found = SegmentReader(root).read()
    assert len(found.records) == 3
    assert [(damage.offset % size, damage.size) for damage in found.damage] == [(0, size)]


class Counting(io.BytesIO):
    """A file that counts what was read of it."""

    read_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.read_bytes += len(found)
        return found


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 900), at=st.integers(0, 10**6), damaged=st.booleans(), reach=st.integers(1, 400))
def test_the_end_found_from_behind_is_the_end_found_from_the_start(
    cut: int, at: int, damaged: bool, reach: int
) -> None:
    data = bytearray(b"".join(framed(bytes([number]) * 40 * number) for number in range(8)))
    if damaged:
        data[at % len(data)] ^= 0x10
    data = data[: max(0, len(data) - cut)]
    stream = io.BytesIO(bytes(data))
    assert last_end(stream, reach) == max((found.end for found in frames(bytes(data))), default=0)


def test_the_end_of_a_large_segment_is_found_in_its_last_bytes() -> None:
    data = framed(b"x" * 1_000) * 2_000
    stream = Counting(data + data[:99])
    assert last_end(stream, 4_096) == len(data)
    assert stream.read_bytes < 10_000


def test_a_torn_tail_of_a_finished_hour_is_reported(tmp_path: Path) -> None:
    path = written(tmp_path, [record(1), record(2), record(3, NOW + HOUR)])
    path.write_bytes(path.read_bytes()[:-3])
    found = SegmentReader(tmp_path).read()
    assert len(found.records) == 2
    assert len(found.damage) == 1


def test_reading_goes_on_from_a_position(tmp_path: Path) -> None:
    reader, position, seen = SegmentReader(tmp_path), START, list[LoggedRequest]()
    assert not reader.read(position).records
    writer = SegmentWriter(tmp_path)
    for number in range(6):
        writer.append([record(number, NOW + number * HOUR // 3)])
        found = reader.read(position)
        seen.extend(found.records)
        position = found.position
    writer.close()
    assert [one.request_id for one in seen] == [record(n, NOW + n * HOUR // 3).request_id for n in range(6)]
    assert not reader.read(position).records


def test_a_limit_stops_and_nothing_is_lost(tmp_path: Path) -> None:
    written(tmp_path, [record(number, NOW + number * HOUR // 2) for number in range(5)])
    reader, position, seen = SegmentReader(tmp_path), START, 0
    while found := reader.read(position, limit=2).records:
        seen += len(found)
        position = reader.read(position, limit=2).position
        assert len(found) <= 2
    assert seen == 5


def test_a_prediction_is_found_by_its_id(tmp_path: Path) -> None:
    written(tmp_path, [record(number) for number in range(3)])
    reader = SegmentReader(tmp_path)
    assert reader.find(f"{record(1).request_id}.1") == record(1)
    with pytest.raises(NotFound):
        reader.find(f"{record(7).request_id}.0")


def test_two_writers_cannot_share_a_folder(tmp_path: Path) -> None:
    first = SegmentWriter(tmp_path)
    with pytest.raises(Conflict):
        SegmentWriter(tmp_path)
    first.close()
    SegmentWriter(tmp_path).close()


class SlowDisk:
    """A writer that waits until it is let go, then keeps records, or fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.go = threading.Event()
        self.records: list[LoggedRequest] = []
        self.failures = failures

    def write(self, chunks: Sequence[Chunk], /) -> None:
        self.go.wait(10)
        if self.failures:
            self.failures -= 1
            raise OSError(28, "No space left on device")
        for chunk in chunks:
            self.records += [one for found in frames(chunk.frame) for one in unpack(found.payload, "memory")]

    def sync(self) -> None:
        self.go.wait(10)

    def close(self) -> None:
        self.go.set()


def test_a_full_queue_drops_and_counts_but_never_waits() -> None:
    disk = SlowDisk()
    log = PredictionLog(disk, LogLimits(rows=10))
    taken = [log.put(record(number)) for number in range(20)]
    assert sum(taken) >= 5
    assert not taken[-1]
    disk.go.set()
    log.flush()
    log.close()
    assert log.counts.frames == sum(taken) == len(disk.records)
    assert log.counts.dropped_frames == 20 - sum(taken)
    assert log.counts.rows + log.counts.dropped_rows == 40


def test_a_failing_disk_is_counted_and_tried_again() -> None:
    disk = SlowDisk(failures=1)
    disk.go.set()
    log = PredictionLog(disk)
    log.put(record(1))
    log.flush()
    log.put(record(2))
    counts = log.flush()
    log.close()
    assert (log.counts.failures, log.counts.dropped_rows, counts["rows"]) == (1, 2, 2)
    assert "No space left" in log.failure


def test_the_size_bound_holds_as_well_as_the_row_bound() -> None:
    disk = SlowDisk()
    log = PredictionLog(disk, LogLimits(size=100_000))
    for number in range(500):
        log.put(record(number, rows=2))
    assert log.counts.dropped_frames > 300
    log_closed = threading.Thread(target=log.close)
    disk.go.set()
    log_closed.start()
    log_closed.join(10)
    assert not log.put(record(1))
    assert log.counts.rows + log.counts.dropped_rows == 1_002


def test_a_flush_that_takes_too_long_says_so() -> None:
    disk = SlowDisk()
    log = PredictionLog(disk)
    log.put(record(1))
    with pytest.raises(TimeoutError):
        log.flush(0.05)
    disk.go.set()
    log.close()


def test_a_frame_is_magic_length_checksum_and_payload() -> None:
    data = pack([record(1)])
    assert data[:4] == b"\xf7MSL"
    assert int.from_bytes(data[4:8], "little") == len(data) - 12
