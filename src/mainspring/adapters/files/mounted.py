"""Files that somebody else brings up to date: mounted ConfigMaps and Secrets, or files that a GitOps tool writes.

In a cluster Argo CD owns the repository; the server sees one mounted release file. Its commit is the digest of its
content, so a change is a new release and equal content is the same one. Read only: promoting happens in git. A mounted
file is a link to a folder that the kubelet swaps as a whole, so links are followed here, within the mounted folder.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from mainspring.deliver.documents import InvalidRelease, from_document
from mainspring.deliver.release import Logged, Release
from mainspring.kernel.digests import digest_bytes
from mainspring.kernel.errors import Damaged, NotFound, Refused
from mainspring.security.keys import InvalidKey, key_id, public_key
from mainspring.security.token_files import from_bytes
from mainspring.security.tokens import Token

_MAX_BYTES = 1 << 20
_MAX_PEM = 16 << 10


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
        self, environment: str, release: Release, *, expected: str, message: str, trailers: Mapping[str, str],
        beside: Mapping[str, bytes] = MappingProxyType({}),
    ) -> str:  # fmt: skip
        """Refuse: the file belongs to who mounts it."""
        raise _read_only()

    def keep(
        self, environment: str, files: Mapping[str, bytes], *, expected: str, message: str, trailers: Mapping[str, str]
    ) -> str:
        """Refuse likewise."""
        raise _read_only()

    def folder(self, environment: str, name: str) -> dict[str, bytes]:
        """Return nothing: papers stay in the repository."""
        del environment, name
        return {}

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


class MountedKeys:
    """The public keys in one folder, whatever the environment; read again at each question, so a new key counts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def trusted(self, environment: str) -> Mapping[str, bytes]:
        """Return key id -> public PEM of every *.pem. Raises for a folder that is missing or a file that is no key."""
        del environment
        if not self._folder.is_dir():
            raise NotFound(f"there is no folder {self._folder}", fix="mount the public keys there")
        found: dict[str, bytes] = {}
        for path in sorted(self._folder.glob("*.pem")):
            pem = self._read(path)
            found[key_id(pem)] = pem
        return found

    def _read(self, path: Path) -> bytes:
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise InvalidKey(f"{path.name} leads out of the mounted folder", fix="mount the key itself")
        with path.open("rb") as stream:
            pem = stream.read(_MAX_PEM + 1)
        try:
            public_key(pem[:_MAX_PEM])
        except InvalidKey as error:
            raise InvalidKey(f"{path.name}: {error.what}", fix=error.fix) from error
        return pem


class MountedTokens:
    """API keys in one mounted file. A file that is gone, too large or not what was written is `Damaged`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._tokens: tuple[Token, ...] | None = None

    def read(self) -> tuple[Token, ...] | None:
        """Return the tokens; parsed again only when the file changed."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError as error:
            raise Damaged(f"{self._path} is not there", fix="mount the file of API keys") from error
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if stamp != self._stamp:
            with self._path.open("rb") as stream:
                data = stream.read(_MAX_BYTES + 1)
            if len(data) > _MAX_BYTES:
                raise Damaged(f"{self._path} has more than {_MAX_BYTES} bytes", fix="restore it")
            self._tokens, self._stamp = from_bytes(data), stamp
        return self._tokens


def _read_only() -> Refused:
    return Refused("a mounted release file is not written here", fix="promote in the repository that it comes from")
