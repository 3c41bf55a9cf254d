"""One Redis: few connections, short patience, and a rest after failures, so that a dead Redis costs its callers little.

Errors of the client become `OnlineUnreachable` here and nowhere else. A password never stands in a message.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from mainspring.kernel.errors import InvalidValue, MainspringError

_PORT, _MOST_PORT = 6379, 65_535
_T = TypeVar("_T")


class RedisMissing(MainspringError):
    """Redis needs an extra that is not installed."""

    code = "redis.missing"


class OnlineUnreachable(MainspringError):
    """The online store did not answer in time, or not at all; it may later."""

    code = "online.unreachable"
    exit_code = 75


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a Redis is. secure: over TLS, its certificate and name checked. database: a number."""

    host: str
    port: int = _PORT
    database: int = 0
    secure: bool = False
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """The address without what is secret."""
        return f"{'rediss' if self.secure else 'redis'}://{self.host}:{self.port}/{self.database}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """What a caller bears. connections: at once, at most; one more waits `call_s` for one of them to be free.

    connect_s, call_s: seconds for a connection, for each answer. failures: so many in a row, and nobody asks for
    `rest_s`; then one does, and the others only once it was answered.
    """

    connect_s: float = 0.5
    call_s: float = 0.5
    connections: int = 8
    failures: int = 3
    rest_s: float = 1.0


class Breaker:
    """Refuses calls at once for a while after several failed. Threads share it."""

    def __init__(self, patience: Patience, now: Callable[[], float] = time.monotonic) -> None:
        self._patience, self._now, self._lock = patience, now, Lock()
        self._failed, self._until = 0, 0.0

    def enter(self) -> None:
        """Let a call in, or raise `OnlineUnreachable`."""
        with self._lock:
            if self._failed < self._patience.failures:
                return
            if self._now() < self._until:
                raise OnlineUnreachable("the online store failed several times", fix="try again in a moment")
            self._until = self._now() + self._patience.rest_s  # this one tries

    def left(self, *, failed: bool) -> None:
        """Count how a call ended."""
        with self._lock:
            self._failed = self._failed + 1 if failed else 0
            if failed:
                self._until = self._now() + self._patience.rest_s


class Client:
    """Runs commands and scripts. Threads share it; nothing is connected before the first call."""

    def __init__(self, place: Place, patience: Patience | None = None) -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.connection import BlockingConnectionPool, Connection, SSLConnection
            from redis.retry import Retry
        except ImportError as error:
            raise RedisMissing("features in Redis need redis-py", fix="pip install 'mainspring[redis]'") from error
        patience = patience or Patience()
        self._place, self._errors, self._breaker = place, redis.exceptions, Breaker(patience)
        pooled: Any = BlockingConnectionPool
        pool = pooled(
            max_connections=patience.connections, timeout=patience.call_s,
            connection_class=SSLConnection if place.secure else Connection,
            host=place.host, port=place.port, db=place.database, username=place.username or None,
            password=place.password or None, socket_connect_timeout=patience.connect_s, socket_timeout=patience.call_s,
            socket_keepalive=True, protocol=2,
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,)),  # a kept one had ended
        )  # fmt: skip
        self._redis: Any = redis.Redis(connection_pool=pool)
        self._scripts: dict[str, Any] = {}

    def close(self) -> None:
        """Close every connection."""
        self._redis.close()
        self._redis.connection_pool.disconnect()

    def run(self, script: str, root: str, arguments: Sequence[str | bytes | int]) -> Any:  # noqa: ANN401 - its answer
        """Run a Lua script, which Redis does as one step. root: its only key. Returns what the script returns."""
        known = self._scripts.get(script)
        if known is None:
            known = self._scripts[script] = self._redis.register_script(script)
        return self.told(lambda _: known(keys=[root], args=arguments))

    def do(self, *words: str | bytes | int) -> Any:  # noqa: ANN401 - its answer
        """Run one command and return its answer."""
        return self.told(lambda redis: redis.execute_command(*words))

    def told(self, call: Callable[[Any], _T]) -> _T:
        """Return what a call of the client gives; `OnlineUnreachable` where it gives nothing."""
        self._breaker.enter()
        try:
            found = call(self._redis)
        except (self._errors.ConnectionError, self._errors.TimeoutError, OSError) as error:
            self._breaker.left(failed=True)
            what = f"{self._place.shown} did not answer: {str(error)[:200]}"
            raise OnlineUnreachable(what, fix="see whether Redis runs and may be reached, then try again") from error
        except self._errors.RedisError as error:
            self._breaker.left(failed=False)
            what = f"{self._place.shown} refused: {str(error)[:200]}"
            raise OnlineUnreachable(what, fix="see Redis's rights, memory and role, then try again") from error
        self._breaker.left(failed=False)
        return found


def place_of(url: str, *, username: str = "", password: str = "") -> Place:
    """Return the Redis at `redis://` or `rediss://[user:password@]host[:port][/database]`.

    username, password: used where the address has none. An address that says more is refused: an option could turn
    the check of certificates off.
    """
    refused = InvalidValue(
        "this is not the address of a Redis", fix="write redis://host:port/database, or rediss:// for TLS"
    )
    try:
        parts = urlsplit(url)
        port, database = parts.port or _PORT, int(parts.path.removeprefix("/") or 0)
    except ValueError as error:
        raise refused from error
    more = parts.query or parts.fragment or not parts.hostname
    if parts.scheme not in ("redis", "rediss") or more or database < 0 or not 0 < port <= _MOST_PORT:
        raise refused
    return Place(
        host=parts.hostname or "", port=port, database=database, secure=parts.scheme == "rediss",
        username=unquote(parts.username or "") or username, password=unquote(parts.password or "") or password,
    )  # fmt: skip
