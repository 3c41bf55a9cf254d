"""Frames of many requests, several writers in one folder: nothing lost or doubled, every request as it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.serve.serving_kit import NOW
from tests.unit.serve.test_serve_log import record, written

from mainspring.adapters.files.logs import SegmentWriter
from mainspring.adapters.files.logs_reader import START, SegmentReader
from mainspring.kernel.errors import Conflict, Damaged, InvalidValue
from mainspring.kernel.records import Block, LoggedRequest
from mainspring.kernel.times import HOUR
from mainspring.serve.frames import MAGIC, frames, stream_frames
from mainspring.serve.log_packing import MAX_REQUESTS, Unloggable, pack, packed_runs, unpack

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


@st.composite
def requests(draw: st.DrawFn) -> LoggedRequest:
    """Requests of few shapes, so that some share a frame and some do not."""
    rows, versions = draw(st.integers(1, 3)), draw(st.sampled_from([[ONE], [ONE, TWO]]))
    at = NOW + draw(st.integers(0, 1)) * HOUR
    made = record(draw(st.integers(0, 2**63)), at, rows)
    numbers = {
        name: np.full(rows, draw(st.floats(0, 1)), "<f8").tobytes() for name in draw(st.sampled_from(["x", "xy"]))
    }
    texts = st.lists(st.none() | st.text(max_size=3), min_size=rows, max_size=rows)
    block = Block(list(numbers), b"".join(numbers.values()), 8 * rows)
    return replace(
        made, numbers=draw(st.sampled_from([numbers, block])), versions=versions, served=bytes(rows),
        scores={digest: np.full(rows, draw(st.floats(0, 1)), "<f8").tobytes() for digest in versions},
        strings={name: draw(texts) for name in draw(st.sampled_from(["", "s"]))},
        errors=draw(st.sampled_from([{}, {TWO: "late"}])), took_each=draw(st.sampled_from([{}, {ONE: 5}])),
        sample=draw(st.sampled_from([1.0, 0.5])),
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(records=st.lists(requests(), max_size=30))
def test_every_request_comes_back_from_its_frame_as_it_was(records: list[LoggedRequest]) -> None:
    found = list(packed_runs(records))
    cut = [run for _, run, _ in found]
    assert [one for run in cut for one in run] == records
    assert [place for place, _, _ in found] == [sum(map(len, cut[:at])) for at in range(len(cut))]
    data = b"".join(frame for _, _, frame in found if isinstance(frame, bytes))
    back = [one for whole in frames(data) for one in unpack(whole.payload, "memory")]
    assert back == records
    assert all(run[0].logged_at // HOUR == one.logged_at // HOUR for run in cut for one in run)


def test_requests_of_one_shape_share_frames_of_bounded_size() -> None:
    small = [record(number, rows=1) for number in range(3 * MAX_REQUESTS + 1)]
    assert [len(run) for _, run, _ in packed_runs(small)] == [MAX_REQUESTS, MAX_REQUESTS, MAX_REQUESTS, 1]
    large = [record(number, rows=5_000) for number in range(20)]
    assert max(len(pack(run)) for _, run, _ in packed_runs(large)) < 2 << 20


def test_nothing_a_client_sends_passes_for_a_frame_when_the_frame_around_it_is_damaged() -> None:
    forged = pack([record(666, rows=1)])
    evil = forged + bytes(-len(forged) % 8)
    rows = len(evil) // 8
    made = replace(record(1, rows=rows), numbers={"x": evil}, strings={})
    data = pack([made])
    assert [unpack(found.payload, "memory") for found in frames(data)] == [[made]]
    for broken in (data[:-1], data[1:], data[:20] + b"?" + data[21:]):
        assert not list(frames(broken + data[:11]))


def test_a_file_is_read_by_windows_as_it_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mainspring.serve.frames._WINDOW", 700)
    records = [record(number, rows=number % 40 + 1) for number in range(60)]
    data = bytearray(b"".join(pack([one]) for one in records))
    for at in range(5_000, len(data), 9_000):
        data[at] ^= 4
    path = tmp_path / "x"
    path.write_bytes(data + MAGIC + b"\xff\xff\xff\x0f")
    whole = [(found.start, found.end, bytes(found.payload)) for found in frames(path.read_bytes())]
    with path.open("rb") as stream:
        windowed = [(found.start, found.end, bytes(found.payload)) for found in stream_frames(stream)]
    assert windowed == whole
    assert 40 < len(whole) < 60


def test_a_text_that_is_no_unicode_is_refused_by_name() -> None:
    with pytest.raises(Unloggable):
        pack([replace(record(1), strings={"s": ["\ud800", None]})])


@pytest.mark.parametrize("payload", [b"\x92\x02\xa1x", b"\x80", b"", b"\xc3"])
def test_a_frame_of_something_else_is_damage(payload: bytes) -> None:
    with pytest.raises(Damaged, match="segment x"):
        unpack(payload, "segment x")


def test_workers_share_a_folder_and_the_reader_merges_them(tmp_path: Path) -> None:
    first, second = SegmentWriter(tmp_path), SegmentWriter(tmp_path, "1")
    with pytest.raises(Conflict):
        SegmentWriter(tmp_path, "1")
    reader, position, seen = SegmentReader(tmp_path), START, list[str]()
    positions = [position]
    for number in range(12):
        writer = (first, second)[number % 2]
        writer.append([record(number, NOW + number * HOUR // 4)])
        if number % 3 == 0:
            found = reader.read(position, limit=2)
            seen += [one.request_id for one in found.records]
            position = found.position
            positions.append(position)
    first.close()
    second.close()
    while (left := reader.read(position, limit=1)).records:
        seen += [one.request_id for one in left.records]
        position = left.position
        positions.append(position)
    assert sorted(seen) == sorted(record(n, NOW + n * HOUR // 4).request_id for n in range(12))
    assert positions == sorted(positions)
    assert len(set(positions)) == len(positions)
    assert reader.find(record(7, NOW + 7 * HOUR // 4).request_id) == record(7, NOW + 7 * HOUR // 4)


def test_an_hour_is_closed_when_no_writer_can_add_to_it_and_all_of_it_was_read(tmp_path: Path) -> None:
    written(tmp_path, [record(1), record(2, NOW + HOUR)])
    written(tmp_path, [record(3)], "1")
    reader = SegmentReader(tmp_path)
    assert reader.closed(reader.read().position) == []  # worker 1 may still write in the first hour
    written(tmp_path, [record(4, NOW + 2 * HOUR)])
    assert reader.closed(START) == []
    assert reader.closed(reader.read(limit=1).position) == []
    assert reader.closed(reader.read().position) == ["2013050106-1.log", "2013050106.log", "2013050107.log"]


def test_a_second_writer_may_come_later_and_go_again(tmp_path: Path) -> None:
    written(tmp_path, [record(1)])
    reader = SegmentReader(tmp_path)
    before = reader.read().position
    assert before[0] == "2013050106.log"
    written(tmp_path, [record(2, NOW + HOUR)], "w2")
    between = reader.read(before)
    assert [one.request_id for one in between.records] == [record(2, NOW + HOUR).request_id]
    assert between.position > before
    for name in reader.segments():
        reader.remove(name)
    written(tmp_path, [record(3, NOW + 3 * HOUR)])
    after = reader.read(between.position)
    assert [one.request_id for one in after.records] == [record(3, NOW + 3 * HOUR).request_id]
    assert not reader.read(after.position).records


def test_a_request_that_ends_after_the_full_hour_stands_in_the_next_segment_and_is_found(tmp_path: Path) -> None:
    late = record(2, NOW + HOUR - 1)
    written(tmp_path, [record(1), record(3, NOW + HOUR), late])
    reader = SegmentReader(tmp_path)
    assert [len(reader.records(name)) for name in reader.segments()] == [1, 2]
    assert reader.find(late.request_id) == late


@pytest.mark.parametrize("name", ["../x", "A", "a-b", "x" * 17])
def test_a_writers_name_is_a_plain_word(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidValue):
        SegmentWriter(tmp_path, name)
