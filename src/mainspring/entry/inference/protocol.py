"""Connection limits that the HTTP library lacks: size and time of the head, time of the body, time to read an answer.

One sweep a second looks at every connection, so a request itself pays for a few attribute writes only. `fast` answers
whole predictions on top of this.
"""

import asyncio
import contextlib
import socket
import time
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT = 65_536
HEADER_COUNT = 200
CONNECTIONS = 10_000
FIRST_WORD_S = 1.0
_REFUSED = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
_TOO_LARGE = (
    431,
    b"Request Header Fields Too Large",
    b'{"error":"the request head is too large","code":"request.head","fix":"send fewer or shorter headers"}',
)
_TOO_SLOW = (
    408,
    b"Request Timeout",
    b'{"error":"the request did not arrive in time","code":"request.timeout","fix":"send it without a pause"}',
)
_NOT_HTTP = (
    400,
    b"Bad Request",
    b'{"error":"not an HTTP/1.1 request","code":"request.http","fix":"send HTTP/1.1"}',
)
_TOO_MANY = (
    503,
    b"Service Unavailable",
    b'{"error":"there are too many connections","code":"limit.connections","fix":"keep connections, and try later"}',
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds that a client has: for a request's head, its body, to read what waits for it, and between requests."""

    head_s: float = 10.0
    body_s: float = 30.0
    write_s: float = 30.0
    idle_s: float = 75.0


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a bounded head and deadlines.

    waiting_since: when the first byte of an unfinished request came (monotonic seconds), or 0 between requests.
    idle_since: when an answer was written in place, or 0 while uvicorn's own timer runs.
    """

    waiting_since = 0.0
    paused_since = 0.0
    idle_since = 0.0
    _head_size = _chunk = 0
    _in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the head's deadline with the connection; refuse one too many."""
        super().connection_made(transport)
        opened = transport.get_extra_info("socket")
        if opened is not None:  # a listener handed on by a parent may not have it, and then answers wait for 40 ms
            with contextlib.suppress(OSError):
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.waiting_since = time.monotonic()
        if len(self.connections) > CONNECTIONS:
            self.refuse(_TOO_MANY)

    def data_received(self, data: bytes) -> None:
        """Count head bytes before the parser keeps them."""
        self._chunk = len(data)
        if not self._in_body:
            if self._head_size == 0:
                self.waiting_since = time.monotonic()
            self._head_size += self._chunk
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.refuse(_NOT_HTTP)
        except httptools.HttpParserUpgrade:
            pass  # no protocol is offered to change to; the request is answered as it is
        if not self._in_body and self._head_size > HEAD_LIMIT:
            self.refuse(_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Refuse a large head; start the body's deadline."""
        if len(self.headers) > HEADER_COUNT or (self._head_size + self._chunk > HEAD_LIMIT and self._head_too_large()):
            self.refuse(_TOO_LARGE)
            raise ValueError("head too large")  # stops the parser; nobody above sees it
        self._in_body, self._head_size, self.idle_since = True, 0, 0.0
        self.take_head()

    def _head_too_large(self) -> bool:
        """Tell exactly: the count of bytes may hold the end of another request."""
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_LIMIT

    def take_head(self) -> None:
        """Begin the request whose head is complete."""
        self.waiting_since = time.monotonic()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the deadlines: the answer's time is the server's own."""
        self._in_body, self.waiting_since = False, 0.0
        self.take_message()

    def take_message(self) -> None:
        """Go on with the request whose body is complete."""
        super().on_message_complete()

    def shutdown(self) -> None:
        """Close between two requests; who has just come and asked nothing yet has a moment to ask."""
        if self.cycle is None and self.waiting_since and time.monotonic() - self.waiting_since < FIRST_WORD_S:
            self.loop.call_later(FIRST_WORD_S, self._shut)
        else:
            super().shutdown()

    def _shut(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def refuse(self, how: tuple[int, bytes, bytes]) -> None:
        """Answer if nothing was answered yet, and close."""
        if not self.transport.is_closing():
            if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
                status, phrase, body = how
                self.transport.write(_REFUSED % (status, phrase, len(body), body))
            self.transport.close()

    def sweep(self, now: float, deadlines: Deadlines) -> None:
        """Close what is too slow; `now` is monotonic seconds."""
        if self.flow is not None and self.flow.write_paused:
            self.paused_since = self.paused_since or now
            if now - self.paused_since > deadlines.write_s:
                self.transport.abort()
            return
        self.paused_since = 0.0
        limit = deadlines.body_s if self._in_body else deadlines.head_s
        if self.waiting_since and now - self.waiting_since > limit:
            self.refuse(_TOO_SLOW)
        elif not self.waiting_since and self.idle_since and now - self.idle_since > deadlines.idle_s:
            self.transport.close()


async def sweep_forever(connections: set[Any], deadlines: Deadlines, every_s: float = 1.0) -> None:
    """Sweep the server's connections until cancelled."""
    while True:
        await asyncio.sleep(every_s)
        now = time.monotonic()
        for connection in list(connections):
            if isinstance(connection, BoundedProtocol):
                connection.sweep(now, deadlines)
