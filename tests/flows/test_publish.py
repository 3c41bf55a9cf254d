"""A signed model reaches another store whole, once, and only if the destination trusts who signed it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from mainspring.adapters.files.models import ModelStore as FileModels
from mainspring.adapters.memory.registry import ModelStore as MemoryModels
from mainspring.adapters.objects.bucket import Bucket
from mainspring.adapters.objects.models import ModelStore as ObjectModels
from mainspring.deliver.ports import GATE, SIGNATURE, ModelStore
from mainspring.flows.publish import publish
from mainspring.kernel.errors import NotFound
from mainspring.security.manifests import manifest_of
from mainspring.security.signing import SignatureRefused, key_id, new_key, public_of, sign

FILES = {"contract.json": b'{"a":1}', "profile.json": b"[1]"}
PRIVATE = new_key()
TRUSTED = {key_id(public_of(PRIVATE)): public_of(PRIVATE)}


class Counting:
    """A store that counts what is written to it."""

    def __init__(self, inner: ModelStore) -> None:
        self._inner, self.writes = inner, list[str]()

    def add(self, files: Mapping[str, bytes]) -> str:
        self.writes.append("files")
        return self._inner.add(files)

    def open(self, digest: str, trusted: Mapping[str, bytes]) -> Mapping[str, bytes]:
        return self._inner.open(digest, trusted)

    def attest(self, digest: str, name: str, data: bytes) -> None:
        self.writes.append(name)
        self._inner.attest(digest, name, data)

    def evidence(self, digest: str, name: str) -> bytes | None:
        return self._inner.evidence(digest, name)

    def has(self, digest: str) -> bool:
        return self._inner.has(digest)


def signed(store: ModelStore) -> str:
    digest = store.add(FILES)
    store.attest(digest, SIGNATURE, sign(manifest_of(FILES), PRIVATE, "m"))
    store.attest(digest, GATE, b'{"passed": true}')
    return digest


def test_from_a_folder_to_an_object_store_and_once_only(tmp_path: Path) -> None:
    here = FileModels(tmp_path / "models")
    there = Counting(ObjectModels(Bucket((tmp_path / "bucket").as_uri())))
    digest = signed(here)
    assert publish(digest, here, there, TRUSTED).copied == ("files", GATE, SIGNATURE)
    assert there.open(digest, TRUSTED) == FILES
    assert there.evidence(digest, GATE) == b'{"passed": true}'
    there.writes.clear()
    assert publish(digest, here, there, TRUSTED).copied == ()
    assert there.writes == []


def test_later_evidence_follows_and_named_evidence_too() -> None:
    here, there = MemoryModels(), MemoryModels()
    digest = signed(here)
    publish(digest, here, there, TRUSTED)
    here.attest(digest, GATE, b'{"passed": false}')
    here.attest(digest, "sbom", b"{}")
    assert publish(digest, here, there, TRUSTED, ("gate", "sbom")).copied == ("gate", "sbom")
    assert there.evidence(digest, "sbom") == b"{}"


def test_nothing_is_written_for_a_stranger_or_an_unknown_model() -> None:
    here, there = MemoryModels(), Counting(MemoryModels())
    digest = signed(here)
    with pytest.raises(SignatureRefused):
        publish(digest, here, there, {})
    with pytest.raises(NotFound):
        publish("sha256:" + "0" * 64, here, there, TRUSTED)
    assert there.writes == []
