"""Read request bodies within bounds, and write answers: the little that HTTP needs above ASGI."""

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from mainspring.serve.errors import BadBody, BadParameter, RequestRefused, TooLarge, WrongMedia, WrongMethod, shown
from mainspring.serve.protocols.v2_answers import error_document

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

BODY_LIMIT = 16 << 20
JSON_TYPE = (b"content-type", b"application/json")
_MAX_DIGITS = 10
_CODE_OF_WHITESPACE = b" \t"


class Disconnected(Exception):
    """The client left before its body was complete."""


async def read_body(receive: Receive, headers: Iterable[Header], limit: int = BODY_LIMIT) -> bytes:
    """Return the whole body; refuse more than `limit` bytes before and while they arrive."""
    for name, value in headers:
        if name == b"content-length" and (len(value) > _MAX_DIGITS or int(value) > limit):
            raise TooLarge(f"the body has more than {limit} bytes", fix="send fewer rows, or use binary tensors")
    message = await receive()
    first = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body", False) and len(first) <= limit:
        return bytes(first)
    parts, size = [], 0
    while True:
        if message["type"] != "http.request":
            raise Disconnected
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise TooLarge(f"the body has more than {limit} bytes", fix="send fewer rows, or use binary tensors")
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()


def checked_header_length(headers: Iterable[Header]) -> int | None:
    """Return the binary extension's JSON length; refuse what is not JSON or binary tensors, or is compressed."""
    length: int | None = None
    media: list[bytes] = []
    for name, value in headers:
        if name == b"inference-header-content-length":
            length = _checked_length(value, length)
        elif name == b"content-type":
            media.append(value)
        elif name == b"content-encoding" and value.strip(_CODE_OF_WHITESPACE).lower() != b"identity":
            raise WrongMedia(f"content encoding {shown(value.decode('latin-1'))}", fix="send the body as it is")
    if len(media) > 1 or (media and not _readable(media[0], length is not None)):
        raise WrongMedia(
            f"content type {shown(media[0].decode('latin-1'))}",
            fix="send application/json (UTF-8), or application/octet-stream with Inference-Header-Content-Length",
        )
    return length


def _checked_length(value: bytes, seen: int | None) -> int:
    if seen is not None or not value.isdigit() or len(value) > _MAX_DIGITS:
        raise BadParameter(f"Inference-Header-Content-Length {shown(value.decode('latin-1'))}", fix="send one integer")
    return int(value)


def _readable(value: bytes, binary: bool) -> bool:
    kind, _, rest = value.lower().partition(b";")
    if binary and kind.strip() == b"application/octet-stream":
        return True
    return kind.strip() == b"application/json" and rest.strip() in (b"", b"charset=utf-8", b'charset="utf-8"')


async def send_bytes(send: Send, status: int, body: bytes, headers: list[Header]) -> None:
    """Send one whole response; `headers` without the length."""
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, document: object, status: int = 200, headers: list[Header] | None = None) -> None:
    """Send a JSON document; NaN is refused, for strict readers could not read it."""
    body = json.dumps(document, allow_nan=False, separators=(",", ":")).encode("utf-8")
    await send_bytes(send, status, body, [JSON_TYPE, *(headers or [])])


async def send_error(send: Send, error: RequestRefused) -> None:
    """Send the error document; the connection ends where the rest of a body may still be on its way."""
    headers: list[Header] = []
    if isinstance(error, TooLarge | WrongMedia | WrongMethod):
        headers.append((b"connection", b"close"))
    if error.exit_code == _TRY_AGAIN:
        headers.append((b"retry-after", b"1"))
    await send_json(send, error_document(error), error.status, headers)


def parse_object(body: bytes) -> dict[str, Any]:
    """Return a small JSON object; {} for an empty body."""
    try:
        document = json.loads(body) if body else {}
    except (ValueError, RecursionError) as error:
        raise BadBody("the body is not JSON", fix="send one JSON object") from error
    if not isinstance(document, dict):
        raise BadBody("the body is not a JSON object", fix="send one JSON object")
    return document


_TRY_AGAIN = 75
