"""The admin port, on loopback alone: state, flush, reconcile and, in a replay, the clock.

A web page must not reach it through a browser: requests with an Origin, or for another host, are refused.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mainspring.entry.inference.bodies import (
    Disconnected,
    Receive,
    Scope,
    Send,
    parse_object,
    read_body,
    send_error,
    send_json,
)
from mainspring.kernel.times import Clock, FixedClock
from mainspring.serve.errors import (
    BadParameter,
    Forbidden,
    ModelFailed,
    NotReady,
    RequestRefused,
    UnknownRoute,
    WrongMethod,
)
from mainspring.serve.log import PredictionLog
from mainspring.serve.plane import Plane
from mainspring.serve.reconciler import Reconciler

_log = logging.getLogger("mainspring.inference")
_LIMIT = 65_536
_LATEST = 253_402_300_799_999_999
_LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The running parts that admin looks at."""

    plane: Plane
    log: PredictionLog
    reconciler: Reconciler
    clock: Clock


class AdminApp:
    """ASGI application of the admin port. `is_draining` tells whether the process is about to stop."""

    def __init__(self, served: Served, is_draining: Callable[[], bool]) -> None:
        self._served, self._is_draining = served, is_draining
        self._routes: Mapping[tuple[str, str], Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
            ("GET", "/admin/state"): self._state,
            ("POST", "/admin/flush"): self._flush,
            ("POST", "/admin/reconcile"): self._reconcile,
            ("POST", "/admin/clock"): self._set_clock,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one admin request."""
        if scope["type"] != "http":
            return
        try:
            _check_local(scope)
            act = self._routed(scope["method"], scope["path"])
            body = await read_body(receive, scope["headers"], _LIMIT)
            await send_json(send, await act(parse_object(body)))
        except RequestRefused as error:
            await send_error(send, error)
        except Disconnected:
            return
        except Exception as error:  # noqa: BLE001 - the last resort: report it, never show it
            _log.exception("an admin request failed")
            await send_error(send, ModelFailed(f"internal fault: {type(error).__name__}", fix="see the server's log"))

    def _routed(self, method: str, path: str) -> Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]:
        act = self._routes.get((method, path))
        if act is not None:
            return act
        if any(known == path for _, known in self._routes):
            raise WrongMethod("this path does not take that method", fix="GET /admin/state, POST for the others")
        raise UnknownRoute("no such path on the admin port", fix="see docs/serving.md")

    async def _state(self, _: dict[str, Any]) -> dict[str, Any]:
        plane, log, last = self._served.plane, self._served.log, self._served.reconciler.last
        serving, counts = plane.serving, plane.counters
        return {
            "release": last.commit,
            "model": serving.routing.model if serving else "",
            "loaded": [{"version": v.number, "digest": v.digest} for v in serving.versions()] if serving else [],
            "inputs": sorted(serving.inputs) if serving else [],
            "weight": plane.weight, "aborted": plane.override.reason, "failures": dict(last.failures),
            "ready": serving is not None and not self._is_draining(), "draining": self._is_draining(),
            "requests": counts.requests, "rows": counts.rows, "refused": dict(counts.refused),
            "challenger": {
                "requests": counts.challenger_requests, "failures": dict(counts.challenger_failures),
                "fallback_rows": counts.fallback_rows,
            },
            "logged": log.counts.rows, "frames": log.counts.frames, "dropped": log.counts.dropped_rows,
            "waiting": log.waiting_rows, "log_failure": log.failure,
            "clock": self._served.clock.now(), "replay": isinstance(self._served.clock, FixedClock),
        }  # fmt: skip

    async def _flush(self, _: dict[str, Any]) -> dict[str, Any]:
        try:
            return dict(await asyncio.to_thread(self._served.log.flush))
        except TimeoutError as error:
            raise NotReady(str(error), fix="look at the disk, then try again") from error

    async def _reconcile(self, _: dict[str, Any]) -> dict[str, Any]:
        found = await asyncio.to_thread(lambda: self._served.reconciler.look(again=True))
        return {"commit": found.commit, "changed": found.changed, "failures": dict(found.failures)}

    async def _set_clock(self, body: dict[str, Any]) -> dict[str, Any]:
        clock, now = self._served.clock, body.get("now")
        if not isinstance(clock, FixedClock):
            raise UnknownRoute("the clock is real here", fix="start the server with --clock replay")
        if type(now) is not int or not 0 <= now <= _LATEST:
            raise BadParameter("now is not a time", fix='send {"now": UTC microseconds}')
        clock.at = now
        return {"now": now}


def _check_local(scope: Scope) -> None:
    for name, value in scope["headers"]:
        host = value.decode("latin-1").rpartition(":")[0] or value.decode("latin-1")
        if name == b"origin" or (name == b"host" and host not in _LOOPBACK):
            raise Forbidden("the admin port answers this machine's tools alone", fix="use http://127.0.0.1")
