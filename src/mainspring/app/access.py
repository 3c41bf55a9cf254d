"""Wiring of API keys as people use them."""

import os
from dataclasses import dataclass
from pathlib import Path

from mainspring.adapters.files.tokens import TokenFile
from mainspring.app.clock import SystemClock
from mainspring.app.paths import Paths
from mainspring.security.tokens import RANDOM_BYTES, Token, Wanted, issue, pruned, revoked, with_token


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A new token and its secret, which is shown once and kept nowhere."""

    secret: str
    token: Token


class TokenDesk:
    """Makes, lists and revokes the API keys of the project in `root`. A running server follows within a second."""

    def __init__(self, root: Path) -> None:
        self._file, self._clock = TokenFile(Paths.of(root).state), SystemClock()

    def now(self) -> int:
        """Return UTC microseconds."""
        return self._clock.now()

    def create(self, wanted: Wanted) -> Issued:
        """Make a token."""
        secret, token = issue(wanted, random=os.urandom(RANDOM_BYTES), now=self.now())
        self._file.change(lambda tokens: with_token(tokens, token))
        return Issued(secret=secret, token=token)

    def tokens(self) -> tuple[Token, ...]:
        """Return every token, oldest first."""
        return self._file.read() or ()

    def revoke(self, which: str) -> Token:
        """Revoke the token of that id or name; return it."""
        found = self._file.change(lambda tokens: revoked(tokens, which, self.now()))
        return next(item for item in reversed(found) if which in (item.id, item.name) and item.revoked_at)

    def prune(self) -> int:
        """Forget revoked and expired tokens; return how many."""
        before = len(self.tokens())
        return before - len(self._file.change(lambda tokens: pruned(tokens, self.now())))
