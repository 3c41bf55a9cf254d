"""Object stores by URL: addresses are checked, objects come back, limits and failures are told."""

from pathlib import Path

import pytest
from tests.conformance.test_model_store import FILES, TRUSTED, add_signed

from mainspring.adapters.objects.bucket import Bucket, StoreUnreachable
from mainspring.adapters.objects.models import ModelStore
from mainspring.kernel.errors import Damaged, InvalidValue
from mainspring.security.manifests import InvalidManifest
from mainspring.security.signing import SignatureRefused


@pytest.mark.parametrize("url", ["", "models", "http://a/b", "s3://user:word@bucket/x", "s3://b/x?secret=1", "ftp://a"])
def test_only_plain_addresses_of_object_stores_are_taken(url: str) -> None:
    with pytest.raises(InvalidValue) as told:
        Bucket(url)
    assert "word" not in str(told.value)


def test_objects_come_back_and_are_listed(tmp_path: Path) -> None:
    bucket = Bucket((tmp_path / "new" / "place").as_uri())
    bucket.put("a/1", b"one")
    bucket.put("a/2", b"two")
    bucket.put("a/1", b"once more")
    assert bucket.get("a/1", 100) == b"once more"
    assert bucket.get("a/3", 100) is None
    assert bucket.names("a") == ["a/1", "a/2"]
    bucket.remove("a/1")
    bucket.remove("a/1")
    assert (bucket.has("a/1"), bucket.has("a/2")) == (False, True)


def test_of_two_writers_of_a_new_object_one_wins(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path.as_uri())
    assert [bucket.put_new("a", data) for data in (b"one", b"two")] == [True, False]
    assert bucket.get("a", 10) == b"one"


def test_an_object_above_the_limit_is_not_read() -> None:
    bucket = Bucket("memory:///")
    bucket.put("a", b"12345")
    with pytest.raises(InvalidValue, match="at most 4"):
        bucket.get("a", 4)


def test_a_store_that_does_not_answer_is_a_reason_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ENDPOINT": "http://127.0.0.1:9", "ALLOW_HTTP": "true", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b",
        "REGION": "r",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"AWS_{name}", value)
    with pytest.raises(StoreUnreachable, match="s3://bucket/path"):
        Bucket("s3://bucket/path", retries=0).get("a", 1)


@pytest.mark.parametrize("listed", [b"", b"[]", b"{}", b'["../x.json"]', b"[1"])
def test_a_models_list_of_files_is_not_trusted(listed: bytes) -> None:
    bucket = Bucket("memory:///")
    store = ModelStore(bucket)
    digest = add_signed(store)
    place = next(name for name in bucket.names("") if name.endswith("complete.json"))
    bucket.put(place, listed)
    with pytest.raises((Damaged, InvalidManifest)):
        store.open(digest, TRUSTED)


def test_a_model_with_a_lost_or_changed_file_does_not_open() -> None:
    bucket = Bucket("memory:///")
    store = ModelStore(bucket)
    digest = add_signed(store)
    place = next(name for name in bucket.names("") if name.endswith("contract.json"))
    bucket.put(place, FILES["contract.json"].replace(b"1", b"2"))
    with pytest.raises(SignatureRefused):
        store.open(digest, TRUSTED)
    bucket.remove(place)
    with pytest.raises(Damaged, match="gone"):
        store.open(digest, TRUSTED)
