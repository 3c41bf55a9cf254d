"""A release file that somebody else brings up to date: a mounted ConfigMap, or a file that a GitOps tool writes.

In a cluster Argo CD owns the repository; the server sees one mounted file. Its commit is the digest of its content, so
a change is a new release and equal content is the same one. Read only: promoting happens in git.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from mainspring.deliver.documents import InvalidRelease, from_document
from mainspring.deliver.release import Logged, Release
from mainspring.kernel.digests import digest_bytes
from mainspring.kernel.errors import Refused

_MAX_BYTES = 1 << 20


class ReleaseFiles:
    """Reads one release file. parse: its text -> the plain document in it."""

    def __init__(self, path: Path, parse: Callable[[bytes], object]) -> None:
        self._path, self._parse = path, parse
        self._stamp: tuple[int, int, int] | None = None
        self._last: tuple[Release | None, str] = (None, "")

    def head(self, environment: str) -> str:
        """Return the digest of the file's content, or "" where there is none."""
        return self.read(environment)[1]

    def read(self, environment: str) -> tuple[Release | None, str]:
        """Return the release and the digest of its file; the content is read again only when the file changed."""
        del environment
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return None, ""
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if stamp != self._stamp:
            self._last, self._stamp = self._read(), stamp
        return self._last

    def write(
        self, environment: str, release: Release, *, expected: str, message: str, trailers: Mapping[str, str]
    ) -> str:
        """Refuse: the file belongs to who mounts it."""
        raise Refused("a mounted release file is not written here", fix="promote in the repository that it comes from")

    def log(self, environment: str) -> list[Logged]:
        """Return what is mounted now, as the only commit that is known."""
        release, commit = self.read(environment)
        return [] if release is None else [Logged(commit, release, {})]

    def _read(self) -> tuple[Release | None, str]:
        with self._path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise InvalidRelease(f"the release file has more than {_MAX_BYTES} bytes", fix="mount a release file")
        return from_document(self._parse(data)), digest_bytes(data).removeprefix("sha256:")[:40]
