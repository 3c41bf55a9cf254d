"""The public port over plain ASGI: predictions, what may be asked, and probes.

`protocol.FastProtocol` answers a whole small prediction before it comes here; whatever it does not answer does.
"""

import asyncio
import time
from typing import Any

import mainspring
from mainspring.entry.inference import openapi
from mainspring.entry.inference.bodies import (
    CLOSE,
    JSON_TYPE,
    Disconnected,
    answer_headers,
    read_body,
    send_bytes,
    send_json,
)
from mainspring.entry.inference.desk import HANDLED, Desk, Target, target_of
from mainspring.entry.inference.heads import wire_of
from mainspring.entry.inference.probes import Probes
from mainspring.entry.inference.routed import Call, Handler, RoutedApp
from mainspring.entry.inference.routes import PUBLIC, RouteTable
from mainspring.serve.errors import NotReady, UnknownRoute
from mainspring.serve.labelling import FORMS, receive
from mainspring.serve.protocols.v1 import V1
from mainspring.serve.protocols.v2_answers import EXTENSIONS, model_metadata


class PublicApp:
    """The handlers of the public port; `app` is the ASGI application."""

    def __init__(self, desk: Desk, probes: Probes) -> None:
        self._desk, self._fleet, self._probes = desk, desk.fleet, probes
        handlers: dict[str, Handler] = {
            **probes.handlers,
            "server": self._server,
            "model": self._model,
            "model_ready": self._model_ready,
            "v1_models": self._v1_models,
            "up": self._up,
            "version": self._version,
            "docs": self._docs,
            "page": self._page,
            **dict.fromkeys(HANDLED, self._predict),
            "explain.v1": self._explain,
            **{f"feedback.{name}": self._feedback for name in FORMS},
        }
        self.app = RoutedApp(RouteTable(PUBLIC), desk.gate, handlers, desk.told)

    async def _predict(self, call: Call) -> None:
        desk, arrived, entry = self._desk, time.monotonic(), None
        target = target_of(call.route, call.places)
        try:
            entry = call.entry or desk.let_in(target, call.headers, arrived)
            body = await read_body(call.receive, call.headers, arriving=self._desk.arriving)
            reply = await desk.answer(entry, body)
        except Disconnected:
            desk.refused["client.left"] += 1
            raise
        except Exception as error:
            desk.missed(target, error, arrived, entry)
            raise
        headers = answer_headers(reply)
        if desk.leaving:
            headers.append(CLOSE)
        await send_bytes(call.send, 200, reply.encoded.body, headers)

    async def _explain(self, call: Call) -> None:
        """Explain rows in the process beside this one; a slow explanation holds up no prediction."""
        member = self._fleet.member(call.places["model"])
        if member.explaining is None:
            raise UnknownRoute("this server explains nothing", fix="start it with mainspring serve --explain")
        target = Target(call.route, call.route.policy, V1, call.places["model"], None)
        entry = self._desk.let_in(target, call.headers, time.monotonic(), member.plane)
        body = await read_body(call.receive, call.headers, arriving=self._desk.arriving)
        found = await self._desk.explain(entry, body, member.explaining)
        await send_bytes(call.send, 200, found.encoded.body, [JSON_TYPE])

    async def _feedback(self, call: Call) -> None:
        """Keep posted labels until the next watch; the disk is waited for in a thread."""
        member = self._fleet.member(call.places.get("model", ""))
        self._desk.gate.check("label", call.headers.get(b"authorization"), member.model)  # the path may name none
        if member.labels is None:
            raise UnknownRoute("this server takes no labels", fix="mainspring label FILE")
        wire_of(call.headers, V1)  # JSON alone: what a page of a browser may post anywhere is no label
        body = await read_body(call.receive, call.headers, arriving=self._desk.arriving)
        form = FORMS[call.route.handler.removeprefix("feedback.")]
        now = member.plane.clock.now()
        answer = await asyncio.to_thread(receive, body, form, member.labels, now)
        await send_bytes(call.send, 200, answer, [JSON_TYPE])

    async def _model(self, call: Call) -> None:
        number = int(call.places["version"]) if "version" in call.places else None
        serving = self._fleet.plane(call.places["model"]).loaded(call.places["model"], number)
        version = next(v for v in serving.versions() if number in (None, v.number))
        numbers = [number] if number else [v.number for v in serving.versions()]
        await send_json(call.send, model_metadata(version.contract, numbers, version.engine_name))

    async def _model_ready(self, call: Call) -> None:
        model, version = call.places["model"], call.places.get("version")
        self._fleet.plane(model).loaded(model, int(version) if version else None)
        await send_json(call.send, {"name": model, "ready": True})

    async def _v1_models(self, call: Call) -> None:
        await send_json(call.send, {"models": self._models()})

    async def _up(self, call: Call) -> None:
        """Answer the probes of other servers, which tell readiness by the status alone."""
        if not self._probes.ready:
            raise NotReady("a model is not loaded, or the server is leaving", fix="wait, or use another one")
        await send_bytes(call.send, 200, b"\n", [(b"content-type", b"text/plain")])

    async def _version(self, call: Call) -> None:
        await send_bytes(call.send, 200, mainspring.__version__.encode(), [(b"content-type", b"text/plain")])

    async def _docs(self, call: Call) -> None:
        await send_bytes(call.send, 200, openapi.encoded(PUBLIC), [JSON_TYPE])

    async def _page(self, call: Call) -> None:
        await send_bytes(call.send, 200, openapi.page(PUBLIC), [(b"content-type", b"text/html; charset=utf-8")])

    def _models(self) -> list[str]:
        return [member.model for member in self._fleet.members if member.model]

    async def _server(self, call: Call) -> None:
        document: dict[str, Any] = {
            "name": "mainspring", "version": mainspring.__version__, "extensions": EXTENSIONS,
            "models": self._models(),
        }  # fmt: skip
        await send_json(call.send, document)
