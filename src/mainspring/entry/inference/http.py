"""The public port: Open Inference Protocol V2 over HTTP, and metrics. Plain ASGI, for an infer request is short.

The infer route stands first and touches nothing that the others need.
"""

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import mainspring
from mainspring.entry.inference.bodies import (
    JSON_TYPE,
    Disconnected,
    Header,
    Receive,
    Scope,
    Send,
    checked_header_length,
    read_body,
    send_bytes,
    send_error,
    send_json,
)
from mainspring.entry.inference.metrics import Metrics
from mainspring.serve.errors import FeaturesFailed, ModelFailed, NotReady, RequestRefused, UnknownRoute, WrongMethod
from mainspring.serve.inference import Asked, infer
from mainspring.serve.plane import Plane
from mainspring.serve.protocols.v2 import V2
from mainspring.serve.protocols.v2_answers import model_metadata
from mainspring.serve.questions import Wire

_MODEL = re.compile(rb"/v2/models/([a-z0-9_-]{1,63})(?:/versions/([1-9][0-9]{0,8}))?(/infer|/ready)?")
_BINARY_TYPE = (b"content-type", b"application/octet-stream")
_GET = ("GET", "HEAD")
_log = logging.getLogger("mainspring.inference")


class PublicApp:
    """ASGI application of the public port.

    draining: set when the process was asked to stop: it still answers, says that it is not ready, and lets clients
    leave their connections.
    """

    def __init__(self, plane: Plane, metrics: Metrics) -> None:
        self._plane, self._metrics = plane, metrics
        self.draining = False
        self._fixed: dict[bytes, Callable[[Send], Awaitable[None]]] = {
            b"/v2": self._server, b"/v2/health/live": self._live, b"/v2/health/ready": self._ready,
            b"/metrics": self._scraped,
        }  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every expected failure is a 4xx or 503 with a stable code."""
        if scope["type"] != "http":
            return
        try:
            await self._routed(scope, receive, send)
        except RequestRefused as error:
            self._plane.counters.refused[error.code] += 1
            if isinstance(error, ModelFailed | FeaturesFailed):
                _log.error("%s: %s", error.what, error.__cause__)
            await send_error(send, error)
        except Disconnected:
            self._plane.counters.refused["client.left"] += 1
        except Exception as error:  # noqa: BLE001 - the last resort: report it, never show it
            self._plane.counters.refused["server.fault"] += 1
            _log.exception("a request failed")
            await send_error(send, ModelFailed(f"internal fault: {type(error).__name__}", fix="see the server's log"))

    async def _routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["raw_path"]
        found = _MODEL.fullmatch(path)
        if found is None:
            answer = self._fixed.get(path)
            if answer is None:
                raise UnknownRoute("no such path on this port", fix="see GET /v2")
            _check_method(scope, _GET)
            await answer(send)
            return
        model, number = found[1].decode("ascii"), int(found[2]) if found[2] else None
        if found[3] == b"/infer":
            _check_method(scope, ("POST",))
            await self._infer(scope, receive, send, (model, number))
            return
        _check_method(scope, _GET)
        await self._model(send, model, number, found[3] == b"/ready")

    async def _infer(self, scope: Scope, receive: Receive, send: Send, named: tuple[str, int | None]) -> None:
        headers = scope["headers"]
        length = checked_header_length(headers)
        body = await read_body(receive, headers)
        ask = Asked(model=named[0], version=named[1], wire=Wire(header_length=length))
        reply = await infer(self._plane, V2, body, ask)
        sent: list[Header] = [JSON_TYPE, (b"mainspring-release", reply.release.encode("ascii"))]
        encoded = reply.encoded
        if encoded.header_length is not None:
            sent[0] = _BINARY_TYPE
            sent.append((b"inference-header-content-length", b"%d" % encoded.header_length))
        if self.draining:
            sent.append((b"connection", b"close"))
        await send_bytes(send, 200, encoded.body, sent)

    async def _model(self, send: Send, model: str, number: int | None, ready: bool) -> None:
        serving = self._plane.loaded(model, number)
        if ready:
            await send_json(send, {"name": model, "ready": True})
            return
        version = next(v for v in serving.versions() if number in (None, v.number))
        numbers = [number] if number else [v.number for v in serving.versions()]
        await send_json(send, model_metadata(version.contract, numbers))

    async def _live(self, send: Send) -> None:
        await send_json(send, {"live": True})

    async def _ready(self, send: Send) -> None:
        if self.draining:
            raise NotReady("the server is leaving", fix="use another one")
        if self._plane.serving is None:
            raise NotReady("no model is loaded", fix="promote a version, then try again")
        await send_json(send, {"ready": True})

    async def _server(self, send: Send) -> None:
        serving = self._plane.serving
        document: dict[str, Any] = {
            "name": "mainspring", "version": mainspring.__version__, "extensions": ["binary_tensor_data"],
            "models": [serving.routing.model] if serving else [],
        }  # fmt: skip
        await send_json(send, document)

    async def _scraped(self, send: Send) -> None:
        body, kind = self._metrics.scrape()
        await send_bytes(send, 200, body, [(b"content-type", kind.encode("ascii"))])


def _check_method(scope: Scope, allowed: tuple[str, ...]) -> None:
    if scope["method"] not in allowed:
        raise WrongMethod("this path does not take that method", fix=f"use {' or '.join(allowed)}")
