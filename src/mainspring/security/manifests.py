"""What a model is made of: a sorted list of file names, digests and sizes, and the one digest of that list.

The digest of the manifest is the model's identity; file names are part of it. Names are checked here once, so that
no name out of a bundle or a request can leave the folder it belongs to.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mainspring.kernel.digests import checked_digest, digest_bytes, digest_of
from mainspring.kernel.errors import Refused

MANIFEST_SCHEMA = 1
_MAX_FILES = 1_000
_MAX_NAME = 255
_FORBIDDEN = set('\\:*?"<>|')


class InvalidManifest(Refused):
    """A manifest names no files, a file twice, or a file outside the model's folder."""

    code = "manifest.invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file: its relative path with `/`, the digest of its bytes, and its size in bytes."""

    path: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The files of one model, sorted by path."""

    entries: tuple[FileEntry, ...]

    def __post_init__(self) -> None:
        check_names(entry.path for entry in self.entries)
        names = [entry.path for entry in self.entries]
        if names != sorted(names):
            raise _invalid("the files are not sorted by name")
        for entry in self.entries:
            checked_digest(entry.digest)

    @property
    def digest(self) -> str:
        """The model's identity: the digest of names, digests and sizes."""
        files = [{"path": entry.path, "digest": entry.digest, "size": entry.size} for entry in self.entries]
        return digest_of({"schema": MANIFEST_SCHEMA, "files": files})


def manifest_of(files: Mapping[str, bytes]) -> Manifest:
    """Return the manifest of named bytes."""
    entries = (FileEntry(path=path, digest=digest_bytes(files[path]), size=len(files[path])) for path in sorted(files))
    return Manifest(entries=tuple(entries))


def check_names(names: Iterable[str]) -> None:
    """Refuse an empty list, duplicates (also those that differ only by case or accents' form) and unsafe names."""
    seen: set[str] = set()
    for name in names:
        check_name(name)
        folded = unicodedata.normalize("NFKC", name).casefold()
        if folded in seen:
            raise _invalid(f"{name!r} is named twice")
        seen.add(folded)
    if not seen:
        raise _invalid("no file is named")
    if len(seen) > _MAX_FILES:
        raise _invalid(f"{len(seen)} files are named; at most {_MAX_FILES} are allowed")


def check_name(name: str) -> str:
    """Return `name` if it is a plain relative path that stays inside its folder on every system."""
    if not name or len(name) > _MAX_NAME:
        raise _invalid(f"a file name of {len(name)} characters cannot be")
    unsafe = any(char in _FORBIDDEN or unicodedata.category(char).startswith("C") for char in name)
    parts = name.split("/")
    if unsafe or any(part in ("", ".", "..") or part.endswith((" ", ".")) for part in parts):
        raise _invalid(f"{name[:80]!r} is not a plain relative file name")
    return name


def _invalid(what: str) -> InvalidManifest:
    return InvalidManifest(what, fix="a model is a folder of plain files; register it again")
