"""A disk that takes no more, hours that turn, torn tails: every answer is given and every row is counted."""

import itertools
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.faults.test_serve_faults import started
from tests.unit.serve.serving_kit import NOW, columns
from tests.unit.serve.test_serve_log import record

from mainspring.adapters.files.logs import SegmentWriter
from mainspring.adapters.files.logs_reader import START, SegmentReader
from mainspring.kernel.times import MINUTE
from mainspring.serve.log import PredictionLog


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process's files, which Linux alone can")
def test_a_disk_that_takes_no_more_fails_no_answer_and_is_written_again_when_there_is_room(tmp_path: Path) -> None:
    import resource

    process, client = started(tmp_path)
    with process:
        client.infer_binary(columns(50))
        used = client.flush()["rows"]
        _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        size = next(tmp_path.glob("2*.log")).stat().st_size
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size + 100, most))  # the next frame is cut in the middle
        for _ in range(20):
            assert len(client.infer_binary(columns(50)).scores) == 50
        client.flush()
        full = client.state()
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
        client.infer_binary(columns(50))
        client.flush()
        after = client.state()
        process.terminate()
        assert process.wait(20) == 0
    client.close()
    assert (used, full["logged"], full["dropped"], full["sinks"][0]["state"]) == (50, 50, 1_000, "failing")
    assert full["log_failure"]
    assert (after["logged"], after["dropped"], after["sinks"][0]["state"]) == (100, 1_000, "ok")
    found = SegmentReader(tmp_path).read()
    assert not found.damage
    assert sum(len(one.keys) for one in found.records) == after["logged"]


def test_hours_that_turn_while_it_is_written_and_read_lose_and_double_nothing(tmp_path: Path) -> None:
    log, reader = PredictionLog(SegmentWriter(tmp_path)), SegmentReader(tmp_path)
    taken: list[bool] = []
    done, numbers, turn = threading.Event(), itertools.count(), threading.Lock()

    def answer() -> None:
        while len(taken) < 4_000:
            with turn:  # a real request is never an hour late
                number = next(numbers)
                if number < 4_000:
                    taken.append(log.put(record(number, NOW + number * MINUTE // 10)))  # seven hours

    def rotate() -> None:
        while not done.wait(0.01):
            log.flush()

    threads = [threading.Thread(target=answer) for _ in range(2)]
    flusher = threading.Thread(target=rotate)
    for thread in (*threads, flusher):
        thread.start()
    position, seen, until = START, list[str](), time.monotonic() + 60
    while len(seen) < 4_000 and time.monotonic() < until:
        found = reader.read(position, limit=100)
        assert not found.damage
        seen += [one.request_id for one in found.records]
        position = found.position
    done.set()
    for thread in (*threads, flusher):
        thread.join(20)
    acknowledged = log.flush()
    log.close()
    assert all(taken)
    assert acknowledged == {"rows": 8_000, "frames": 4_000}
    assert sorted(seen) == sorted(record(n, NOW + n * MINUTE // 10).request_id for n in range(4_000))
    assert len(reader.segments()) >= 7


@pytest.mark.parametrize("cut", [1, 40, 5_000])
def test_after_a_torn_tail_the_reader_has_what_was_acknowledged_and_whole(tmp_path: Path, cut: int) -> None:
    log = PredictionLog(SegmentWriter(tmp_path))
    for number in range(500):
        log.put(record(number))
    acknowledged = log.flush()["frames"]
    log.close()
    path = next(tmp_path.glob("2*.log"))
    whole = path.read_bytes()
    extra = PredictionLog(SegmentWriter(tmp_path / "other"))
    for number in range(500, 600):
        extra.put(record(number))
    extra.close()
    path.write_bytes(whole + next((tmp_path / "other").glob("2*.log")).read_bytes()[:-cut])  # died while writing
    before = SegmentReader(tmp_path).read()
    assert acknowledged <= len(before.records) < acknowledged + 100
    again = SegmentWriter(tmp_path)
    again.append([record(900)])
    again.close()
    after = SegmentReader(tmp_path).read()
    assert not after.damage
    assert len(after.records) == len(before.records) + 1
