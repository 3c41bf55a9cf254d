"""Liveness, readiness and start-up, apart: alive while the process answers, started once the releases were read for the
first time, ready while every model answers and the process is not about to stop.
"""

from mainspring.entry.inference.bodies import send_json
from mainspring.entry.inference.routed import Call, Handler
from mainspring.serve.errors import NotReady
from mainspring.serve.fleet import Fleet


class Probes:
    """The three probes of one server; `handlers` stand in every port's table."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.started = self.leaving = False
        self.handlers: dict[str, Handler] = {"live": self._live, "ready": self._ready, "started": self._started}

    @property
    def ready(self) -> bool:
        """Tell whether the server wants requests."""
        return self.started and self._fleet.ready and not self.leaving

    async def _live(self, call: Call) -> None:
        await send_json(call.send, {"live": True})

    async def _started(self, call: Call) -> None:
        if not self.started:
            raise NotReady("the releases are being read", fix="wait")
        await send_json(call.send, {"started": True})

    async def _ready(self, call: Call) -> None:
        if self.leaving:
            raise NotReady("the server is leaving", fix="use another one")
        if not self.ready:
            raise NotReady("a model is not loaded", fix="promote a version, then try again")
        await send_json(call.send, {"ready": True})
