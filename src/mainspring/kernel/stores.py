"""The content store port: blobs by digest. Every adapter passes tests/conformance/test_store.py."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """Keeps bytes under their digest; a blob never changes."""

    def put(self, data: bytes) -> str:
        """Store `data` and return its digest. Storing it again changes nothing."""

    def put_file(self, path: Path) -> str:
        """Store a file's content in constant memory and return its digest."""

    def get(self, digest: str) -> bytes:
        """Return the bytes, verified against the digest; `NotFound` or `Damaged` otherwise."""

    def path(self, digest: str) -> Path:
        """Return a local, read-only path of the blob (not re-verified); `NotFound` if absent."""

    def has(self, digest: str) -> bool:
        """Tell whether the blob is here."""


def referenced(documents: Iterable[object]) -> set[str]:
    """Return every digest named anywhere in JSON-like documents: what a clean-up must keep."""
    found: set[str] = set()
    waiting = list(documents)
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if item.startswith("sha256:"):
                found.add(item)
        elif isinstance(item, dict):
            waiting.extend(item.keys())
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
    return found
