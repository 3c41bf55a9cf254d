"""The file behind a source: where it is, whether it is what its name says, and what identifies its bytes."""

import csv
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mainspring.data.expectations import DataRefused, Finding, SourceMissing, shown
from mainspring.data.views import Source
from mainspring.kernel.digests import digest_bytes, digest_file
from mainspring.kernel.files import write_atomic

FORMATS = (".csv", ".parquet")
MAX_COLUMNS = 2_000
MAX_NAME = 200
MAX_FOOTER = 32 << 20
MAX_LINE = 1 << 20
_MAGIC = b"PAR1"
_SETTLED_NS = 2_000_000_000
_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """What the file system says of a file; any change of content changes it, or else happens within its clock tick."""

    size: int
    mtime: int
    ctime: int
    inode: int


def refused(source: Source, what: str, fix: str, **where: str | int) -> DataRefused:
    """Return the error of one fault of a source."""
    return DataRefused([Finding(source=source.name, what=what, fix=fix, **where)])  # type: ignore[arg-type]


def locate(root: Path, source: Source) -> Path:
    """Return the path of a source's file, inside `root`; `SourceMissing` or `DataRefused` otherwise."""
    path = (root / source.uri).resolve()
    if path.suffix.lower() not in FORMATS:
        raise refused(source, f"{source.uri} is neither .csv nor .parquet", "write the table as Parquet or CSV")
    if not path.is_relative_to(root.resolve()):
        raise refused(source, f"{source.uri} leads out of the project", "keep data inside the project folder")
    if not path.is_file():
        raise SourceMissing(
            f"{source.name}: there is no file {source.uri}", fix="correct `uri`, or write the file first"
        )
    if not os.access(path, os.R_OK):
        raise SourceMissing(f"{source.name}: {source.uri} may not be read", fix="change the file's permissions")
    return path


def state(path: Path) -> FileState:
    """Return the file's present state."""
    seen = path.stat()
    return FileState(size=seen.st_size, mtime=seen.st_mtime_ns, ctime=seen.st_ctime_ns, inode=seen.st_ino)


def fingerprint(path: Path, cache: Path | None) -> str:
    """Return the digest of the file's bytes, remembered in `cache` for a file that has been at rest for 2 seconds.

    A file changed within the clock tick of the look at it cannot be told apart (git calls it racy): it is read again.
    """
    if cache is None:
        return digest_file(path)
    entry = cache / f"{digest_bytes(str(path).encode()).removeprefix('sha256:')[:32]}.json"
    seen = state(path)
    known = [seen.size, seen.mtime, seen.ctime, seen.inode]
    if remembered := _remembered(entry, known, max(seen.mtime, seen.ctime)):
        return remembered
    digest = digest_file(path)
    if state(path) == seen:
        write_atomic(entry, json.dumps({"state": known, "digest": digest}).encode(), durable=False)
    return digest


def _remembered(entry: Path, known: list[int], changed: int) -> str:
    """Return the digest remembered for a file in this state, or "" to look again."""
    try:
        raw = json.loads(entry.read_bytes())
        at_rest = changed + _SETTLED_NS < entry.stat().st_mtime_ns
        return str(raw["digest"]) if at_rest and raw["state"] == known else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def check_parquet(source: Source, path: Path) -> None:
    """Refuse a file that does not begin and end as Parquet does."""
    with path.open("rb") as stream:
        head = stream.read(4)
        if not head:
            raise refused(source, f"{source.uri} is empty (0 bytes)", "write the table again")
        if head != _MAGIC:
            raise refused(
                source, f"{source.uri} is not Parquet (it begins {head!r})", "correct `uri` or the file's ending"
            )
        stream.seek(-4, os.SEEK_END)
        if stream.tell() < len(_MAGIC) or stream.read(4) != _MAGIC:
            raise refused(source, f"{source.uri} is cut off: its footer is missing", "copy or write the file again")
        size = stream.seek(-2 * len(_MAGIC), os.SEEK_END)
        footer = int.from_bytes(stream.read(4), "little")
        if footer > size:
            raise refused(source, f"{source.uri} is cut off: it is shorter than its footer", "write the file again")
        if footer > MAX_FOOTER:
            raise refused(
                source, f"a footer of {footer:,} bytes: too many row groups or columns",
                "write the file with row groups of 100,000 rows",
            )  # fmt: skip


def check_csv(source: Source, path: Path) -> list[str]:
    """Return the header's names; refuse an empty file, NUL bytes, another encoding or separator."""
    _refuse_nul(source, path)
    with path.open("rb") as stream:
        start = stream.read(MAX_LINE)
    if not start.strip():
        raise refused(source, f"{source.uri} is empty ({path.stat().st_size} bytes)", "write the table again")
    if start.startswith(_MAGIC):
        raise refused(source, f"{source.uri} is Parquet, not CSV", "end its name in .parquet")
    try:
        lines = start.decode("utf-8-sig", errors="strict" if len(start) < MAX_LINE else "ignore").splitlines()
        names = next(csv.reader(lines, strict=True))
    except UnicodeDecodeError as error:
        line = start[: error.start].count(b"\n") + 1
        raise refused(source, f"line {line} is not UTF-8", "save the file as UTF-8") from error
    except (csv.Error, StopIteration) as error:
        raise refused(
            source, f"the header cannot be read: {error}", "write one line of names, comma-separated"
        ) from error
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        mark = next(mark for mark in ";\t|" if mark in names[0])
        raise refused(
            source, f"the columns are separated by {mark!r}, not by commas",
            "write comma-separated columns and points in decimals",
        )  # fmt: skip
    return names


def check_names(source: Source, names: list[str]) -> None:
    """Refuse too many columns, unusable names, and names that are equal but for capitals."""
    if len(names) > MAX_COLUMNS:
        raise refused(source, f"{len(names):,} columns, more than {MAX_COLUMNS:,}", "keep only the columns you use")
    odd = [name for name in names if not name.strip() or len(name) > MAX_NAME or not name.isprintable()]
    if odd:
        place = names.index(odd[0]) + 1
        raise refused(
            source, f"column {place} cannot be named {shown(odd[0])!r}", "give every column a short, printable name"
        )
    counts = Counter(name.lower() for name in names)
    twice = [name for name in names if counts[name.lower()] > 1]
    if twice:
        fix = "rename or remove one (capitals make no difference)"
        raise refused(source, f"{counts[twice[0].lower()]} columns are called {twice[0]!r}", fix, column=twice[0])


def _refuse_nul(source: Source, path: Path) -> None:
    line = 1
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            if line == 1 and chunk[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise refused(source, f"{source.uri} is UTF-16", "save the file as UTF-8")
            at = chunk.find(b"\0")
            if at >= 0:
                line += chunk.count(b"\n", 0, at)
                raise refused(
                    source, f"line {line} holds a NUL byte", "remove it; is this a text file?", row=max(0, line - 1)
                )
            line += chunk.count(b"\n")
