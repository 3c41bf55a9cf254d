"""The content store as a dict."""

import shutil
import tempfile
import weakref
from pathlib import Path

from mainspring.kernel.digests import checked_digest, digest_bytes, hex_of
from mainspring.kernel.errors import NotFound


class Store:
    """Keeps blobs in a dict; `path` writes one to a temporary folder that lives as long as the store."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self._folder: Path | None = None

    def put(self, data: bytes) -> str:
        """Store `data` and return its digest."""
        digest = digest_bytes(data)
        self._blobs[digest] = bytes(data)
        return digest

    def put_file(self, path: Path) -> str:
        """Store a file's content and return its digest."""
        return self.put(path.read_bytes())

    def get(self, digest: str) -> bytes:
        """Return the bytes."""
        if checked_digest(digest) not in self._blobs:
            raise NotFound(f"{digest} is not in the store", fix="make it again")
        return self._blobs[digest]

    def path(self, digest: str) -> Path:
        """Return the path of a copy."""
        data = self.get(digest)
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="mainspring-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        copy = self._folder / hex_of(digest)
        if not copy.exists():
            copy.write_bytes(data)
        return copy

    def has(self, digest: str) -> bool:
        """Tell whether the blob is here."""
        return checked_digest(digest) in self._blobs
