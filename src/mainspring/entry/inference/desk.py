"""Predictions, from checked headers to an encoded answer: the same rules for the fast path and the slow one.

Order: key -> rate and budget -> media type and deadline -> (the body is read) -> deadline again -> concurrency ->
codec, plane, codec. What is refused before the body is read costs no memory.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from mainspring.entry.inference.access import Gate
from mainspring.entry.inference.bodies import ARRIVING_LIMIT, Arriving
from mainspring.entry.inference.heads import timeout_s, wire_of
from mainspring.entry.inference.routes import Policy, Route
from mainspring.security.tokens import Allowance, Token
from mainspring.serve.admission import NO_LIMIT, Allowances, ConcurrencyLimit, ConcurrencyRules
from mainspring.serve.errors import DeadlinePassed, FeaturesFailed, ModelFailed, RequestRefused
from mainspring.serve.explaining import Explained, Explaining
from mainspring.serve.fleet import Fleet
from mainspring.serve.inference import Asked, Reply, infer, infer_now
from mainspring.serve.plane import Plane
from mainspring.serve.protocols import CODECS
from mainspring.serve.protocols.v2 import V2
from mainspring.serve.questions import Codec
from mainspring.serve.quick import Quick
from mainspring.serve.witness import Exchange, Witness

HANDLED: Mapping[str, Codec] = {f"predict.{name}": codec for name, codec in CODECS.items()}
_LONGEST_TRACE = 64
_FAULT = ModelFailed("internal fault", fix="see the server's log")
_log = logging.getLogger("mainspring.inference")


class Target(msgspec.Struct, frozen=True):
    """What a path asks for. model: "" where the path names none. version: None where it names none."""

    route: Route
    policy: Policy
    codec: Codec
    model: str
    version: int | None


class Entry(msgspec.Struct):
    """A request that was let in. token: whose key, or None. deadline: monotonic seconds, or 0. trace: traceparent."""

    target: Target
    plane: Plane
    ask: Asked
    token: Token | None
    arrived: float
    deadline: float
    trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskRules:
    """Limits of predictions, and who is told of them.

    default: for keys without an allowance of their own. share: processes on one port. arriving_bytes: of unfinished
    bodies, of all connections together. witnesses: are told of every prediction, answered or refused. budgets: keeps
    what keys have left for a process after this one, or None.
    """

    concurrency: ConcurrencyRules = field(default_factory=ConcurrencyRules)
    default: Allowance = NO_LIMIT
    share: int = 1
    arriving_bytes: int = ARRIVING_LIMIT
    witnesses: tuple[Witness, ...] = ()
    budgets: "Budgets | None" = None


class Budgets(Protocol):
    """Keeps what API keys have left of their budgets: rows, and the seconds since they were counted, by key."""

    def read(self) -> Mapping[str, tuple[float, float]]:
        """Return what was kept last; {} where nothing was."""

    def write(self, left: Mapping[str, tuple[float, float]], /) -> None:
        """Replace what is kept; blocks."""


class Desk:
    """Lets predictions in and has them answered.

    refused: requests without an answer, by code. leaving: set when the process was asked to stop. limits_all: a limit
    holds even for keys without one of their own.
    """

    def __init__(self, fleet: Fleet, gate: Gate, rules: DeskRules | None = None) -> None:
        self.fleet, self.gate, self._rules = fleet, gate, rules or DeskRules()
        self.witnesses = self._rules.witnesses
        self.allowances = Allowances(self._rules.default, share=self._rules.share)
        if self._rules.budgets is not None:
            self.allowances.go_on(self._rules.budgets.read(), time.monotonic())
        self.kept = 0
        self.limits_all = self.allowances.limits(None)
        self.limits: dict[str, ConcurrencyLimit] = {}
        self.refused: Counter[str] = Counter()
        self.in_flight = 0
        self.arriving = Arriving(self._rules.arriving_bytes)
        self.leaving = False

    def inline_plane(self, target: Target) -> Plane | None:
        """Return the plane that a target asks if its model scores fast enough to be asked in place, else None."""
        try:
            plane = self.fleet.plane(target.model) if target.model else self.fleet.only()
        except RequestRefused:
            return None
        serving = plane.serving
        return plane if serving is not None and serving.inline else None

    def full_plane(self, target: Target) -> Plane | None:
        """Return the plane of a slow model that is asked as often as it bears already, else None."""
        limit = self.limits.get(target.model)
        return self.fleet.plane(target.model) if limit is not None and limit.full else None

    def shed(self, target: Target, now: float) -> None:
        """Refuse a request for a full model before its body is read."""
        self.limits[target.model].enter(now)

    def let_in(
        self, target: Target, found: Mapping[bytes, bytes], arrived: float, plane: Plane | None = None
    ) -> Entry:  # fmt: skip
        """Return the entry of a request with these headers, or raise a `RequestRefused`.

        arrived: monotonic seconds. plane: the target's, where it was looked up already.
        """
        model = target.model
        if not model:
            plane = plane or self.fleet.only()
            model = plane.serving.routing.model if plane.serving else ""
        token = self.gate.check(target.policy, found.get(b"authorization"), model)
        if self.limits_all or (token is not None and self.allowances.limits(token.allowance)):
            self.allowances.ask(token.id if token else "", token.allowance if token else None, arrived)
        wire, patience = wire_of(found, target.codec), timeout_s(found)
        plane = plane or self.fleet.plane(model)
        ask = Asked(model=model, version=target.version, wire=wire, caller=token.id if token else "")
        entry = Entry(target, plane, ask, token, arrived, arrived + patience if patience else 0.0)
        if self.witnesses:
            entry.trace = found.get(b"traceparent", b"")[:_LONGEST_TRACE].decode("latin-1")
        return entry

    def quick(self, entry: Entry) -> Quick | None:
        """Return the short way for an entry, if its request may take it: nobody is told of it, it pays for nothing."""
        target, token = entry.target, entry.token
        if (
            target.codec is not V2 or entry.deadline or self.witnesses or self.limits_all
            or (token is not None and self.allowances.limits(token.allowance))
        ):  # fmt: skip
            return None
        quick = entry.plane.quick()
        if quick is None or target.version not in (None, quick.number):
            return None
        return quick if entry.ask.model == quick.model else None

    def answer_now(self, entry: Entry, body: bytes) -> Reply:
        """Answer where it is called: for models that score fast."""
        if entry.deadline:
            _with_patience(entry)
        reply = infer_now(entry.plane, entry.target.codec, body, entry.ask)
        self._paid(entry, reply)
        return reply

    async def answer(self, entry: Entry, body: bytes) -> Reply:
        """Answer in the model's lane where it is slow."""
        if entry.deadline:
            _with_patience(entry)
        limit = self.limits.get(entry.ask.model)
        if limit is None:  # the names are those of loaded models, so they are few
            limit = self.limits[entry.ask.model] = ConcurrencyLimit(self._rules.concurrency)
        started = time.monotonic()
        limit.enter(started)
        took = 0.0
        self.in_flight += 1
        try:
            reply = await infer(entry.plane, entry.target.codec, body, entry.ask)
            took = time.monotonic() - started
        finally:
            self.in_flight -= 1
            limit.leave(took, started + took)
        self._paid(entry, reply)
        return reply

    async def explain(self, entry: Entry, body: bytes, explaining: Explaining) -> Explained:
        """Explain rows instead of answering them; each counts against the key's budget as an answer does."""
        if entry.deadline:
            _with_patience(entry)
        found = await explaining.explained(body, entry.ask)
        self._spent(entry, found.rows)
        return found

    async def keep_budgets(self) -> None:
        """Keep what keys have left of their budgets, if anything was spent since; what fails is tried again."""
        allowances, budgets = self.allowances, self._rules.budgets
        if budgets is None or self.kept == allowances.paid:
            return
        left, paid = allowances.left(time.monotonic()), allowances.paid
        try:
            await asyncio.to_thread(budgets.write, left)
            self.kept = paid
        except OSError as error:
            _log.error("budgets could not be kept: %s", error)

    def told(self, error: Exception) -> RequestRefused:
        """Count a failed request and return what its client is told; a fault of ours is logged, never shown."""
        if isinstance(error, RequestRefused):
            self.refused[error.code] += 1
            if isinstance(error, ModelFailed | FeaturesFailed):
                _log.error("%s: %s", error.what, error.__cause__)
            return error
        self.refused["server.fault"] += 1
        _log.error("a request failed", exc_info=error)
        return ModelFailed(f"internal fault: {type(error).__name__}", fix="see the server's log")

    def missed(self, target: Target, error: Exception, arrived: float, entry: Entry | None = None) -> None:
        """Tell the witnesses of a prediction that has no answer."""
        if not self.witnesses:
            return
        told = error if isinstance(error, RequestRefused) else _FAULT
        self._tell(Exchange(
            protocol=target.codec.name, model=entry.ask.model if entry else target.model, code=told.code,
            status=told.status, caller=entry.ask.caller if entry else "", trace=entry.trace if entry else "",
            ended_at=time.time_ns(), took_us=_since(arrived),
        ))  # fmt: skip

    def _tell(self, exchange: Exchange) -> None:
        for witness in self.witnesses:
            witness.saw(exchange)

    def _paid(self, entry: Entry, reply: Reply) -> None:
        if self.witnesses:
            self._tell(Exchange(
                protocol=entry.target.codec.name, model=entry.ask.model, version=reply.version, rows=reply.rows,
                request_id=reply.request_id, caller=entry.ask.caller, trace=entry.trace,
                ended_at=time.time_ns(), took_us=_since(entry.arrived),
            ))  # fmt: skip
        self._spent(entry, reply.rows)

    def _spent(self, entry: Entry, rows: int) -> None:
        token = entry.token
        if self.limits_all or (token is not None and token.allowance.budget):
            key, own = (token.id, token.allowance) if token else ("", None)
            self.allowances.spend(key, own, rows, entry.arrived)


def _since(arrived: float) -> int:
    return int((time.monotonic() - arrived) * 1e6)


def target_of(route: Route, places: Mapping[str, str]) -> Target:
    """Return the target of a prediction's route."""
    version = places.get("version")
    return Target(
        route, route.policy, HANDLED[route.handler], places.get("model", ""), None if version is None else int(version)
    )


def _with_patience(entry: Entry) -> None:
    left = entry.deadline - time.monotonic()
    if left <= 0:
        raise DeadlinePassed("the deadline passed before the model was asked", fix="wait longer, or ask less often")
    ask = entry.ask
    entry.ask = Asked(model=ask.model, version=ask.version, wire=ask.wire, deadline_s=left, caller=ask.caller)
