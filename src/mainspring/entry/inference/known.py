"""Heads of requests that were read before: the same bytes between two requests mean the same again.

A client on a kept connection sends one head over and over. Reading it (parser, key, limits, media type) costs as much
as the answer. So what the fast path has found out about a head, and answered by the short way, is remembered under its
exact bytes, as long as the release serves and the keys are those it was judged by. Nothing is parsed here: what is not
known, byte for byte and with a body of the very length that it announced, goes to the parser.
"""

from collections.abc import Mapping

import msgspec

from mainspring.entry.inference.desk import Desk, Entry
from mainspring.security.tokens import TokenBook
from mainspring.serve.quick import Quick

END = b"\r\n\r\n"
_MOST, _LONGEST = 512, 4_096


class Known(msgspec.Struct, frozen=True):
    """What a head means. length: of the body. json: bytes of the body's JSON part before tensors, or None for all.

    book: the keys it was judged by. expires_at: of its key, or 0.
    """

    length: int
    json: int | None
    quick: Quick
    book: TokenBook
    expires_at: int


class KnownHeads:
    """The heads of one port. Bounded: a client that never sends one twice clears it for all, which costs no answer."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._ring = desk, desk.gate.ring
        self._known: dict[bytes, Known] = {}

    def found(self, head: bytes, length: int) -> Known | None:
        """Return what is known of a request with this head and a body of `length` bytes, if it is let in."""
        known = self._known.get(head)
        if known is None or known.length != length or self._desk.leaving:
            return None
        if (
            known.quick.retired or known.book is not self._ring.book
            or (known.expires_at and self._ring.clock.now() >= known.expires_at)
        ):  # fmt: skip
            del self._known[head]
            return None
        return known

    def learn(self, head: bytes, length: int, found: Mapping[bytes, bytes], entry: Entry, quick: Quick) -> None:
        """Remember a head that came with a body of `length` bytes and was answered. found: its headers.

        A length that is not the announced one shows that these bytes were not one request, or not cut at its head.
        """
        if int(found.get(b"content-length", b"-1")) != length or len(head) > _LONGEST:
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        expires_at = entry.token.expires_at if entry.token else 0
        self._known[head] = Known(length, entry.ask.wire.header_length, quick, self._ring.book, expires_at)
