"""The log of servers elsewhere, brought from an object store: everything once, in order, whatever happens meanwhile."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.serve.test_serve_log import record

from mainspring.adapters.files.logs_reader import START, SegmentReader
from mainspring.adapters.objects.bucket import Bucket
from mainspring.adapters.objects.log import ObjectLog
from mainspring.adapters.objects.log_pull import INDEX, pull_log
from mainspring.kernel.errors import Damaged
from mainspring.kernel.times import DAY, HOUR, parse_time
from mainspring.serve.log_packing import chunks_of

NOON = parse_time("2024-05-01T12:00:00Z")


class Store:
    """A bucket that servers write to, and a folder that a watch reads."""

    def __init__(self, root: Path) -> None:
        self.bucket, self.folder, self.made = Bucket(f"file://{root / 'bucket'}"), root / "log", 0

    def log(self, writer: str, number: int, hour: int = NOON) -> None:
        self.made += 1
        (chunk,) = chunks_of([record(self.made, hour)])
        ObjectLog(self.bucket, writer).write([replace(chunk, number=number)])

    def pull(self, since: int = NOON - DAY, until: int = NOON + DAY) -> int:
        return pull_log(self.bucket, self.folder, since=since, until=until)

    def count(self) -> int:
        found = SegmentReader(self.folder).read(START)
        assert not found.damage
        assert len({item.request_id for item in found.records}) == len(found.records)
        return len(found.records)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_everything_comes_once_and_later_objects_are_appended(store: Store) -> None:
    for number in range(3):
        store.log("0xaa", number)
    store.log("0xbb", 0)
    store.log("0xaa", 3, NOON + HOUR)
    assert store.pull() > 0
    assert store.count() == 5
    assert store.pull() == 0
    store.log("0xaa", 4, NOON + HOUR)
    assert store.pull() > 0
    assert store.count() == 6


def test_a_reader_goes_on_from_where_it_was(store: Store) -> None:
    store.log("0xaa", 0)
    store.pull()
    first = SegmentReader(store.folder).read(START)
    store.log("0xaa", 1)
    store.log("0xbb", 0)
    store.pull()
    second = SegmentReader(store.folder).read(first.position)
    assert (len(first.records), len(second.records)) == (1, 2)


def test_a_pull_that_was_killed_goes_on(store: Store) -> None:
    store.log("0xaa", 0)
    store.pull()
    index = (store.folder / INDEX).read_bytes()
    store.log("0xaa", 1)
    store.pull()
    (store.folder / INDEX).write_bytes(index)  # the segment was written, the index was not
    store.pull()
    assert store.count() == 2


def test_what_was_compacted_does_not_come_again(store: Store) -> None:
    store.log("0xaa", 0)
    store.pull()
    (segment,) = store.folder.glob("*.log")
    segment.unlink()
    assert store.pull() == 0
    store.log("0xaa", 1)  # and what is late is not lost
    store.pull()
    assert store.count() == 1


def test_only_the_days_that_are_asked_for_and_only_logs(store: Store) -> None:
    store.log("0xaa", 0, NOON - 9 * DAY)
    store.log("0xaa", 1)
    for name in ("log/2024/05/01/12/../evil-000000000000.log", "log/2024/05/01/12/notes.txt"):
        if ".." not in name:
            store.bucket.put(name, b"no log")
    store.pull()
    assert store.count() == 1
    assert {path.name for path in store.folder.iterdir()} == {"2024050112-0xaa.log", INDEX}


def test_a_broken_index_is_told(store: Store) -> None:
    store.log("0xaa", 0)
    store.pull()
    (store.folder / INDEX).write_text("[1]", "utf-8")
    with pytest.raises(Damaged, match=INDEX):
        store.pull()
