"""A manifest is a model's identity; no name in it can leave its folder."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.security.manifests import FileEntry, InvalidManifest, Manifest, check_name, manifest_of

ONE = manifest_of({"a.json": b"1"})


def test_the_digest_covers_names_and_bytes() -> None:
    digests = {
        manifest_of(files).digest
        for files in ({"a.json": b"1"}, {"b.json": b"1"}, {"a.json": b"2"}, {"a.json": b"1", "b.json": b""})
    }
    assert len(digests) == 4


def test_the_order_of_files_does_not_matter() -> None:
    assert manifest_of({"a": b"1", "b": b"2"}) == manifest_of({"b": b"2", "a": b"1"})


TRAVERSALS = [
    "../x", "..", ".", "", "/etc/passwd", "a/../b", "a/./b", "a//b", "a/", "..\\x", "a\\b", "C:x", "c:/x",
    "\\\\host\\x",
    "a\x00b", "a\nb", "a/..", "a/.. /b", "a. ", "con.", "a\u202eb", "\ud800", "x" * 256, "file:///x", "a?b", "a*b",
]  # fmt: skip


@pytest.mark.parametrize("name", TRAVERSALS)
def test_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidManifest):
        manifest_of({name: b""})


@given(st.text(max_size=20))
def test_an_accepted_name_has_only_plain_parts(name: str) -> None:
    try:
        check_name(name)
    except InvalidManifest:
        return
    assert not name.startswith("/")
    assert not {"", ".", ".."} & set(name.split("/"))
    assert not set("\\:\x00") & set(name)
    name.encode("utf-8")


def test_names_that_one_file_system_would_merge_are_refused() -> None:
    for pair in (("a.json", "A.json"), ("é.json", "e\u0301.json")):
        with pytest.raises(InvalidManifest, match="twice"):
            manifest_of(dict.fromkeys(pair, b""))


def test_empty_unsorted_and_repeated_manifests_are_refused() -> None:
    one, two = ONE.entries[0], FileEntry(path="b", digest=ONE.entries[0].digest, size=1)
    for entries in ((), (two, one), (one, one)):
        with pytest.raises(InvalidManifest):
            Manifest(entries=entries)
    with pytest.raises(InvalidManifest, match="at most"):
        manifest_of({f"f{number}": b"" for number in range(1001)})
