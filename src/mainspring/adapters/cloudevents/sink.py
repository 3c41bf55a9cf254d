"""Send logged requests to an HTTP endpoint as CloudEvents batches (HTTP protocol binding 1.0, batched content mode).

One connection is kept. A batch counts as delivered when the endpoint answers 2xx; redirects are not followed. 408, 425,
429 and 5xx may be tried again, any other answer will not become better and refuses what was sent.
"""

import http.client
import ssl
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from mainspring.adapters.cloudevents.events import batch_of
from mainspring.kernel.errors import InvalidValue
from mainspring.serve.frames import frames
from mainspring.serve.log_packing import unpack
from mainspring.serve.ports import Chunk, LogRefused

_TYPE = "application/cloudevents-batch+json; charset=UTF-8"
_POST_SIZE = 256 << 10  # of frames; JSON is about three times that
_PASSING = {408, 425, 429}
_READ = 65_536


class CloudEventsLog:
    """Posts batches to `url`. source: the events' source. authorization: value of that header, or ""."""

    def __init__(self, url: str, *, source: str, authorization: str = "", timeout_s: float = 5.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise InvalidValue(
                "the address of a CloudEvents sink must read http(s)://host/path",
                fix="keep credentials out of it: authorization: secret://env/NAME",
            )
        if not authorization.isprintable() or not authorization.isascii():
            raise InvalidValue("the authorization of a log sink is no header value", fix="use printable ASCII")
        self._host, self._is_tls, self._timeout_s = parts.netloc, parts.scheme == "https", timeout_s
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"Content-Type": _TYPE} | ({"Authorization": authorization} if authorization else {})
        self._source = source
        self._delivered = -1
        self._connection: http.client.HTTPConnection | None = None

    def write(self, chunks: Sequence[Chunk], /) -> None:
        """Post the chunks in order; those that an earlier try delivered are left out."""
        for group in _grouped([chunk for chunk in chunks if chunk.number > self._delivered]):
            found = [frame for chunk in group for frame in frames(chunk.frame)]
            records = [record for frame in found for record in unpack(frame.payload, "a chunk")]
            self._post(batch_of(records, self._source))
            self._delivered = group[-1].number

    def sync(self) -> None:
        """Nothing is left to do: what was answered with 2xx is the endpoint's."""

    def close(self) -> None:
        """Leave the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _post(self, body: bytes) -> None:
        try:
            connection = self._connected()
            connection.request("POST", self._path, body, self._headers)
            response = connection.getresponse()
            while response.read(_READ):
                continue
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ConnectionError(f"{self._host[:80]}: {type(error).__name__}: {error}"[:200]) from error
        if not 200 <= response.status < 300:
            self.close()
            what = f"{self._host[:80]} answered {response.status}"
            if response.status in _PASSING or response.status >= 500:
                raise ConnectionError(what)
            raise LogRefused(what, fix="look at the endpoint's own log; the events are in the local log")

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            if self._is_tls:
                context = ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(self._host, timeout=self._timeout_s, context=context)
            else:
                self._connection = http.client.HTTPConnection(self._host, timeout=self._timeout_s)
        return self._connection


def _grouped(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    group: list[Chunk] = []
    size = 0
    for chunk in chunks:
        if group and size + len(chunk.frame) > _POST_SIZE:
            yield group
            group, size = [], 0
        group.append(chunk)
        size += len(chunk.frame)
    if group:
        yield group
