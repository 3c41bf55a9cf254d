"""The fast path: a whole small prediction of a fast model is answered where its last byte was parsed.

No scope, no task, no ASGI messages. It is as safe as the slow path because it takes up only what is plain (a known
target, HTTP/1.1, a length, nothing before it unanswered, the client reading) and leaves everything else to it: chunked
and large bodies, `Expect`, upgrades, doubled headers, pipelined requests behind a slow one, slow models.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from mainspring.entry.inference.bodies import answer_headers, closes, refusal
from mainspring.entry.inference.desk import Desk, Entry, Target, target_of
from mainspring.entry.inference.heads import Header
from mainspring.entry.inference.known import END, KnownHeads
from mainspring.entry.inference.protocol import BoundedProtocol
from mainspring.entry.inference.routed import ENTRY, SELDON
from mainspring.entry.inference.routes import RouteTable
from mainspring.serve.errors import RequestRefused
from mainspring.serve.inference import INLINE_BYTES, MustWait, Reply
from mainspring.serve.questions import Encoded
from mainspring.serve.quick import Quick
from mainspring.serve.quick_rows import Answered

_MOST_TARGETS = 1_000
_MOST_HEADS = 100
_UNUSUAL = (b"expect", b"transfer-encoding", b"upgrade", b"content-encoding")
_NO, _BODY, _DISCARD = 0, 1, 2
_BINARY, _LENGTH = "application/octet-stream", b"inference-header-content-length: "
_STAYS, _CLOSES = b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"


class FastLane:
    """What the connections of one port share: known targets, and head bytes made beforehand."""

    def __init__(self, desk: Desk, table: RouteTable) -> None:
        self.desk, self._table = desk, table
        self._targets: dict[bytes, Target | None] = {}
        self._heads: dict[tuple[str, int, str, int | None], bytes] = {}
        self._dated: tuple[object, bytes] = (None, b"")
        self._quick: Quick | None = None
        self._quick_lines = self._binary_lines = b""
        self.heads = KnownHeads(desk)

    def target(self, url: bytes) -> Target | None:
        """Return what a POST to `url` asks for, if it is a prediction of a fast model; None for everything else."""
        found = self._targets.get(url)
        if found is None:
            found = self._looked_up(url)
        return found

    def head(self, reply: Reply, default: list[Header]) -> bytes:
        """Return status line and headers of an answer, up to its length's value."""
        encoded = reply.encoded
        key = (reply.release, reply.version, encoded.content_type, encoded.header_length)
        known = self._heads.get(key)
        if known is None:
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            known = self._heads[key] = lines(answer_headers(reply)) + b"content-length: "
        return self._begun(default) + known

    def quickly(self, quick: Quick, answered: Answered, end: bytes, default: list[Header]) -> bytes:
        """Return the whole answer to what was answered by the short way."""
        if quick is not self._quick:
            reply = Reply(Encoded(b""), quick.release, quick.number, "", 1)
            binary = Reply(Encoded(b"", _BINARY), quick.release, quick.number, "", 1)
            self._quick, self._quick_lines = quick, lines(answer_headers(reply))
            self._binary_lines = lines(answer_headers(binary)) + _LENGTH
        json, answer = answered
        if json is None:
            known, length = self._quick_lines, b"content-length: %d" % len(answer)
        else:
            known, length = self._binary_lines, b"%d\r\ncontent-length: %d" % (json, len(answer))
        return b"".join((self._begun(default), known, length, end, answer))

    def refused(self, error: RequestRefused, default: list[Header]) -> bytes:
        """Return a whole refusal."""
        headers, body = refusal(error)
        headers.append((b"content-length", b"%d" % len(body)))
        return b"".join((STATUS_LINE[error.status], lines(default), lines(headers), b"\r\n", body))

    def _looked_up(self, url: bytes) -> Target | None:
        try:
            route, places = self._table.find("POST", url)
        except RequestRefused:
            return None
        if not route.handler.startswith("predict.") or route.handler in SELDON:
            return None
        target = target_of(route, places)
        if len(self._targets) < _MOST_TARGETS:
            self._targets[url] = target
        return target

    def _begun(self, default: list[Header]) -> bytes:
        """Return the status line of an answer and uvicorn's own headers."""
        seen, text = self._dated
        if default is not seen:  # uvicorn makes a new list every second
            text = STATUS_LINE[200] + lines(default)
            self._dated = (default, text)
        return text


class FastProtocol(BoundedProtocol):
    """A connection of the public port.

    _between: nothing of a request is under way: none came yet, or the last one was answered here. _learned: what let
    in the request that was just answered by the short way, or None.
    """

    _between = True
    _learned: tuple[Entry, Quick] | None = None

    def __init__(
        self, lane: FastLane, config: Config, server_state: ServerState, app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:  # fmt: skip
        super().__init__(config, server_state, app_state, _loop)
        self._lane = lane
        self._fast = _NO
        self._entry: Entry | None = None
        self._parts: list[bytes] = []
        self._last = False

    def data_received(self, data: bytes) -> None:
        """Answer at once what comes whole and begins with a known head; parse everything else."""
        if not self._between or self.flow.write_paused:
            super().data_received(data)
            return
        cut = data.find(END) + len(END)
        lane, default = self._lane, self.server_state.default_headers
        known = lane.heads.found(data[:cut], len(data) - cut)
        answered = None if known is None else known.quick.answers(data, cut, known.json)
        if known is not None and answered is not None:
            self.waiting_since, self.idle_since = 0.0, time.monotonic()
            self.transport.write(lane.quickly(known.quick, answered, _STAYS, default))
            return
        super().data_received(data)
        if self._learned is not None:
            lane.heads.learn(data[:cut], len(data) - cut, dict(self.headers), *self._learned)
            self._learned = None

    def on_message_begin(self) -> None:
        """Keep what both paths need; the slow one makes its scope later."""
        self._between = False
        self.url, self.headers, self.expect_100_continue, self._fast = b"", [], False, _NO

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self.headers.append((name.lower(), value))

    def take_head(self) -> None:
        """Let the request in on the fast path, or leave it to the slow one."""
        if self.transport.is_closing():  # pipelined behind the last answer
            self._fast = _DISCARD
            return
        target = self._lane.target(self.url)
        if target is None or not self._taken(target):
            self._leave(None)

    def _leave(self, entry: Entry | None) -> None:
        """Leave a request to the slow path. entry: of one that was let in already, or None."""
        url, headers = self.url, self.headers
        HttpToolsProtocol.on_message_begin(self)
        self.url, self.headers, self.scope["headers"] = url, headers, headers
        if entry is not None:
            cast(dict[str, Any], self.scope)[ENTRY] = entry
        self.expect_100_continue = any(n == b"expect" and v.lower() == b"100-continue" for n, v in headers)
        super().take_head()

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body; its length was checked with the head."""
        if self._fast == _NO:
            super().on_body(body)
        elif self._fast == _BODY:
            self._parts.append(body)

    def take_message(self) -> None:
        """Answer."""
        if self._fast == _NO:
            super().take_message()
            return
        fast, self._fast = self._fast, _NO
        if fast == _BODY and not self.transport.is_closing() and not self._answer():
            return
        self._between = not self._last
        if self._last:
            self.transport.close()

    def shutdown(self) -> None:
        """Close between two requests; one whose body is on its way is answered first."""
        if self._fast == _BODY:
            self._last = True
        else:
            super().shutdown()

    def refuse(self, how: tuple[int, bytes, bytes]) -> None:
        """Answer if nothing was answered yet, and close."""
        if self._fast == _DISCARD:
            self.transport.close()
        else:
            super().refuse(how)

    def _taken(self, target: Target) -> bool:
        parser, cycle = self.parser, self.cycle
        if (
            (cycle is not None and not cycle.response_complete)
            or self.pipeline
            or self.flow.write_paused
            or parser.get_method() != b"POST"
            or parser.get_http_version() != "1.1"
        ):
            return False
        found = dict(self.headers)
        if len(found) != len(self.headers) or not _plain(found):
            return False
        desk = self._lane.desk
        inline = desk.inline_plane(target)
        plane = inline or desk.full_plane(target)
        if plane is None:
            return False
        self._last = desk.leaving or not parser.should_keep_alive()
        now = self.waiting_since = time.monotonic()
        try:
            self._entry = desk.let_in(target, found, now, plane)
            if inline is None:
                desk.shed(target, now)
        except Exception as error:  # noqa: BLE001 - as on the slow path: reported, never shown
            self._fast = _DISCARD
            self._refuse(error, target, now, None)
            return True
        self._fast, self._parts = _BODY, []
        return True

    def _answer(self) -> bool:
        """Answer, and return True; False where the request must wait and was left to the slow path."""
        entry, lane, parts = self._entry, self._lane, self._parts
        if entry is None:  # it was let in with its head, or never came here
            return True
        self._entry, self._parts = None, []
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        end, default = _CLOSES if self._last else _STAYS, self.server_state.default_headers
        try:
            quick = lane.desk.quick(entry)
            answered = None if quick is None else quick.answers(body, 0, entry.ask.wire.header_length)
            if quick is not None and answered is not None:
                self._learned = None if self._last else (entry, quick)
                self.transport.write(lane.quickly(quick, answered, end, default))
            else:
                self.transport.write(self._answered(lane.desk.answer_now(entry, body), end, default))
        except MustWait:
            self._leave(entry)
            super().on_body(body)
            self.waiting_since = 0.0
            super().take_message()
            return False
        except Exception as error:  # noqa: BLE001 - as on the slow path: reported, never shown
            self._refuse(error, entry.target, entry.arrived, entry)
        self.idle_since = entry.arrived
        return True

    def _answered(self, reply: Reply, end: bytes, default: list[Header]) -> bytes:
        encoded = reply.encoded.body
        return b"".join((self._lane.head(reply, default), b"%d" % len(encoded), end, encoded))

    def _refuse(self, error: Exception, target: Target, arrived: float, entry: Entry | None) -> None:
        desk = self._lane.desk
        told = desk.told(error)
        desk.missed(target, told, arrived, entry)
        self._last = self._last or closes(told)
        self.transport.write(self._lane.refused(told, self.server_state.default_headers))


def lines(headers: list[Header]) -> bytes:
    """Return header lines."""
    return b"".join(b"%s: %s\r\n" % header for header in headers)


def _plain(found: Mapping[bytes, bytes]) -> bool:
    """Tell whether a body of known, small length follows and nothing unusual is asked."""
    for name in _UNUSUAL:
        if name in found:
            return False
    length = found.get(b"content-length", b"")
    return 0 < len(length) <= 5 and int(length) <= INLINE_BYTES
