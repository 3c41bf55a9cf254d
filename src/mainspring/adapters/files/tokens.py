"""API keys on disk: `<state>/tokens.json`, readable by its owner alone, replaced as a whole, at most 1 MB."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mainspring.adapters.files.logs_lock import FolderLock
from mainspring.kernel.errors import Conflict, Damaged
from mainspring.kernel.files import make_private, write_atomic
from mainspring.security.token_files import from_bytes, to_bytes
from mainspring.security.tokens import Token

_MAX_SIZE = 1 << 20
_TRIES, _PAUSE_S = 100, 0.02


class TokenFile:
    """Reads and changes one file of tokens. Two changes at a time take turns; a reader sees the old or the new."""

    def __init__(self, state: Path) -> None:
        self._path = state / "tokens.json"
        self._seen: tuple[int, int, int] | None = None
        self._tokens: tuple[Token, ...] | None = None

    def read(self) -> tuple[Token, ...] | None:
        """Return the tokens, or None where none was ever made; parsed again only when the file changed.

        Raises `Damaged` for a file that is too large, open to others' writing, or not what was written.
        """
        try:
            found = os.lstat(self._path)
        except FileNotFoundError:
            self._seen, self._tokens = None, None
            return None
        mark = (found.st_mtime_ns, found.st_size, found.st_ino)
        if mark != self._seen:
            self._tokens = self._parsed(found)
            self._seen = mark
        return self._tokens

    def change(self, act: Callable[[Sequence[Token]], tuple[Token, ...]]) -> tuple[Token, ...]:
        """Replace the tokens by `act` of them, and return them; `act` may run while nobody else changes the file."""
        lock = self._locked()
        try:
            changed = act(self.read() or ())
            write_atomic(self._path, to_bytes(changed))
        finally:
            lock.release()
        return changed

    def _parsed(self, found: os.stat_result) -> tuple[Token, ...]:
        if found.st_size > _MAX_SIZE:
            raise Damaged(f"{self._path.name} has {found.st_size} bytes", fix="restore it")
        if os.name == "posix" and (found.st_mode & 0o022 or found.st_mode & 0o170000 != 0o100000):
            raise Damaged(
                f"{self._path.name} is a link, or others may write it",
                fix=f"chmod 600 {self._path.name}, or restore it",
            )
        return from_bytes(self._path.read_bytes())

    def _locked(self) -> FolderLock:
        place = make_private(self._path.parent) / "tokens.lock"
        for _ in range(_TRIES):
            try:
                return FolderLock(place)
            except Conflict:
                time.sleep(_PAUSE_S)
        raise Conflict("another process changes the tokens", fix="wait for it, then try again")
