"""The content store in an object store: `blobs/sha256/ab/<64 hex>`, read and written through a store on this machine.

What counts as stored is what everybody can read: `has` asks the object store. The local one keeps what was written or
read here, so that a step reads a file once, and gives paths. Any number of writers: equal names have equal bytes.
"""

import tempfile
from pathlib import Path

from mainspring.adapters.objects.bucket import Bucket
from mainspring.kernel.digests import hex_of
from mainspring.kernel.errors import Damaged, NotFound
from mainspring.kernel.stores import Store as Blobs


class Store:
    """Keeps blobs below a bucket's URL. local: a content store on this machine."""

    def __init__(self, bucket: Bucket, local: Blobs) -> None:
        self._bucket, self._local = bucket, local

    def put(self, data: bytes) -> str:
        """Store `data` here and there, and return its digest."""
        digest = self._local.put(data)
        self._bucket.put(_name(digest), data)
        return digest

    def put_file(self, path: Path) -> str:
        """Store a file's content in constant memory and return its digest."""
        digest = self._local.put_file(path)
        if not self._bucket.has(_name(digest)):
            self._bucket.put_file(_name(digest), self._local.path(digest))
        return digest

    def get(self, digest: str) -> bytes:
        """Return the bytes, verified against the digest."""
        try:
            return self._local.get(digest)
        except (NotFound, Damaged):
            self._fetch(digest)
        return self._local.get(digest)

    def path(self, digest: str) -> Path:
        """Return a local, read-only path of the blob; it is fetched and verified on first use."""
        try:
            return self._local.path(digest)
        except NotFound:
            self._fetch(digest)
        return self._local.path(digest)

    def has(self, digest: str) -> bool:
        """Tell whether the object store has the blob."""
        return self._bucket.has(_name(digest))

    def _fetch(self, digest: str) -> None:
        with tempfile.TemporaryDirectory(prefix="mainspring-") as folder:
            beside = Path(folder) / "blob"
            if not self._bucket.get_file(_name(digest), beside):
                raise NotFound(f"{digest} is not in the store", fix="make it again, or restore the store")
            if self._local.put_file(beside) != digest:
                raise Damaged(f"the stored bytes of {digest} were changed", fix="make it again, or restore the store")


def _name(digest: str) -> str:
    name = hex_of(digest)
    return f"blobs/sha256/{name[:2]}/{name}"
