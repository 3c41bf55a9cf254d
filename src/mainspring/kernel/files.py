"""Writing files so that a reader sees the old content or the new, never half of either."""

import os
import sys
import time
from pathlib import Path
from uuid import uuid4

from mainspring.kernel.failpoints import hit

_TRIES = 20


def make_private(folder: Path) -> Path:
    """Create `folder` (and parents) readable by its owner alone; return it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def write_atomic(path: Path, data: bytes, *, private: bool = True, durable: bool = True) -> None:
    """Write `data` beside `path`, flush it to disk, then put it in place in one step.

    `durable=False` skips the flush: for files that can be made again.
    """
    if private:
        make_private(path.parent)
    beside = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(beside, flags, 0o600 if private else 0o644)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        hit("file.replace")
        replace(beside, path)
        if durable:
            _flush_folder(path.parent)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut; Windows has no such call and needs none."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def replace(source: Path, target: Path) -> None:
    """Move `source` over `target`. Windows refuses while a reader has it open: try for a moment."""
    for attempt in range(_TRIES):
        try:
            source.replace(target)
        except PermissionError:
            if attempt == _TRIES - 1:
                raise
            time.sleep(0.01 * (attempt + 1))
        else:
            return
