"""The V2 model repository extension, on the admin port alone: what is here, load it, unload it.

Loading means following the model's release: which versions may serve is the release file's to say, never a request's.
"""

import asyncio
from typing import Any

from mainspring.entry.inference.bodies import parse_object, read_body, send_json
from mainspring.entry.inference.routed import Call, Handler
from mainspring.serve.errors import BadParameter, shown
from mainspring.serve.fleet import Fleet

_LIMIT = 65_536


class Repository:
    """The handlers of the three verbs; each works beside traffic."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.handlers: dict[str, Handler] = {"index": self._index, "load": self._load, "unload": self._unload}

    async def _index(self, call: Call) -> None:
        ready = (await _document(call, "ready")).get("ready", False)
        if type(ready) is not bool:
            raise BadParameter("ready is not true or false", fix="send a boolean, or leave it out")
        await send_json(call.send, self._fleet.index(ready=ready))

    async def _load(self, call: Call) -> None:
        if (await _document(call, "parameters")).get("parameters"):
            raise BadParameter("a model is loaded as its release says", fix="change the release: mainspring promote")
        await asyncio.to_thread(self._fleet.load, call.places["model"])
        await send_json(call.send, {})

    async def _unload(self, call: Call) -> None:
        await _document(call, "parameters")  # `unload_dependents` alone: no model depends on another
        await asyncio.to_thread(self._fleet.unload, call.places["model"])
        await send_json(call.send, {})


async def _document(call: Call, member: str) -> dict[str, Any]:
    """Return the request's object, {} without a body; it may have one member alone."""
    found = parse_object(await read_body(call.receive, call.headers, _LIMIT))
    if unknown := sorted(found.keys() - {member}):
        raise BadParameter(f"member {shown(unknown[0])} is unknown", fix=f"send {{}}, or {member}")
    return found
