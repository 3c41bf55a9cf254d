"""Canonical JSON and SHA-256 digests: the identity of everything that is stored.

A digest reads `sha256:<64 hex>`. Canonical JSON has sorted keys, no spaces, UTF-8, floats as their `repr` strings
and refuses NaN, so equal content has equal bytes on every machine.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import IO, Any

from mainspring.kernel.errors import InvalidValue

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHUNK = 1 << 20


def canonical_json(value: object) -> bytes:
    """Return the canonical bytes of a JSON-like value (mappings, sequences, str, int, float, bool, None)."""
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def digest_bytes(data: bytes) -> str:
    """Return the digest of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_of(value: object) -> str:
    """Return the digest of a JSON-like value's canonical bytes."""
    return digest_bytes(canonical_json(value))


def digest_stream(stream: IO[bytes]) -> str:
    """Return the digest of what is left to read in `stream`, in constant memory."""
    seen = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        seen.update(chunk)
    return "sha256:" + seen.hexdigest()


def digest_file(path: Path) -> str:
    """Return the digest of a file's bytes."""
    with path.open("rb") as stream:
        return digest_stream(stream)


def checked_digest(text: str) -> str:
    """Return `text` if it is a digest, else raise `InvalidValue`."""
    if not _DIGEST.fullmatch(text):
        raise InvalidValue(f"{text[:100]!r} is not a digest", fix="a digest reads sha256: and 64 lower-case hex digits")
    return text


def hex_of(digest: str) -> str:
    """Return the 64 hex digits of a digest."""
    return checked_digest(digest).removeprefix("sha256:")


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON is any of these
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidValue(f"{value} has no canonical form", fix="store null for a missing number")
        return float.__repr__(value)  # numpy's own repr names its type
    if value is None or isinstance(value, str | int):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    raise InvalidValue(f"{type(value).__name__} has no canonical form", fix="use plain JSON values")
