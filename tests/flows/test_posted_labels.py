"""Labels from the server's inbox to quality: whole files, bounded, tried again until the prediction is found."""

import json
import threading
from pathlib import Path

import pytest
from tests.flows.test_labels import NOW, RECORD, House

from mainspring.adapters.files.label_inbox import SUFFIX, InboxLimits, LabelInbox
from mainspring.flows.labels import LabelPorts
from mainspring.flows.posted import PATIENCE, Posted, take_posted
from mainspring.serve.errors import LabelsFull
from mainspring.serve.labelling import OURS, receive
from mainspring.serve.ports import PostedLabel

UNKNOWN = "p-2013050106-zzzzzzzzzzzzzzzz.0"


def label(name: str = f"{RECORD.request_id}.1", value: float = 1.0, posted_at: int = NOW) -> PostedLabel:
    return PostedLabel(prediction_id=name, value=value, known_at=posted_at, posted_at=posted_at)


def take(inbox: LabelInbox, house: House, now: int = NOW) -> Posted:
    return take_posted(inbox, LabelPorts(find=house.find, add=house.observations.add_labels), now=now)


def fill(inbox: LabelInbox) -> None:
    for _ in range(10):
        inbox.put([label()])


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


def test_a_posted_label_meets_its_prediction_and_leaves_the_inbox(tmp_path: Path) -> None:
    house, inbox = House(), LabelInbox(tmp_path)
    body = json.dumps({"prediction_id": f"{RECORD.request_id}.1", "value": 1}).encode()
    receive(body, OURS, inbox, NOW)
    assert take(inbox, house) == Posted(kept=1)
    assert house.matured() == {f"{RECORD.request_id}.1": 1.0}
    assert not files(tmp_path)
    assert take(inbox, house) == Posted()


def test_a_label_that_came_before_its_prediction_waits_for_an_hour(tmp_path: Path) -> None:
    house, inbox = House(), LabelInbox(tmp_path)
    inbox.put([label(), label(UNKNOWN)])
    inbox.put([label(UNKNOWN)])
    assert take(inbox, house) == Posted(kept=1, waiting=2)
    assert len(files(tmp_path)) == 2
    assert take(inbox, house, NOW + PATIENCE - 1) == Posted(waiting=2)
    assert take(inbox, house, NOW + PATIENCE) == Posted(refused={"not_found": 2})
    assert not files(tmp_path)


def test_the_later_of_two_labels_wins_across_files(tmp_path: Path) -> None:
    house, inbox = House(), LabelInbox(tmp_path)
    inbox.put([label(value=0.0, posted_at=NOW - 2)])
    inbox.put([label(value=1.0, posted_at=NOW - 1)])
    take(inbox, house)
    assert house.matured() == {f"{RECORD.request_id}.1": 1.0}


def test_a_watch_killed_after_it_kept_the_labels_keeps_them_once(tmp_path: Path) -> None:
    house, inbox = House(), LabelInbox(tmp_path)
    inbox.put([label()])
    (file,) = files(tmp_path)
    data = file.read_bytes()
    take(inbox, house)
    file.write_bytes(data)  # as if it had been killed before the file was removed
    assert take(inbox, house).kept == 1
    assert house.matured() == {f"{RECORD.request_id}.1": 1.0}


@pytest.mark.parametrize("damage", [b"", b"\x00\xff\n", b'{"prediction_id": "p-2013', b"[" * 100_000, b"7\n"])
def test_a_damaged_file_is_counted_and_left_behind_and_the_next_is_read(tmp_path: Path, damage: bytes) -> None:
    house, inbox = House(), LabelInbox(tmp_path)
    inbox.put([label()])
    (tmp_path / f"{0:020d}-00000000{SUFFIX}").write_bytes(damage)
    (tmp_path / f".beside{SUFFIX}.0000.tmp").write_bytes(b"half of a file")
    found = take(inbox, house)
    assert found.kept == 1
    assert sum(found.refused.values()) == len(damage.splitlines())
    assert not files(tmp_path)


def test_the_inbox_is_bounded_in_files_and_bytes_and_a_watch_makes_room(tmp_path: Path) -> None:
    house = House()
    for limits in (InboxLimits(files=3), InboxLimits(size=500)):
        inbox = LabelInbox(tmp_path, limits)
        with pytest.raises(LabelsFull):
            fill(inbox)
        assert 0 < len(files(tmp_path)) <= 4
        take(inbox, house)
        inbox.put([label()])
        take(inbox, house)


def test_a_full_disk_is_a_503_and_no_label_is_lost_in_silence(tmp_path: Path) -> None:
    blocked = tmp_path / "labels"
    blocked.write_text("a file where the folder should be")
    with pytest.raises(LabelsFull):
        LabelInbox(blocked).put([label()])


def test_many_posts_at_once_are_all_kept_and_share_files(tmp_path: Path) -> None:
    inbox, started = LabelInbox(tmp_path), threading.Barrier(16)

    def post(worker: int) -> None:
        started.wait(10)
        for turn in range(10):
            inbox.put([label(f"p-2013050106-abcdefghijklmnop.{worker * 10 + turn}")])

    threads = [threading.Thread(target=post, args=(worker,)) for worker in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    names = [row["prediction_id"] for _, rows in inbox.batches() for row in rows]
    assert sorted(names) == sorted(f"p-2013050106-abcdefghijklmnop.{n}" for n in range(160))
    assert len(files(tmp_path)) <= 160
