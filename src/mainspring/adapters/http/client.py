"""A small client of the inference server: binary infer requests and the admin port, over one kept connection each."""

import http.client
import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from mainspring.kernel.errors import MainspringError
from mainspring.serve.protocols.v2 import ASKED_AT, KEY
from mainspring.serve.protocols.v2_answers import infer_request
from mainspring.stats.columns import Columns, Floats

_OK = 200


class ServerRefused(MainspringError):
    """The inference server answered with an error, or could not be reached."""

    code = "server.refused"
    exit_code = 1


class Answered(NamedTuple):
    """Scores, prediction ids and version numbers, one a row; `release` is the commit that routed the request."""

    scores: Floats
    ids: list[str]
    versions: NDArray[np.int64]
    release: str


class InferenceClient:
    """Talks to one server and one model. Not for use by several threads at once.

    base_url, admin_url: as the server prints them. timeout_s: for one request.
    """

    def __init__(self, base_url: str, admin_url: str, model: str, *, timeout_s: float = 60.0) -> None:
        self._public, self._admin = _Kept(base_url, timeout_s), _Kept(admin_url, timeout_s)
        self._path = f"/v2/models/{model}/infer"

    def infer_binary(
        self, columns: Columns, keys: Sequence[str] | None = None, asked_at: NDArray[np.int64] | None = None
    ) -> Answered:
        """Score rows in one binary V2 request.

        columns: number columns float64 (NaN null), string columns objects; empty for entity mode.
        keys: the ask key a row. asked_at: UTC microseconds a row.
        """
        tensors = dict(columns)
        if keys is not None:
            tensors[KEY] = _objects(keys)
        if asked_at is not None:
            tensors[ASKED_AT] = asked_at.astype(np.int64, copy=False)
        body, size = infer_request(tensors)
        headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(size)}
        answer = self._public.ask("POST", self._path, body, headers)
        head_size = int(answer.headers["inference-header-content-length"])
        head = json.loads(answer.body[:head_size])
        return Answered(
            scores=np.frombuffer(answer.body, dtype="<f8", offset=head_size).copy(),
            ids=head["parameters"]["prediction_ids"],
            versions=np.array(head["parameters"]["versions"], dtype=np.int64),
            release=answer.headers.get("mainspring-release", ""),
        )

    def set_clock(self, now: int) -> None:
        """Set a replay server's clock (UTC microseconds)."""
        self._admin.json("POST", "/admin/clock", {"now": now})

    def flush(self) -> dict[str, int]:
        """Wait until every answer so far is on disk; return {rows, frames} logged since the start."""
        return self._admin.json("POST", "/admin/flush")

    def reconcile(self) -> str:
        """Have the server read the release now; return the commit it serves."""
        return str(self._admin.json("POST", "/admin/reconcile")["commit"])

    def state(self) -> dict[str, Any]:
        """Return the server's own account of itself."""
        return self._admin.json("GET", "/admin/state")

    def close(self) -> None:
        """Close both connections."""
        self._public.close()
        self._admin.close()


class _Answer(NamedTuple):
    body: bytes
    headers: Mapping[str, str]


class _Kept:
    """One keep-alive connection; opened again once if the server closed it while idle."""

    def __init__(self, url: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_s)

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> _Answer:
        """Return the answer's body and headers; `ServerRefused` for any other status than 200."""
        for last in (False, True):
            fresh = self._connection.sock is None
            try:
                self._open()
                self._connection.request(method, path, body, dict(headers))
                response = self._connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if last or fresh or isinstance(error, TimeoutError):
                    raise ServerRefused(
                        f"the server does not answer: {error}", fix="is mainspring serve running?"
                    ) from error
            else:
                break
        if response.status != _OK:
            raise _refusal(response.status, content)
        return _Answer(content, {name.lower(): value for name, value in response.getheaders()})

    def json(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Return a JSON answer."""
        data = None if body is None else json.dumps(body).encode("utf-8")
        document: dict[str, Any] = json.loads(self.ask(method, path, data, {"Content-Type": "application/json"}).body)
        return document

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _open(self) -> None:
        if self._connection.sock is None:
            self._connection.connect()
            opened: Any = self._connection.sock  # typeshed takes it for None for ever
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _objects(values: Sequence[str]) -> NDArray[np.object_]:
    column = np.empty(len(values), dtype=object)
    column[:] = list(values)
    return column


def _refusal(status: int, content: bytes) -> ServerRefused:
    try:
        document = json.loads(content)
        return ServerRefused(f"{status} {document['code']}: {document['error']}", fix=str(document.get("fix", "")))
    except (ValueError, KeyError, TypeError):
        return ServerRefused(f"the server answered {status}", fix="see its log")
