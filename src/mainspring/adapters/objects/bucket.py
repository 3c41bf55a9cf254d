"""A place in an object store, by URL: `s3://bucket/path`, `gs://`, `az://`, `file:///path`, `memory:///`.

Credentials and endpoints come from the environment as each cloud's own tools read them (AWS_*, GOOGLE_*, AZURE_*),
never from the URL. Errors of the store become errors of ours in one place.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from mainspring.kernel.errors import InvalidValue, MainspringError

SCHEMES = ("s3", "s3a", "gs", "az", "abfs", "abfss", "file", "memory")
_T = TypeVar("_T")


class ObjectsMissing(MainspringError):
    """Object stores need an extra that is not installed."""

    code = "objects.missing"


class StoreUnreachable(MainspringError):
    """An object store did not do what was asked; it may later."""

    code = "objects.unreachable"
    exit_code = 75


class Bucket:
    """Puts and gets whole objects by name below a URL.

    retries: of one call, with growing pauses.
    """

    def __init__(self, url: str, *, retries: int = 3) -> None:
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES or parts.username or parts.password or parts.query:
            raise InvalidValue(
                f"{_shown(url)} is not the address of an object store",
                fix=f"use one of {', '.join(SCHEMES[:4])}://bucket/path; credentials come from the environment",
            )
        try:
            import obstore
            from obstore.store import from_url
        except ImportError as error:
            raise ObjectsMissing("object stores need obstore", fix="pip install 'mainspring[objects]'") from error
        self.url, self._obstore = url, obstore
        made: dict[str, Any] = {"mkdir": True} if parts.scheme == "file" else {}
        if parts.scheme not in ("file", "memory"):
            made["retry_config"] = {"max_retries": retries}
        self._store = self._told(lambda: from_url(url, **made))

    def put(self, name: str, data: bytes) -> None:
        """Write one object, replacing what had that name."""
        self._told(lambda: self._obstore.put(self._store, name, data))

    def put_new(self, name: str, data: bytes) -> bool:
        """Write one object unless something has that name; of many writers one wins. Return whether it was this one."""
        taken = self._obstore.exceptions.AlreadyExistsError

        def write() -> bool:
            try:
                self._obstore.put(self._store, name, data, mode="create", use_multipart=False)
            except taken:
                return False
            return True

        return self._told(write)

    def put_file(self, name: str, path: Path) -> None:
        """Write a file's content as one object, part by part."""
        self._told(lambda: self._obstore.put(self._store, name, path))

    def get_file(self, name: str, path: Path) -> bool:
        """Write an object's bytes to a new file, part by part; False if there is no such object."""
        try:
            found = self._told(lambda: self._obstore.get(self._store, name))
        except FileNotFoundError:
            return False
        with path.open("xb") as stream:
            self._told(lambda: stream.writelines(bytes(part) for part in found.stream()))
        return True

    def get(self, name: str, limit: int) -> bytes | None:
        """Return one object's bytes, or None; refuse one of more than `limit` bytes before it is read."""
        try:
            found = self._told(lambda: self._obstore.get(self._store, name))
        except FileNotFoundError:
            return None
        if found.meta["size"] > limit:
            raise InvalidValue(
                f"{name} has {found.meta['size']} bytes; at most {limit} are read", fix="look at the store"
            )
        return bytes(self._told(found.bytes))

    def has(self, name: str) -> bool:
        """Tell whether an object is there."""
        try:
            self._told(lambda: self._obstore.head(self._store, name))
        except FileNotFoundError:
            return False
        return True

    def names(self, prefix: str) -> list[str]:
        """Return the names below a prefix, sorted."""
        return [name for name, _ in self.sizes(prefix)]

    def sizes(self, prefix: str) -> list[tuple[str, int]]:
        """Return (name, bytes) of the objects below a prefix, sorted."""
        pages = self._told(lambda: list(self._obstore.list(self._store, prefix)))
        return sorted((item["path"], item["size"]) for page in pages for item in page)

    def remove(self, name: str) -> None:
        """Remove one object; one that is not there is no error."""
        try:
            self._told(lambda: self._obstore.delete(self._store, name))
        except FileNotFoundError:
            return

    def _told(self, act: Callable[[], _T]) -> _T:
        try:
            return act()
        except (FileNotFoundError, MainspringError):
            raise
        except Exception as error:  # obstore's errors have a class of their own for each store
            reason = " ".join(str(error).split())[:200]
            raise StoreUnreachable(
                f"{_shown(self.url)}: {reason}", fix="check address, credentials, network"
            ) from error


def _shown(url: str) -> str:
    """Return an address without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"[:120]
