"""The console's web application: the latest report and a small status page, for the person at this machine only.

Every request must come from a loopback address and name a loopback host (a stranger's site that re-points its own
name to 127.0.0.1 is turned away); every answer forbids scripts, framing and guessing of types. Nothing is written, and
nothing but GET and HEAD is answered.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mainspring.entry.console.completion import clean
from mainspring.entry.console.report import PAGE_POLICY, environment
from mainspring.kernel.errors import MainspringError

Status = Callable[[], Mapping[str, Any]]
SAFE_HEADERS: Final = (
    ("content-security-policy", f"{PAGE_POLICY}; frame-ancestors 'none'"),
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
)
_OWN_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.ASCII | re.IGNORECASE)


def create_page(report: Path, status: Status) -> "Guard":
    """Return the application: `/` the report file as it is now, `/status` and `/status.json` what `status()` says.

    `status` returns plain JSON values; a MainspringError from it becomes an answer 503 with its code. Without a report
    file `/` shows the status page.
    """

    def show_report(_: Request) -> Response:
        try:
            return HTMLResponse(report.read_bytes())
        except FileNotFoundError:
            return _status_page(status, waiting=True)

    def show_status(_: Request) -> Response:
        return _status_page(status, waiting=not report.exists())

    def tell_status(_: Request) -> Response:
        told, code = _ask(status)
        return JSONResponse(told, status_code=code)

    routes = [Route("/", show_report), Route("/status", show_status), Route("/status.json", tell_status)]
    return Guard(Starlette(routes=routes))


def page_server(app: ASGIApp, port: int) -> uvicorn.Server:
    """Return a server for the application on 127.0.0.1 only; `.run()` serves until `.should_exit` is set.

    Forwarding headers are not believed (they could pretend to be another address) and no version is told.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            log_level="warning",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
        )
    )


class Guard:
    """Refuses strangers before the application is asked, and adds the safe headers to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection: 403 for an address elsewhere, 421 for a host name that is not this machine's."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def safe_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _safe(message.get("headers", []))}
            await send(message)

        await self._choose(scope)(scope, receive, safe_send)

    def _choose(self, scope: Scope) -> ASGIApp:
        client = scope.get("client")
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if client is None or not is_loopback(str(client[0])):
            return PlainTextResponse("The console answers only on this machine.\n", status_code=403)
        if len(hosts) != 1 or not is_own_host(hosts[0].decode("latin-1")):
            return PlainTextResponse("This is not the console's name: use localhost.\n", status_code=421)
        return self._app


def is_loopback(address: str) -> bool:
    """Return whether an address such as `127.0.0.1` or `::1` is this machine's own."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def is_own_host(host: str) -> bool:
    """Return whether a Host header names this machine: localhost, 127.0.0.1 or [::1], with or without a port."""
    return _OWN_HOST.fullmatch(host) is not None


def _ask(status: Status) -> tuple[dict[str, Any], int]:
    try:
        return dict(status()), 200
    except MainspringError as error:
        return {"error": {"code": error.code, "what": error.what, "fix": error.fix}}, 503


def _status_page(status: Status, *, waiting: bool) -> Response:
    told, code = _ask(status)
    page = environment().get_template("status.html.j2")
    rows = [(clean(name), clean(value)) for name, value in _flat(told)]
    return HTMLResponse(page.render(rows=rows, waiting=waiting, page_policy=PAGE_POLICY), status_code=code)


def _flat(told: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Return nested mappings as rows with dotted names."""
    rows: list[tuple[str, Any]] = []
    for name, value in told.items():
        full = f"{above}{name}"
        rows += _flat(value, f"{full}.") if isinstance(value, Mapping) and value else [(full, value)]
    return rows


def _safe(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    ours = [(name.encode(), value.encode()) for name, value in SAFE_HEADERS]
    taken = {name for name, _ in ours}
    return [pair for pair in headers if pair[0].lower() not in taken] + ours
