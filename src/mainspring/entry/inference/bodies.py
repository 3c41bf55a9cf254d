"""Read request bodies within bounds, and write answers: the little that HTTP needs above ASGI."""

import json
import math
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from mainspring.entry.inference.heads import BODY_LIMIT, Header, check_length, too_large
from mainspring.serve.errors import (
    BadBody,
    BodiesFull,
    RequestRefused,
    TooLarge,
    TryLater,
    Unauthorised,
    WrongMedia,
    WrongMethod,
)
from mainspring.serve.inference import Reply
from mainspring.serve.protocols.depth import refuse_depth
from mainspring.serve.protocols.seldon import error_status
from mainspring.serve.protocols.v2_answers import error_document

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON_TYPE = (b"content-type", b"application/json")
CLOSE = (b"connection", b"close")
_TRY_AGAIN = 75


ARRIVING_LIMIT = 1 << 30


class Disconnected(Exception):
    """The client left before its body was complete."""


class Arriving:
    """Bytes of unfinished bodies, of all connections together; they may not be more than `most`."""

    def __init__(self, most: int = ARRIVING_LIMIT) -> None:
        self._most, self.held = most, 0

    def take(self, size: int) -> None:
        """Count bytes that came; raise `BodiesFull` where no more may be kept."""
        if self.held + size > self._most:
            raise BodiesFull("too many large bodies are on their way", fix="send less at once", retry_after_s=1.0)
        self.held += size


async def read_body(
    receive: Receive, found: Mapping[bytes, bytes], limit: int = BODY_LIMIT, arriving: Arriving | None = None
) -> bytes:
    """Return the whole body; refuse more than `limit` bytes before and while they arrive.

    arriving: the bodies of all connections; one that arrives in a single message is not counted.
    """
    check_length(found, limit)
    message = await receive()
    first = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body", False) and len(first) <= limit:
        return bytes(first)
    parts, size, others = [], 0, arriving or Arriving()
    try:
        while True:
            if message["type"] != "http.request":
                raise Disconnected
            part = message.get("body", b"")
            others.take(len(part))
            parts.append(part)
            size += len(part)
            if size > limit:
                raise too_large(limit)
            if not message.get("more_body", False):
                return b"".join(parts)
            message = await receive()
    finally:
        others.held -= size


async def send_bytes(send: Send, status: int, body: bytes, headers: list[Header]) -> None:
    """Send one whole response; `headers` without the length."""
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, document: object, status: int = 200, headers: list[Header] | None = None) -> None:
    """Send a JSON document; NaN is refused, for strict readers could not read it."""
    body = json.dumps(document, allow_nan=False, separators=(",", ":")).encode("utf-8")
    await send_bytes(send, status, body, [JSON_TYPE, *(headers or [])])


async def send_error(send: Send, error: RequestRefused, *, seldon: bool = False) -> None:
    """Send the error document; seldon: with the member that Seldon's clients read."""
    headers, body = refusal(error, error_status(error) if seldon else None)
    await send_bytes(send, error.status, body, headers)


def refusal(error: RequestRefused, status: Mapping[str, Any] | None = None) -> tuple[list[Header], bytes]:
    """Return (headers, body) of a refusal; it closes where the rest of a body may still be on its way.

    status: a member of that name for the document, or None.
    """
    headers = [JSON_TYPE]
    if closes(error):
        headers.append(CLOSE)
    if isinstance(error, Unauthorised):
        headers.append((b"www-authenticate", b'Bearer realm="mainspring"'))
    if isinstance(error, WrongMethod):
        headers.append((b"allow", error.allow.encode("ascii")))
    if error.exit_code == _TRY_AGAIN:
        wait_s = error.retry_after_s if isinstance(error, TryLater) else 1
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(wait_s))))
    document = error_document(error) if status is None else {**error_document(error), "status": status}
    return headers, json.dumps(document, separators=(",", ":")).encode("utf-8")


def closes(error: RequestRefused) -> bool:
    """Tell whether the connection ends with this refusal."""
    return isinstance(error, TooLarge | WrongMedia | WrongMethod | BodiesFull)


def answer_headers(reply: Reply) -> list[Header]:
    """Return the headers of a prediction's answer, without its length."""
    encoded = reply.encoded
    headers = [
        (b"content-type", encoded.content_type.encode("ascii")),
        (b"mainspring-release", reply.release.encode("ascii")),
        (b"mainspring-version", b"%d" % reply.version),
    ]
    if encoded.header_length is not None:
        headers.append((b"inference-header-content-length", b"%d" % encoded.header_length))
    return headers


def parse_object(body: bytes) -> dict[str, Any]:
    """Return a small JSON object; {} for an empty body."""
    refuse_depth(body)
    try:
        document = json.loads(body) if body else {}
    except (ValueError, RecursionError) as error:
        raise BadBody("the body is not JSON", fix="send one JSON object") from error
    if not isinstance(document, dict):
        raise BadBody("the body is not a JSON object", fix="send one JSON object")
    return document
