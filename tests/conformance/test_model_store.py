"""Every model store keeps the promises of `deliver.ports.ModelStore`; the one on disk also survives tampering."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mainspring.adapters.files.models import ModelStore as FileModels
from mainspring.adapters.memory.registry import ModelStore as MemoryModels
from mainspring.adapters.objects.bucket import Bucket
from mainspring.adapters.objects.models import ModelStore as ObjectModels
from mainspring.deliver.ports import SIGNATURE, ModelStore
from mainspring.kernel.digests import digest_of
from mainspring.kernel.errors import InvalidValue, NotFound, Refused
from mainspring.security.artifacts import ArtifactRefused
from mainspring.security.manifests import InvalidManifest, manifest_of
from mainspring.security.signing import SignatureRefused, key_id, new_key, public_of, sign

STORES: dict[str, Callable[[Path], ModelStore]] = {
    "memory": lambda _: MemoryModels(),
    "files": lambda folder: FileModels(folder / "models"),
    "objects in a folder": lambda folder: ObjectModels(Bucket((folder / "objects").as_uri())),
    "objects in memory": lambda _: ObjectModels(Bucket("memory:///")),
}
PRIVATE = new_key()
PUBLIC = public_of(PRIVATE)
TRUSTED = {key_id(PUBLIC): PUBLIC}
FILES = {"contract.json": b'{"a":1}', "nested/profile.json": b"[1,2,3]"}


def add_signed(store: ModelStore, files: Mapping[str, bytes] = FILES, private: bytes = PRIVATE) -> str:
    digest = store.add(files)
    store.attest(digest, SIGNATURE, sign(manifest_of(files), private, "m"))
    return digest


@pytest.fixture(params=list(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    return STORES[request.param](tmp_path)


def test_a_signed_model_opens_as_it_was_added(store: ModelStore) -> None:
    digest = add_signed(store)
    assert store.open(digest, TRUSTED) == FILES
    assert digest == manifest_of(FILES).digest == store.add(FILES)
    assert store.has(digest)
    assert store.open(digest, TRUSTED) == FILES


def test_an_unknown_model_is_not_found(store: ModelStore) -> None:
    digest = digest_of("absent")
    assert not store.has(digest)
    assert store.evidence(digest, "gate") is None
    with pytest.raises(NotFound):
        store.open(digest, TRUSTED)
    with pytest.raises(NotFound):
        store.attest(digest, "gate", b"{}")


def test_an_unsigned_model_does_not_open(store: ModelStore) -> None:
    with pytest.raises(SignatureRefused, match="not signed"):
        store.open(store.add(FILES), TRUSTED)


def test_a_model_signed_by_a_stranger_does_not_open(store: ModelStore) -> None:
    digest = add_signed(store, private=new_key())
    with pytest.raises(SignatureRefused, match="not trusted"):
        store.open(digest, TRUSTED)
    with pytest.raises(SignatureRefused):
        store.open(digest, {})


def test_another_models_signature_does_not_open_it(store: ModelStore) -> None:
    digest = add_signed(store)
    store.attest(digest, SIGNATURE, sign(manifest_of({"contract.json": b"{}"}), PRIVATE, "m"))
    with pytest.raises(SignatureRefused):
        store.open(digest, TRUSTED)


def test_evidence_is_kept_beside_and_changes_no_identity(store: ModelStore) -> None:
    digest = add_signed(store)
    store.attest(digest, "gate", b"one")
    store.attest(digest, "gate", b"two")
    assert store.evidence(digest, "gate") == b"two"
    assert store.evidence(digest, "other") is None
    assert store.open(digest, TRUSTED) == FILES


@pytest.mark.parametrize(
    "name", ["../x.json", "/x.json", "a\\b.json", "", "a//b.json", "a\x00.json", "./a.json", "c:x.json"]
)
def test_a_name_that_could_leave_the_folder_is_refused(store: ModelStore, name: str) -> None:
    with pytest.raises(InvalidManifest):
        store.add({name: b"{}"})
    digest = add_signed(store)
    with pytest.raises(InvalidManifest):
        store.attest(digest, name, b"{}")


@pytest.mark.parametrize("digest", ["", "../..", "sha256:zz"])
def test_what_is_no_digest_never_becomes_a_path(store: ModelStore, digest: str) -> None:
    with pytest.raises(InvalidValue):
        store.open(digest, TRUSTED)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("model.onnx", b"\x80\x04."),
        ("model.pkl", b"\x80\x04."),
        ("a.json", b"\x80\x04."),
        ("a.json", b""),
        ("a", b"{}"),
    ],
)
def test_a_format_that_may_not_be_parsed_is_not_stored(store: ModelStore, name: str, data: bytes) -> None:
    with pytest.raises(ArtifactRefused):
        store.add({name: data})
    assert not store.has(manifest_of({name: data}).digest)


# --- on disk ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> tuple[FileModels, str, Path]:
    store = FileModels(tmp_path / "models")
    digest = add_signed(store)
    return store, digest, store.folder(digest)


def test_the_folder_is_private(disk: tuple[FileModels, str, Path]) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has other permissions")
    for path in disk[2].rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("at", range(0, 7))
def test_a_flipped_bit_anywhere_is_refused_with_the_file_named(disk: tuple[FileModels, str, Path], at: int) -> None:
    store, digest, folder = disk
    place = folder / "files" / "contract.json"
    broken = bytearray(place.read_bytes())
    broken[at] ^= 1
    place.write_bytes(bytes(broken))
    with pytest.raises(SignatureRefused, match=r"contract\.json"):
        store.open(digest, TRUSTED)


def _add(files: Path) -> None:
    (files / "extra.json").write_bytes(b"{}")


def _delete(files: Path) -> None:
    (files / "contract.json").unlink()


def _rename(files: Path) -> None:
    (files / "contract.json").rename(files / "other.json")


def _link_file(files: Path) -> None:
    shutil.copy(files / "contract.json", files.parent / "copy.json")
    (files / "contract.json").unlink()
    (files / "contract.json").symlink_to(files.parent / "copy.json")


def _link_folder(files: Path) -> None:
    (files / "nested").rename(files.parent / "moved")
    (files / "nested").symlink_to(files.parent / "moved")


def _pipe(files: Path) -> None:
    os.mkfifo(files / "pipe.json")


def _bad_name(files: Path) -> None:
    (Path(os.fsdecode(os.fsencode(files) + b"/a\xff.json"))).write_bytes(b"{}")


def _empty(files: Path) -> None:
    (files / "contract.json").write_bytes(b"")


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes need a privilege there")
@pytest.mark.parametrize("tamper", [_add, _delete, _rename, _link_file, _link_folder, _pipe, _bad_name, _empty])
def test_a_folder_that_is_not_exactly_what_was_signed_is_refused(
    disk: tuple[FileModels, str, Path], tamper: Callable[[Path], None]
) -> None:
    store, digest, folder = disk
    tamper(folder / "files")
    with pytest.raises(Refused):
        store.open(digest, TRUSTED)


def test_adding_again_repairs_a_damaged_folder_and_keeps_its_evidence(disk: tuple[FileModels, str, Path]) -> None:
    store, digest, folder = disk
    store.attest(digest, "gate", b"kept")
    (folder / "files" / "contract.json").write_bytes(b"damaged")
    assert store.add(FILES) == digest
    assert store.open(digest, TRUSTED) == FILES
    assert store.evidence(digest, "gate") == b"kept"


def test_a_model_under_another_models_digest_is_refused(disk: tuple[FileModels, str, Path], tmp_path: Path) -> None:
    store, digest, folder = disk
    other = add_signed(store, {"contract.json": b"{}"})
    shutil.rmtree(folder)
    shutil.copytree(store.folder(other), folder)
    with pytest.raises(SignatureRefused):
        store.open(digest, TRUSTED)


def test_a_sparse_file_is_refused_by_its_size_before_it_is_read(disk: tuple[FileModels, str, Path]) -> None:
    store, digest, folder = disk
    with (folder / "files" / "contract.json").open("r+b") as stream:
        stream.truncate(1 << 34)
    began = time.monotonic()
    with pytest.raises(ArtifactRefused, match="bytes"):
        store.open(digest, TRUSTED)
    assert time.monotonic() - began < 1


def test_many_writers_of_one_model_leave_one_whole_folder(tmp_path: Path) -> None:
    store = FileModels(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(lambda _: add_signed(store), range(24)))
    assert [store.open(digest, TRUSTED) for digest in digests] == [FILES]
    assert [path.name for path in tmp_path.rglob("*.tmp")] == []
