"""A ledger file that is damaged, locked, newer, or written by many processes."""

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mainspring.adapters.sql import database
from mainspring.adapters.sql.database import NewerSchema, StoreBusy, wal_is_safe
from mainspring.adapters.sql.ledger import Ledger
from mainspring.adapters.sql.versions import Versions
from mainspring.kernel.errors import Damaged, InvalidValue
from mainspring.kernel.events import Draft, first_break

DRAFT = Draft(kind="a.b", subject="s", actor="t")


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "state" / "ledger.db"
    ledger = Ledger(url_of(place))
    for number in range(50):
        ledger.append([Draft(kind="a.b", subject=f"n:{number}", actor="t", body={"x": "y" * 200})], at=number)
    ledger.close()
    return place


def test_the_file_is_private_and_no_journal_stays(place: Path) -> None:
    if sys.platform != "win32":
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert [path.name for path in place.parent.iterdir()] == ["ledger.db"]


@pytest.mark.parametrize("content", [b"", b"\x00" * 8192, b"not a database" * 100], ids=["empty", "zeroed", "text"])
def test_a_file_that_is_no_database_is_damage_with_a_way_out(place: Path, content: bytes) -> None:
    place.write_bytes(content)
    with pytest.raises(Damaged, match="restore it"):
        Ledger(url_of(place))
    assert place.read_bytes() == content


def test_a_header_alone_is_damage(place: Path) -> None:
    place.write_bytes(place.read_bytes()[:16] + b"\x00" * 9000)
    with pytest.raises(Damaged):
        Ledger(url_of(place))


@pytest.mark.parametrize("page", range(1, 6))
def test_a_torn_page_is_damage_or_a_broken_chain_never_a_silent_answer(place: Path, page: int) -> None:
    broken = bytearray(place.read_bytes())
    broken[page * 4096 : (page + 1) * 4096] = os.urandom(4096)
    place.write_bytes(bytes(broken))
    try:
        events = Ledger(url_of(place)).read()
    except Damaged:
        return
    assert first_break(events) is not None or len(events) == 50


def test_a_foreign_database_is_not_taken_for_a_ledger(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    with pytest.raises(Damaged):
        Ledger(url_of(tmp_path / "x.db"))


def test_a_newer_schema_is_refused_by_name(place: Path) -> None:
    with sqlite3.connect(place) as connection:
        connection.execute("UPDATE mainspring_schema SET version = 99")
    connection.close()
    for opened in (Ledger, Versions):
        with pytest.raises(NewerSchema, match="99"):
            opened(url_of(place))


def test_a_locked_database_is_waited_for_then_means_try_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.2)
    ledger = Ledger(url_of(place))
    holder = sqlite3.connect(place, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy) as caught:
        ledger.append([DRAFT], at=1)
    assert caught.value.exit_code == 75
    holder.execute("ROLLBACK")
    holder.close()
    assert ledger.append([DRAFT], at=1)[0].seq == 51
    ledger.close()


def test_a_database_left_in_wal_mode_is_brought_back(place: Path) -> None:
    connection = sqlite3.connect(place)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    ledger = Ledger(url_of(place))
    ledger.append([DRAFT], at=1)
    ledger.close()
    connection = sqlite3.connect(place)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()


@pytest.mark.parametrize(
    ("version", "safe"),
    [((3, 40, 1), False), ((3, 44, 6), True), ((3, 45, 0), False), ((3, 50, 6), False), ((3, 50, 7), True),
     ((3, 51, 2), False), ((3, 51, 3), True), ((3, 52, 0), True), ((3, 6, 23), True)],
)  # fmt: skip
def test_versions_with_the_wal_reset_bug_are_known(version: tuple[int, ...], safe: bool) -> None:
    assert wal_is_safe(version) is safe


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "nonsense", ""])
def test_a_ledger_without_a_place_is_refused(url: str) -> None:
    with pytest.raises(InvalidValue):
        Ledger(url)


WRITER = """
import sys
from mainspring.adapters.sql.ledger import Ledger
from mainspring.adapters.sql.versions import Versions
from mainspring.kernel.digests import digest_of
from mainspring.kernel.events import Draft
ledger, versions = Ledger(sys.argv[1]), Versions(sys.argv[1])
for turn in range(10):
    ledger.append([Draft(kind="a.b", subject=sys.argv[2], actor="t", body={"turn": turn})], at=turn)
    versions.assign("m", digest_of([sys.argv[2], turn]))
"""


def test_processes_that_begin_at_once_make_one_chain_and_dense_versions(tmp_path: Path) -> None:
    url = url_of(tmp_path / "new" / "ledger.db")
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, url, str(number)]) for number in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    events = Ledger(url).read()
    assert first_break(events) is None
    assert len({(event.subject, event.body["turn"]) for event in events}) == len(events) == 40
    assert [version for version, _ in Versions(url).list("m")] == list(range(1, 41))


def test_a_replays_ledger_leaves_flushing_to_the_system_and_is_read_by_any_other(tmp_path: Path) -> None:
    url = f"sqlite:///{(tmp_path / 'ledger.db').as_posix()}"
    quick = Ledger(url, durable=False)
    quick.append([Draft(kind="a", subject="s", actor="t", body={})], at=1)
    with quick._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 0
    assert Ledger(url).head() == quick.head()
    with Ledger(url)._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
