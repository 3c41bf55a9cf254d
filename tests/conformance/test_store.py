"""Every content store keeps the promises of `kernel.stores.Store`."""

import os
import stat
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mainspring.adapters.files.store import Store as FileStore
from mainspring.adapters.memory.store import Store as MemoryStore
from mainspring.adapters.objects.bucket import Bucket
from mainspring.adapters.objects.store import Store as ObjectStore
from mainspring.kernel.digests import digest_bytes
from mainspring.kernel.errors import Damaged, InvalidValue, NotFound
from mainspring.kernel.stores import Store, referenced

STORES: dict[str, Callable[[Path], Store]] = {
    "memory": lambda _: MemoryStore(),
    "files": lambda folder: FileStore(folder / "store"),
    "objects": lambda folder: ObjectStore(Bucket((folder / "objects").as_uri()), FileStore(folder / "store")),
}


@pytest.fixture(params=list(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return STORES[request.param](tmp_path)


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 9000])
def test_bytes_come_back_under_their_digest(store: Store, data: bytes) -> None:
    digest = store.put(data)
    assert digest == digest_bytes(data) == store.put(data)
    assert store.get(digest) == data
    assert store.path(digest).read_bytes() == data
    assert store.has(digest)


def test_a_file_is_stored_as_its_bytes(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content" * 500_000)
    digest = store.put_file(source)
    assert digest == store.put_file(source) == digest_bytes(source.read_bytes())
    assert store.get(digest) == source.read_bytes()


def test_what_is_absent_is_not_found(store: Store) -> None:
    digest = digest_bytes(b"never stored")
    assert not store.has(digest)
    for ask in (store.get, store.path):
        with pytest.raises(NotFound):
            ask(digest)


@pytest.mark.parametrize("name", ["", "sha256:..", "../../etc/passwd", "sha256:" + "A" * 64, "sha256:" + "0" * 63])
def test_what_is_no_digest_never_becomes_a_path(store: Store, name: str) -> None:
    for ask in (store.get, store.path, store.has):
        with pytest.raises(InvalidValue):
            ask(name)


def test_writers_of_one_blob_do_not_disturb_each_other(store: Store) -> None:
    with ThreadPoolExecutor(16) as pool:
        digests = set(pool.map(lambda _: store.put(b"same" * 1000), range(64)))
    assert [store.get(digest) for digest in digests] == [b"same" * 1000]


# --- in an object store: what one machine puts, another reads --------------------------------------------------------


def test_another_machine_reads_what_was_put(tmp_path: Path) -> None:
    bucket = Bucket((tmp_path / "objects").as_uri())
    one, other = (ObjectStore(bucket, FileStore(tmp_path / name)) for name in ("one", "other"))
    source = tmp_path / "source"
    source.write_bytes(b"content" * 100_000)
    digests = one.put(b"small"), one.put_file(source)
    assert [other.has(digest) for digest in digests] == [True, True]
    assert other.get(digests[0]) == b"small"
    assert other.path(digests[1]).read_bytes() == source.read_bytes()


def test_only_what_everybody_can_read_counts_as_stored(tmp_path: Path) -> None:
    local = FileStore(tmp_path / "here")
    digest = local.put(b"only here")
    assert not ObjectStore(Bucket((tmp_path / "objects").as_uri()), local).has(digest)


def test_changed_bytes_in_an_object_store_are_damage(tmp_path: Path) -> None:
    bucket = Bucket((tmp_path / "objects").as_uri())
    digest = ObjectStore(bucket, FileStore(tmp_path / "one")).put(b"right")
    (place,) = bucket.names("blobs")
    bucket.put(place, b"wrong")
    other = ObjectStore(bucket, FileStore(tmp_path / "other"))
    for ask in (other.get, other.path):
        with pytest.raises(Damaged):
            ask(digest)


# --- on disk ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(0, 1000, 97))
def test_a_flipped_bit_is_damage_and_storing_again_repairs_it(tmp_path: Path, at: int) -> None:
    store = FileStore(tmp_path)
    data = os.urandom(1000)
    digest = store.put(data)
    broken = bytearray(data)
    broken[at] ^= 1
    store.path(digest).write_bytes(bytes(broken))
    with pytest.raises(Damaged):
        store.get(digest)
    store.put(data)
    assert store.get(digest) == data


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_blobs_are_private_and_no_temporary_file_stays(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "store")
    source = tmp_path / "source"
    source.write_bytes(b"b")
    for digest in (store.put(b"a"), store.put_file(source)):
        assert stat.S_IMODE(store.path(digest).stat().st_mode) == 0o600
        assert stat.S_IMODE(store.path(digest).parent.stat().st_mode) == 0o700
    assert len([path for path in (tmp_path / "store").rglob("*") if path.is_file()]) == 2


def test_digests_anywhere_in_documents_are_referenced() -> None:
    one, two = digest_bytes(b"1"), digest_bytes(b"2")
    assert referenced([{"a": [one, {"b": (two,)}]}, 3, "other"]) == {one, two}
