"""A mounted release file is followed, never written, and what is broken in it does not serve."""

import os
from pathlib import Path

import pytest
from tests.conformance.test_release_files import FIRST, TRIAL

from mainspring.adapters.files.mounted import ReleaseFiles
from mainspring.adapters.git.texts import parse, render
from mainspring.deliver.documents import InvalidRelease, to_document
from mainspring.deliver.release import Champion, Release, promote_to_canary
from mainspring.kernel.digests import digest_of
from mainspring.kernel.errors import Refused


def put(path: Path, release: Release) -> None:
    beside = path.with_suffix(".new")
    beside.write_bytes(render(to_document(release), "production", None))
    beside.replace(path)  # as the kubelet does: a new file under the old name


def test_a_changed_file_is_a_new_release_and_equal_content_the_same(tmp_path: Path) -> None:
    path = tmp_path / "release.yaml"
    files = ReleaseFiles(path, parse)
    assert files.read("production") == (None, "")
    assert files.log("production") == []
    put(path, FIRST)
    release, first = files.read("production")
    assert (release, files.head("production")) == (FIRST, first)
    put(path, TRIAL)
    assert files.read("production")[0] == TRIAL
    assert files.head("production") != first
    put(path, FIRST)
    os.utime(path, ns=(1, 1))
    assert files.read("production") == (FIRST, first)
    assert [logged.commit for logged in files.log("production")] == [first]


def test_it_is_never_written(tmp_path: Path) -> None:
    files = ReleaseFiles(tmp_path / "release.yaml", parse)
    with pytest.raises(Refused):
        files.write("production", FIRST, expected="", message="x", trailers={})
    assert not (tmp_path / "release.yaml").exists()


@pytest.mark.parametrize("text", [b"", b"a: &b 1", b"schema: 9", b"[1]", b"\xff", b"#" * (1 << 20) + b"##"])
def test_what_is_no_release_is_told(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "release.yaml"
    path.write_bytes(text)
    with pytest.raises(InvalidRelease):
        ReleaseFiles(path, parse).read("production")


def test_a_trial_of_another_version_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "release.yaml"
    release = promote_to_canary(
        Release(model="m", champion=Champion(version=1, digest=digest_of(1)), plan=FIRST.plan), 9, digest_of(9)
    )
    put(path, release)
    assert ReleaseFiles(path, parse).read("any")[0] == release
