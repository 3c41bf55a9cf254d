"""What a request's headers say about its body and its patience, checked before the body is read."""

from collections.abc import Iterable, Mapping

from mainspring.serve.errors import BadParameter, RequestRefused, TooLarge, Unauthorised, WrongMedia, shown
from mainspring.serve.questions import Codec, Wire

Header = tuple[bytes, bytes]
BODY_LIMIT = 16 << 20
TIMEOUT = b"mainspring-timeout-ms"
LONGEST_TIMEOUT_MS = 600_000
_MAX_DIGITS = 10
_LENGTH = b"inference-header-content-length"
_BINARY = b"application/octet-stream"
_PLAIN_PARAMETERS = (b"", b"charset=utf-8", b'charset="utf-8"')
_WIRES: dict[tuple[str, bytes], Wire] = {}
_MOST_WIRES = 100


def once(headers: Iterable[Header]) -> dict[bytes, bytes]:
    """Return the headers by name; refuse two of one that decides something."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in found and name in _REFUSALS:
            kind, what = _REFUSALS[name]
            raise kind(what, fix="send this header once")
        found[name] = value
    return found


def wire_of(found: Mapping[bytes, bytes], codec: Codec) -> Wire:
    """Return how the body is written; refuse a media type or encoding that the codec does not read."""
    encoding = found.get(b"content-encoding")
    if encoding is not None and encoding.strip(b" \t").lower() != b"identity":
        raise WrongMedia(f"content encoding {shown(encoding.decode('latin-1'))}", fix="send the body as it is")
    media, given = found.get(b"content-type", b""), found.get(_LENGTH)
    if given is None:
        known = _WIRES.get((codec.name, media))
        if known is not None:
            return known
    length = None if given is None else _length(given)
    wire = Wire(_kind(media, codec, binary=length is not None), length)
    if length is None and len(_WIRES) < _MOST_WIRES:
        _WIRES[codec.name, media] = wire
    return wire


def timeout_s(found: Mapping[bytes, bytes]) -> float | None:
    """Return the seconds that the client waits for its answer, or None."""
    given = found.get(TIMEOUT)
    if given is None:
        return None
    if not given.isdigit() or len(given) > _MAX_DIGITS or not 0 < int(given) <= LONGEST_TIMEOUT_MS:
        raise BadParameter(f"{TIMEOUT.decode()} is not a time", fix=f"send 1 to {LONGEST_TIMEOUT_MS} milliseconds")
    return int(given) / 1_000


def check_length(found: Mapping[bytes, bytes], limit: int = BODY_LIMIT) -> None:
    """Refuse a body that says it is too long."""
    given = found.get(b"content-length")
    if given is not None and (len(given) > _MAX_DIGITS or int(given) > limit):
        raise too_large(limit)


def too_large(limit: int) -> TooLarge:
    """Return the refusal of a long body."""
    return TooLarge(f"the body has more than {limit} bytes", fix="send fewer rows, or use binary tensors")


def _kind(media: bytes, codec: Codec, *, binary: bool) -> str:
    kind, _, rest = media.lower().partition(b";")
    kind, rest = kind.strip(), rest.strip()
    if not media:
        return ""
    text = kind.decode("latin-1")
    if kind == _BINARY:
        if binary and text in codec.media:
            return text
    elif text in codec.media and rest in _PLAIN_PARAMETERS:
        return text
    raise WrongMedia(
        f"content type {shown(media.decode('latin-1'))}",
        fix="send application/json in UTF-8 (curl --json @FILE), or what the protocol names: see docs/serving.md",
    )


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > _MAX_DIGITS:
        raise BadParameter(f"Inference-Header-Content-Length {shown(value.decode('latin-1'))}", fix="send one integer")
    return int(value)


_REFUSALS: Mapping[bytes, tuple[type[RequestRefused], str]] = {
    b"content-type": (WrongMedia, "two content types"),
    b"content-encoding": (WrongMedia, "two content encodings"),
    b"authorization": (Unauthorised, "two API keys"),
    _LENGTH: (BadParameter, "Inference-Header-Content-Length came twice"),
    TIMEOUT: (BadParameter, "mainspring-timeout-ms came twice"),
}
