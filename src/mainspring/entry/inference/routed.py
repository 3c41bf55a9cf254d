"""What the three ports share: find the route, ask for the key, call the handler, and tell every failure in one form."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from mainspring.entry.inference.access import Gate
from mainspring.entry.inference.bodies import Disconnected, Receive, Scope, Send, send_error
from mainspring.entry.inference.desk import Entry
from mainspring.entry.inference.heads import once
from mainspring.entry.inference.routes import Route, RouteTable
from mainspring.security.tokens import Token
from mainspring.serve.errors import RequestRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request for a handler. headers: by name. places: what the path holds. token: whose key, or None.

    entry: of a prediction that was let in already, by the fast path; else None.
    """

    route: Route
    places: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    token: Token | None
    receive: Receive
    send: Send
    entry: Entry | None = None


Handler = Callable[[Call], Awaitable[None]]
SELDON = ("predict.seldon", "feedback.seldon")  # handlers whose errors carry the status that its clients read
ENTRY = "mainspring.entry"
"""The member of a scope that holds the entry of a prediction that was let in."""


class RoutedApp:
    """ASGI application of one port. A route without a handler, or a handler without a route, is an error at start."""

    def __init__(
        self, table: RouteTable, gate: Gate, handlers: Mapping[str, Handler],
        told: Callable[[Exception], RequestRefused], check: Callable[[Mapping[bytes, bytes]], None] = lambda _: None,
    ) -> None:  # fmt: skip
        named = {route.handler for route in table.routes}
        if named != handlers.keys():
            raise ValueError(f"routes and handlers differ: {sorted(named ^ handlers.keys())}")
        self.table, self.gate, self.handlers = table, gate, handlers
        self._told, self._check = told, check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every expected failure is a 4xx or 503 with a stable code."""
        if scope["type"] != "http":
            return
        route = None
        try:
            route, places = self.table.find(scope["method"], scope["raw_path"])
            found = once(scope["headers"])
            self._check(found)
            token = None
            if not route.handler.startswith("predict."):  # the desk asks for the key of a prediction
                token = self.gate.check(route.policy, found.get(b"authorization"), places.get("model", ""))
            call = Call(
                route=route, places=places, headers=found, token=token, receive=receive, send=send,
                entry=scope.get(ENTRY),
            )  # fmt: skip
            await self.handlers[route.handler](call)
        except Disconnected:
            return
        except Exception as error:  # noqa: BLE001 - the last resort: report it, never show it
            await send_error(send, self._told(error), seldon=route is not None and route.handler in SELDON)
