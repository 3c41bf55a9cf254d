"""Who is let in on a port: API keys, read again beside traffic, and one scrape token for metrics."""

import hashlib
import hmac
import logging
from collections import Counter
from typing import Protocol

from mainspring.entry.inference.routes import Policy
from mainspring.kernel.errors import MainspringError
from mainspring.kernel.times import Clock
from mainspring.security.tokens import Role, Token, TokenBook
from mainspring.serve.errors import Denied, ExpiredKey, Unauthorised, UnknownKey

_SCHEME = b"bearer "
_FIX = "send Authorization: Bearer SECRET; mainspring tokens create makes one"
_log = logging.getLogger("mainspring.inference")


class TokenSource(Protocol):
    """Where tokens are kept; `adapters.files.tokens` is one."""

    def read(self) -> tuple[Token, ...] | None:
        """Return the tokens, or None where none was ever made; the same object while nothing changed."""


class NoTokens:
    """A source without tokens."""

    def read(self) -> tuple[Token, ...] | None:
        """Return None."""
        return None


class KeyRing:
    """The tokens as last read. Once there were any, keys are asked for until the process ends.

    clock: real time, for expiry. failure: why the last reading failed, or ""; then the tokens before it count on.
    """

    def __init__(self, source: TokenSource, clock: Clock) -> None:
        self._source, self.clock = source, clock
        self._seen: tuple[Token, ...] | None = None
        self.book, self.exists, self.failure = TokenBook(), False, ""
        self._read()

    def look(self) -> None:
        """Read the tokens again; what cannot be read changes nothing and is reported."""
        try:
            self._read()
        except (MainspringError, OSError) as error:
            if not self.failure:
                _log.error("the tokens could not be read again: %s", error)
            self.failure = f"{type(error).__name__}: {error}"[:200]
        else:
            self.failure = ""

    def holds(self, role: Role) -> bool:
        """Tell whether any token that counts now has the role."""
        return self.book.holds(role, self.clock.now())

    def _read(self) -> None:
        found = self._source.read()
        if found is not self._seen:
            self.book, self._seen = TokenBook(found or ()), found
            self.exists = self.exists or found is not None


class Gate:
    """Lets requests in on one port.

    always: ask for a key whatever the ring holds, as on an address that others reach. never: ask for none, as on the
    loopback address of this machine's own tools, unless a scrape token is set. scrape: SHA-256 of a secret that
    opens `metrics` alone, or None. failures: refusals by code.
    """

    def __init__(
        self, ring: KeyRing, *, always: bool = False, never: bool = False, scrape: bytes | None = None
    ) -> None:
        self.ring, self._always, self._never, self._scrape = ring, always, never, scrape
        self.failures: Counter[str] = Counter()

    @property
    def asks(self) -> bool:
        """Tell whether a key is needed."""
        return self._always or self._scrape is not None or (self.ring.exists and not self._never)

    def check(self, policy: Policy, presented: bytes | None, model: str = "") -> Token | None:
        """Return whose key it is, None where none is needed; raise `Unauthorised` (401) or `Denied` (403).

        presented: the Authorization header. model: the model that is asked, "" for none.
        """
        if policy == "open" or not self.asks:
            return None
        try:
            return self._checked(policy, presented, model)
        except (Unauthorised, Denied) as error:
            self.failures[error.code] += 1
            raise

    def _checked(self, role: Role, presented: bytes | None, model: str) -> Token | None:
        if presented is None or presented[:7].lower() != _SCHEME:
            raise Unauthorised("this needs an API key", fix=_FIX)
        secret = presented[7:]
        scrape = self._scrape if role == "metrics" else None
        if scrape is not None and hmac.compare_digest(hashlib.sha256(secret).digest(), scrape):
            return None
        verdict, token = self.ring.book.judge(secret, self.ring.clock.now())
        if verdict == "expired":
            raise ExpiredKey("the API key has expired", fix="make a new one: mainspring tokens create")
        if verdict != "good" or token is None:
            raise UnknownKey("the API key does not count here", fix=_FIX)
        if not token.allows(role, model):
            raise Denied(f"the API key may not {role} here", fix="use a key with that role and model")
        return token


def scrape_digest(secret: str) -> bytes:
    """Return what `Gate` keeps of a scrape token."""
    return hashlib.sha256(secret.encode("utf-8")).digest()
