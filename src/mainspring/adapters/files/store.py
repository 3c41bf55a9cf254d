"""The content store on disk: `sha256/ab/<64 hex>`, a file a blob, readable by its owner alone."""

import hashlib
import os
from pathlib import Path
from uuid import uuid4

from mainspring.kernel.digests import digest_bytes, hex_of
from mainspring.kernel.errors import Damaged, NotFound
from mainspring.kernel.files import make_private, replace, write_atomic

_CHUNK = 1 << 20


class Store:
    """Keeps blobs under `root`. Any number of processes may write at once: equal names have equal bytes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, data: bytes) -> str:
        """Store `data` and return its digest. A damaged blob of that name is repaired."""
        digest = digest_bytes(data)
        place = self._place(digest)
        if not (place.is_file() and place.read_bytes() == data):
            write_atomic(place, data)
        return digest

    def put_file(self, path: Path) -> str:
        """Store a file's content, copied and hashed a megabyte at a time, and return its digest."""
        make_private(self._root)
        beside = self._root / f".{uuid4().hex}.tmp"
        try:
            digest = _copy(path, beside)
            place = self._place(digest)
            make_private(place.parent)
            replace(beside, place)
        finally:
            beside.unlink(missing_ok=True)
        return digest

    def get(self, digest: str) -> bytes:
        """Return the bytes, verified against the digest."""
        try:
            data = self._place(digest).read_bytes()
        except FileNotFoundError:
            raise _absent(digest) from None
        if digest_bytes(data) != digest:
            raise Damaged(f"the stored bytes of {digest} were changed", fix="make it again, or restore the store")
        return data

    def path(self, digest: str) -> Path:
        """Return the blob's path, to be read only."""
        place = self._place(digest)
        if not place.is_file():
            raise _absent(digest)
        return place

    def has(self, digest: str) -> bool:
        """Tell whether the blob is here."""
        return self._place(digest).is_file()

    def _place(self, digest: str) -> Path:
        name = hex_of(digest)
        return self._root / "sha256" / name[:2] / name


def _copy(source: Path, target: Path) -> str:
    seen = hashlib.sha256()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with source.open("rb") as reader, os.fdopen(os.open(target, flags, 0o600), "wb") as writer:
        while chunk := reader.read(_CHUNK):
            seen.update(chunk)
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    return "sha256:" + seen.hexdigest()


def _absent(digest: str) -> NotFound:
    return NotFound(f"{digest} is not in the store", fix="make it again, or restore the store")
