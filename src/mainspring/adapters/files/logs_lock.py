"""A lock that one process holds on a folder; it goes with the process, however that ends."""

import os
import sys
from pathlib import Path

from mainspring.kernel.errors import Conflict


class FolderLock:
    """Held from construction to `release`; raises `Conflict` when another process has it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(self._descriptor)
        except OSError as error:
            os.close(self._descriptor)
            raise Conflict(f"another process writes in {path.parent.name}/", fix="stop it, or wait for it") from error

    def release(self) -> None:
        """Let another process have the folder; safe to repeat."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
