"""The V2 model repository extension, on the admin port alone: what is here, load it, unload it.

Loading means following the model's release: which versions may serve is the release file's to say, never a request's.
"""

import asyncio

from mainspring.entry.inference.bodies import send_json
from mainspring.entry.inference.routed import Call, Handler
from mainspring.serve.errors import NotReady
from mainspring.serve.fleet import Fleet


class Repository:
    """The handlers of the three verbs; each works beside traffic."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.handlers: dict[str, Handler] = {"index": self._index, "load": self._load, "unload": self._unload}

    async def _index(self, call: Call) -> None:
        await send_json(call.send, self._fleet.index())

    async def _load(self, call: Call) -> None:
        found = await asyncio.to_thread(self._fleet.load, call.places["model"])
        if found.failures:
            raise NotReady("; ".join(found.failures.values())[:300], fix="see GET /admin/state")
        await send_json(call.send, {})

    async def _unload(self, call: Call) -> None:
        await asyncio.to_thread(self._fleet.unload, call.places["model"])
        await send_json(call.send, {})
