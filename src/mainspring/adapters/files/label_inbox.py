"""Posted labels as files: the server puts them in, a watch takes them out. Any number of both may run at once.

A file appears whole or not at all (written beside, flushed, then renamed), so there is no torn tail and no lock; its
name begins with its time, so files are taken in the order in which they came. Labels that wait while another file is
written go into one next file, so many small posts share a flush. The folder is bounded in files and in bytes.
"""

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mainspring.kernel.files import make_private, write_atomic
from mainspring.serve.errors import LabelsFull
from mainspring.serve.ports import PostedLabel

SUFFIX = ".labels"
_RECOUNT = 200
_FIX = "run mainspring watch, then post them again"


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxLimits:
    """How much may wait for a watch: files, and bytes."""

    files: int = 20_000
    size: int = 256 << 20


class LabelInbox:
    """Keeps posted labels in `folder`."""

    def __init__(self, folder: Path, limits: InboxLimits = InboxLimits()) -> None:
        self._folder, self._limits = folder, limits
        self._waiting: list[tuple[Sequence[PostedLabel], threading.Event]] = []
        self._queue, self._writing = threading.Lock(), threading.Lock()
        self._files = self._size = 0
        self._until_count = 0
        self._failed: dict[threading.Event, Exception] = {}

    def put(self, labels: Sequence[PostedLabel], /) -> None:
        """Return when the labels are on disk; raise `LabelsFull` when no more fit."""
        done = threading.Event()
        with self._queue:
            self._waiting.append((labels, done))
        with self._writing:
            if not done.is_set():
                with self._queue:
                    batch, self._waiting = self._waiting, []
                self._write(batch)
        failure = self._failed.pop(done, None)
        if failure is not None:
            raise failure

    def _write(self, batch: Sequence[tuple[Sequence[PostedLabel], threading.Event]]) -> None:
        rows = [label for labels, _ in batch for label in labels]
        data = b"".join(json.dumps(asdict(label), separators=(",", ":")).encode("ascii") + b"\n" for label in rows)
        try:
            self._check_room(len(data))
            self.write_file(rows[0].posted_at, data)
        except OSError as error:
            failure: Exception = LabelsFull(
                f"labels cannot be kept: {error.strerror}", fix="free space, then post again"
            )
            failure.__cause__ = error
            self._failed.update((done, failure) for _, done in batch)
        except LabelsFull as error:
            self._failed.update((done, error) for _, done in batch)
        for _, done in batch:
            done.set()

    def write_file(self, at: int, data: bytes) -> None:
        """Add one whole file; `at` (UTC microseconds) orders it."""
        write_atomic(self._folder / f"{at:020d}-{os.urandom(4).hex()}{SUFFIX}", data)

    def _check_room(self, size: int) -> None:
        if self._until_count <= 0:
            found = list(_files(make_private(self._folder)))
            self._files, self._size, self._until_count = (
                len(found),
                sum(item.stat().st_size for item in found),
                _RECOUNT,
            )
        self._files, self._size, self._until_count = self._files + 1, self._size + size, self._until_count - 1
        if self._files > self._limits.files or self._size > self._limits.size:
            self._files, self._size, self._until_count = self._files - 1, self._size - size, 0
            raise LabelsFull("posted labels wait for a watch, and no more fit", fix=_FIX)

    def batches(self) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
        """Yield (name, labels as mappings) of every file, oldest first; a line that cannot be read is an empty one."""
        for path in sorted(_files(self._folder)):
            with suppress(FileNotFoundError):  # another watch was first
                yield path.name, [_object(line) for line in path.read_bytes().splitlines()]

    def finish(self, name: str, again: Sequence[Mapping[str, Any]] = ()) -> None:
        """Remove a file whose labels were taken in; labels of `again` are kept for the next time."""
        if again:
            data = b"".join(json.dumps(dict(row), separators=(",", ":")).encode("ascii") + b"\n" for row in again)
            self.write_file(int(name[:20]), data)
        (self._folder / name).unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob(f"*{SUFFIX}") if path.name[:1].isdigit())


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
