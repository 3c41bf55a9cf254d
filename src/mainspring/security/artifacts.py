"""Which files a model may hold: ONNX that reaches nothing outside itself, strict JSON, and skops files. No others.

An allow-list by content: the name only says what to expect, the bytes must be that. Scanners that look for bad
things lose (picklescan's history); a file that is neither format is refused whatever it claims.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from mainspring.kernel.errors import Refused
from mainspring.security import skops_files
from mainspring.security.onnx_wire import Malformed, walk

MAX_ONNX = 500 << 20
MAX_JSON = 16 << 20
_MAX_JSON_DEPTH = 64

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a numpy file"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"#!", "a script"),
    (b"PAR1", "a Parquet file"),
)
_ONE_FILE = "export it with its weights inside: torch.onnx.export(..., external_data=False)"
_PICKLE = re.compile(rb"\x80[\x02-\x05]|\(|[cd][A-Za-z_][\w.]*\n")
_OPENERS = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)


class ArtifactRefused(Refused):
    """A file of a model is not in a format that may be parsed."""

    code = "artifact.refused"


def audit(name: str, data: bytes) -> None:
    """Raise `ArtifactRefused` unless the bytes are what a model may hold. Nothing is executed or constructed."""
    suffix = name.rpartition(".")[2] if "." in name else ""
    check = _CHECKS.get(suffix)
    if check is None:
        raise _refused(name, f"is {_kind(data)} called {name[-40:]!r}; only .onnx, .skops and .json are accepted")
    if not data:
        raise _refused(name, "is empty")
    check(name, data)


def _audit_onnx(name: str, data: bytes) -> None:
    if len(data) > MAX_ONNX:
        raise _refused(name, f"has {len(data)} bytes; at most {MAX_ONNX} are accepted")
    try:
        walk(data)
    except Malformed as reason:
        known = _kind(data)
        why = f"is {known}" if known != "no known format" else f"is not acceptable ONNX: {reason}"
        if "another file" in why:
            raise ArtifactRefused(f"{name[:80]!r} {why}", fix=_ONE_FILE) from None
        raise _refused(name, why) from None


def _audit_json(name: str, data: bytes) -> None:
    strict_json(name, data)


def strict_json(name: str, data: bytes) -> Any:  # noqa: ANN401 - JSON is any of these
    """Return the value of strict JSON: UTF-8, no duplicate keys, no NaN or infinity, bounded size and depth."""
    if len(data) > MAX_JSON:
        raise _refused(name, f"has {len(data)} bytes; at most {MAX_JSON} are accepted")
    if _depth(data) > _MAX_JSON_DEPTH:
        raise _refused(name, f"nests deeper than {_MAX_JSON_DEPTH}")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise _refused(name, f"is {_kind(data)}, not UTF-8 JSON") from None
    except (ValueError, RecursionError) as error:
        raise _refused(name, f"is not strict JSON: {str(error)[:80]}") from None


def _depth(data: bytes) -> int:
    """Return the deepest nesting, strings skipped, without parsing; 0 where it cannot matter."""
    if data.count(b"[") + data.count(b"{") <= _MAX_JSON_DEPTH:
        return 0
    deepest = depth = 0
    for found in _OPENERS.finditer(data):
        token = found[0]
        if token in (b"[", b"{"):
            depth += 1
            deepest = max(deepest, depth)
        elif token in (b"]", b"}"):
            depth -= 1
    return deepest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number")


def _kind(data: bytes) -> str:
    for magic, what in _MAGIC:
        if data.startswith(magic):
            return what
    if data[257:262] == b"ustar":
        return "a tar archive"
    if _PICKLE.match(data) and data.rstrip()[-1:] == b".":
        return "a pickle"
    return "no known format"


def _refused(name: str, what: str) -> ArtifactRefused:
    return ArtifactRefused(
        f"{name[:80]!r} {what}", fix="export the model to ONNX; pickles and archives are never loaded"
    )


def _audit_skops(name: str, data: bytes) -> None:
    try:
        skops_files.walk(data)
    except skops_files.NotSkops as reason:
        raise _refused(name, f"is {_kind(data)}, not an acceptable skops file: {reason}") from None


_CHECKS: dict[str, Callable[[str, bytes], None]] = {
    "onnx": _audit_onnx, "json": _audit_json, "skops": _audit_skops,
}  # fmt: skip
