"""Audit of skops files: a flat zip of one `schema.json` and plain arrays, nothing else, checked before skops sees it.

skops falls back to joblib for what is no zip and had ways around its type check (CVE-2024-37065, CVE-2025-54412,
CVE-2025-54886), so the container is held to its shape here and every type that it would construct is named; whoever
opens it allows types by name and no others.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

MAX_BYTES = 256 << 20
MAX_SCHEMA = 32 << 20
_MAX_ENTRIES = 50_000
_MAX_DEPTH = 200
_ARRAY = re.compile(r"[0-9]{1,32}\.npy")
_MAGIC = b"\x93NUMPY"
_OBJECTS = re.compile(rb"'descr': *(?:'[^']*O[^']*'|\[[^\]]*'[|<>=]?O[0-9]*')")
_HEADER = 512
SCHEMA = "schema.json"


class NotSkops(ValueError):
    """Why the bytes are no acceptable skops file."""


def walk(data: bytes) -> tuple[str, ...]:
    """Return every type that the file would construct, sorted; raise `NotSkops`. Nothing is constructed here."""
    return tuple(sorted(set(_types(_schema(_opened(data)), 0))))


def _opened(data: bytes) -> zipfile.ZipFile:
    if not data.startswith(b"PK\x03\x04") or len(data) > MAX_BYTES:
        raise NotSkops(f"no zip archive of at most {MAX_BYTES} bytes")
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        entries = archive.infolist()
        if len(entries) > _MAX_ENTRIES or sum(entry.file_size for entry in entries) > MAX_BYTES:
            raise NotSkops("more or larger files than a model has")
        names = [entry.filename for entry in entries]
        if len(set(names)) != len(names) or names.count(SCHEMA) != 1:
            raise NotSkops("a name stands twice, or schema.json not once")
        for entry in entries:
            if entry.filename != SCHEMA:
                _check_array(archive, entry)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        raise NotSkops(f"a damaged zip archive: {str(error)[:80]}") from None
    return archive


def _check_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    if not _ARRAY.fullmatch(entry.filename):
        raise NotSkops(f"a file called {entry.filename[:40]!r}")
    with archive.open(entry) as stream:
        head = stream.read(_HEADER)
    if not head.startswith(_MAGIC) or _OBJECTS.search(head):
        raise NotSkops(f"{entry.filename} is no plain array")


def _schema(archive: zipfile.ZipFile) -> Any:  # noqa: ANN401 - JSON is any of these
    if archive.getinfo(SCHEMA).file_size > MAX_SCHEMA:
        raise NotSkops(f"a schema.json of more than {MAX_SCHEMA} bytes")
    try:
        return json.loads(archive.read(SCHEMA).decode("utf-8"))
    except (ValueError, RecursionError, zipfile.BadZipFile) as error:
        raise NotSkops(f"schema.json is no JSON: {str(error)[:80]}") from None


def _types(node: Any, depth: int) -> Iterator[str]:  # noqa: ANN401 - JSON is any of these
    if depth > _MAX_DEPTH:
        raise NotSkops(f"schema.json nests deeper than {_MAX_DEPTH}")
    if isinstance(node, dict):
        if "__class__" in node:
            yield f"{node.get('__module__')}.{node['__class__']}"
        for value in node.values():
            yield from _types(value, depth + 1)
    elif isinstance(node, list):
        for value in node:
            yield from _types(value, depth + 1)
