"""The admin port, on loopback unless an admin key guards it: state, flush, reconcile and, in a replay, the clock.

A web page must not reach it through a browser: requests with an Origin, or for another host, are refused.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from mainspring.entry.inference.access import Gate
from mainspring.entry.inference.bodies import parse_object, read_body, send_json
from mainspring.entry.inference.desk import Desk
from mainspring.entry.inference.probes import Probes
from mainspring.entry.inference.repository import Repository
from mainspring.entry.inference.routed import Call, Handler, RoutedApp
from mainspring.entry.inference.routes import ADMIN, RouteTable
from mainspring.entry.inference.sums import joined
from mainspring.kernel.times import FixedClock
from mainspring.serve.errors import BadParameter, Forbidden, NotReady, UnknownRoute
from mainspring.serve.fleet import Fleet, Member
from mainspring.serve.log_sinks import SinkReport

_LIMIT = 65_536
_LATEST = 253_402_300_799_999_999
_LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The running parts that admin looks at."""

    fleet: Fleet
    desk: Desk
    probes: Probes


class AdminApp:
    """The handlers of the admin port; `app` is the ASGI application. local: whether it is on a loopback address."""

    def __init__(self, seen: Seen, gate: Gate, *, local: bool = True) -> None:
        self._seen, self._fleet = seen, seen.fleet
        self._clocks = [plane.clock for plane in seen.fleet.planes]
        handlers: dict[str, Handler] = {
            **seen.probes.handlers,
            **Repository(seen.fleet).handlers,
            "state": self._state, "flush": self._flush, "reconcile": self._reconcile, "clock": self._set_clock,
        }  # fmt: skip
        self.app = RoutedApp(RouteTable(ADMIN), gate, handlers, seen.desk.told, check_local if local else check_page)

    async def _state(self, call: Call) -> None:
        members = [_member_state(member) for member in self._fleet.members]
        whole = dict(reduce(joined, members)) if members else {}
        probes, desk = self._seen.probes, self._seen.desk
        whole |= {
            "ready": probes.ready, "draining": probes.leaving, "refused": dict(desk.refused),
            "in_flight": desk.in_flight, "auth_failures": dict(desk.gate.failures),
            "auth_file_failure": desk.gate.ring.failure,
            "clock": self._clocks[0].now() if self._clocks else 0, "replay": self._replayed(),
            "members": members,
        }  # fmt: skip
        await send_json(call.send, whole)

    async def _flush(self, call: Call) -> None:
        counts = {"rows": 0, "frames": 0}
        try:
            for member in self._fleet.members:
                await member.plane.turns.settled()
                done = await asyncio.to_thread(member.log.flush)
                counts = {name: count + done[name] for name, count in counts.items()}
        except TimeoutError as error:
            raise NotReady(str(error), fix="look at the disk, then try again") from error
        await send_json(call.send, counts)

    async def _reconcile(self, call: Call) -> None:
        found = [
            await asyncio.to_thread(lambda looking=member.reconciler: looking.look(again=True))  # type: ignore[misc]
            for member in self._fleet.members
        ]
        await send_json(
            call.send,
            {
                "commit": found[0].commit if found else "", "changed": any(one.changed for one in found),
                "failures": {key: text for one in found for key, text in one.failures.items()},
            },
        )  # fmt: skip

    async def _set_clock(self, call: Call) -> None:
        body = parse_object(await read_body(call.receive, call.headers, _LIMIT))
        now = body.get("now")
        if not self._replayed():
            raise UnknownRoute("the clock is real here", fix="start the server with --clock replay")
        if type(now) is not int or not 0 <= now <= _LATEST:
            raise BadParameter("now is not a time", fix='send {"now": UTC microseconds}')
        for clock in self._clocks:
            if isinstance(clock, FixedClock):
                clock.at = now
        await send_json(call.send, {"now": now})

    def _replayed(self) -> bool:
        return any(isinstance(clock, FixedClock) for clock in self._clocks)


def _member_state(member: Member) -> dict[str, Any]:
    plane, log, last = member.plane, member.log, member.reconciler.last
    serving, counts = plane.serving, plane.totals
    return {
        "release": last.commit,
        "model": member.model,
        "loaded": [{"version": v.number, "digest": v.digest} for v in serving.versions()] if serving else [],
        "inputs": sorted(serving.inputs) if serving else [],
        "weight": plane.weight, "aborted": plane.override.reason, "failures": dict(last.failures),
        "requests": counts.requests, "rows": counts.rows,
        "challenger": {
            "requests": counts.challenger_requests, "failures": dict(counts.challenger_failures),
            "fallback_rows": counts.fallback_rows,
        },
        "logged": log.counts.rows, "frames": log.counts.frames, "dropped": log.counts.dropped_rows,
        "waiting": log.waiting_rows, "log_failure": log.failure, "log_rules_failure": log.rules_failure,
        "sinks": [_sink_state(one) for one in log.sinks()],
    }  # fmt: skip


def _sink_state(report: SinkReport) -> dict[str, Any]:
    return {
        "name": report.name, "state": report.state, "rows": report.counts.rows, "waiting": report.waiting_rows,
        "dropped": report.counts.dropped_rows, "failures": report.counts.failures, "failure": report.failure,
    }  # fmt: skip


def check_page(found: Mapping[bytes, bytes]) -> None:
    """Refuse a web page."""
    if b"origin" in found:
        raise Forbidden("the admin port answers no web page", fix="use a tool that is not a browser")


def check_local(found: Mapping[bytes, bytes]) -> None:
    """Refuse a web page, and who asks for another host."""
    check_page(found)
    host = found.get(b"host", b"").decode("latin-1")
    if host and (host.rpartition(":")[0] or host) not in _LOOPBACK:
        raise Forbidden("the admin port answers this machine's tools alone", fix="use http://127.0.0.1")
