"""The data plane: a question in, an answer out, the same for every protocol.

Order: route -> assemble by the version's contract -> engine -> log. During a rollout both versions score every row (the
paired comparison needs it) and the weight says only whose score the client is given. A challenger that fails, is
late or answers NaN is answered for by the champion and counted. Runs on one thread; `swap` replaces everything at once.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mainspring.kernel.contract import Contract
from mainspring.kernel.errors import MainspringError
from mainspring.kernel.ids import request_id
from mainspring.kernel.records import LoggedRequest
from mainspring.kernel.times import Clock
from mainspring.serve.counters import Counters
from mainspring.serve.errors import (
    BadInput,
    FeaturesFailed,
    ModelFailed,
    ModelRefused,
    NotReady,
    TooLarge,
    UnknownModel,
    shown,
)
from mainspring.serve.ports import Assemble, LogSink
from mainspring.serve.questions import Answer, Question
from mainspring.serve.router import AbortRule, Override, allowed_weight, chosen_rows
from mainspring.serve.tensors import as_number, as_text
from mainspring.serve.versions import Serving, Version
from mainspring.stats.columns import Columns, Floats

ASK_PREFIX = "ask."


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneRules:
    """Limits of the data plane.

    max_rows: largest request, if the contract says no less. late_us: a challenger that takes longer (microseconds) has
    failed. abort: when the router stops asking a challenger by itself.
    """

    max_rows: int = 100_000
    late_us: int = 250_000
    abort: AbortRule = field(default_factory=AbortRule)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scored:
    features: Columns
    scores: dict[str, Floats]
    errors: dict[str, str]
    took_each: dict[str, int]


class Plane:
    """Answers questions with the versions it was last given.

    random: gives n random bytes for prediction ids. assemble: fills features in entity mode, or None.
    """

    def __init__(
        self, *, log: LogSink, clock: Clock, random: Callable[[int], bytes], assemble: Assemble | None = None,
        rules: PlaneRules = PlaneRules(),
    ) -> None:  # fmt: skip
        self.clock, self.log, self.rules = clock, log, rules
        self.counters = Counters()
        self.override = Override(rules.abort)
        self._random, self._assemble = random, assemble
        self._serving: Serving | None = None

    @property
    def serving(self) -> Serving | None:
        """Return what is loaded now, or None before the first good release."""
        return self._serving

    @property
    def weight(self) -> float:
        """Return the percent of rows that the challenger answers now, after the router's own abort."""
        serving = self._serving
        if serving is None or serving.challenger is None:
            return 0.0
        return allowed_weight(serving.routing, self.override.aborted)

    def swap(self, serving: Serving) -> None:
        """Serve other versions or weights from the next request on."""
        self.override.follow(serving.routing.commit)
        self._serving = serving

    def loaded(self, model: str, version: int | None = None) -> Serving:
        """Return what serves `model`; raise `NotReady` or `UnknownModel`."""
        serving = self._serving
        if serving is None:
            raise NotReady("no model is loaded", fix="promote a version, then try again")
        known = {item.number for item in serving.versions()}
        if serving.routing.model != model or (version is not None and version not in known):
            raise UnknownModel("no such model or version is served here", fix="see GET /v2 for what is")
        return serving

    def answer(self, question: Question, serving: Serving, version: int | None = None) -> tuple[Answer, LoggedRequest]:
        """Return the answer and the record to log (its `took_us` still 0), or raise a `RequestRefused`.

        version: the champion's number to be answered by it alone. A challenger takes traffic only by its weight.
        """
        if question.rows > serving.max_rows:
            raise TooLarge(f"{question.rows} rows", fix=f"send at most {serving.max_rows} rows a request")
        if version is not None and version != serving.champion.number:
            raise UnknownModel("a challenger takes traffic only by its weight", fix="leave the version out of the path")
        now = self.clock.now()
        asked_at = question.asked_at
        if asked_at is None:
            asked_at = np.full(question.rows, now, dtype=np.int64)
        scored = self._score(question, serving, asked_at)
        name = request_id(now, self._random(10))
        weight = 0.0 if version is not None else self.weight
        served = self._served(question, serving, scored, weight, name)
        return _replied(serving, scored, served, name), _record(
            question, serving, scored, served, (name, now, asked_at)
        )

    def finish(self, record: LoggedRequest, started_ns: int) -> None:
        """Count an answered request and log its record; `started_ns`: `time.perf_counter_ns` at its start."""
        record.took_us = _micros_since(started_ns)
        self.counters.answered(record.took_us)
        self.counters.rows += len(record.keys)
        self.log.put(record)

    def _score(self, question: Question, serving: Serving, asked_at: NDArray[np.int64]) -> _Scored:
        champion, challenger = serving.champion, serving.challenger
        scored = _Scored(
            features=self._features(question, serving, champion, asked_at), scores={}, errors={}, took_each={}
        )
        started = time.perf_counter_ns()
        try:
            scores = champion.score(scored.features)
        except ModelRefused as error:
            raise ModelFailed("the model failed", fix="see the server's log") from error
        if not np.isfinite(scores).all():
            raise ModelFailed("the model gave a number that is not finite", fix="see the server's log")
        scored.scores[champion.digest] = scores
        scored.took_each[champion.digest] = _micros_since(started)
        if challenger is not None and challenger.digest != champion.digest and not self.override.aborted:
            failure = self._try_challenger(challenger, question, asked_at, (serving, scored))
            self.counters.challenger_requests += 1
            self.override.saw(failure)
            if failure:
                self.counters.challenger_failures[failure] += 1
                scored.errors[challenger.digest] = failure
        return scored

    def _try_challenger(
        self, challenger: Version, question: Question, asked_at: NDArray[np.int64], beside: tuple[Serving, _Scored]
    ) -> str:
        """Score every row with the challenger too; return "" or why it failed, never raise."""
        serving, scored = beside
        features, started = scored.features, time.perf_counter_ns()
        try:
            if _is_entity(question) and challenger.contract.definitions != serving.champion.contract.definitions:
                features = self._features(question, serving, challenger, asked_at)
                scored.features.update({name: v for name, v in features.items() if name not in scored.features})
            scores = challenger.score(features)
        except MainspringError:
            return "error"
        took = scored.took_each[challenger.digest] = _micros_since(started)
        scored.scores[challenger.digest] = scores
        if took > self.rules.late_us:
            return "late"
        return "" if np.isfinite(scores).all() else "not_finite"

    def _features(self, question: Question, serving: Serving, version: Version, asked_at: NDArray[np.int64]) -> Columns:
        if not _is_entity(question):
            return _columns(question, serving)
        if not question.keys:
            raise BadInput("neither features nor keys were sent", fix="send every input, or the tensor @key")
        if self._assemble is None:
            raise BadInput("this server has no online store", fix="send every input of the model")
        request = {name.removeprefix(ASK_PREFIX): tensor.values for name, tensor in question.tensors.items()}
        return _assembled(self._assemble, version.contract, request, question.keys, asked_at)

    def _served(
        self, question: Question, serving: Serving, scored: _Scored, weight: float, name: str
    ) -> NDArray[np.uint8]:
        """Return 1 for the rows whose client is given the challenger's score, else 0."""
        challenger = serving.challenger
        if challenger is None or weight <= 0 or challenger.digest == serving.champion.digest:
            return np.zeros(question.rows, dtype=np.uint8)
        keys = question.keys or [""] * question.rows
        wanted = chosen_rows(serving.routing, weight, [key or f"{name}.{row}" for row, key in enumerate(keys)])
        scores = scored.scores.get(challenger.digest)
        if scores is None or scored.errors.get(challenger.digest) == "late":
            self.counters.fallback_rows += int(wanted.sum())
            return np.zeros(question.rows, dtype=np.uint8)
        usable = np.isfinite(scores)
        self.counters.fallback_rows += int((wanted & ~usable).sum())
        return (wanted & usable).astype(np.uint8)


def _is_entity(question: Question) -> bool:
    """Tell whether features are to be filled in: only keys were sent, perhaps with columns of the ask's own row."""
    return question.matrix is None and all(name.startswith(ASK_PREFIX) for name in question.tensors)


def _micros_since(started_ns: int) -> int:
    return (time.perf_counter_ns() - started_ns) // 1_000


def _assembled(
    assemble: Assemble, contract: Contract, request: Columns, keys: list[str], asked_at: NDArray[np.int64]
) -> Columns:
    try:
        columns = assemble(contract, request, keys, asked_at)
    except MainspringError as error:
        raise BadInput(f"features could not be assembled: {error.what[:200]}", fix=error.fix) from error
    except Exception as error:  # a store has exceptions of its own; its failure is not the client's mistake
        raise FeaturesFailed("the online store failed", fix="send every input, or try again") from error
    missing = [item.name for item in contract.inputs if item.name not in columns]
    if missing:
        raise BadInput(f"the online store has no {missing[0]!r}", fix="run features materialise, or send every input")
    return columns


def _columns(question: Question, serving: Serving) -> Columns:
    inputs, tensors = serving.inputs, question.tensors
    if question.matrix is not None:  # the codec checked its width and the inputs' kinds
        return dict(zip(inputs, question.matrix.T, strict=True))
    unknown = sorted(tensors.keys() - serving.known)
    if unknown:
        raise BadInput(f"unknown input {shown(unknown[0])}", fix="see the model's metadata for its inputs")
    missing = sorted(inputs.keys() - tensors.keys())
    if missing:
        raise BadInput(
            f"input {missing[0]!r} is missing ({len(missing)} in all)", fix="send every input, null if missing"
        )
    return {
        name: as_number(tensors[name]) if kind == "number" else as_text(tensors[name]) for name, kind in inputs.items()
    }


def _replied(serving: Serving, scored: _Scored, served: NDArray[np.uint8], name: str) -> Answer:
    champion, challenger = serving.champion, serving.challenger
    scores, versions = scored.scores[champion.digest], [champion.number] * len(served)
    if challenger is not None and served.any():
        scores = np.where(served == 1, scored.scores[challenger.digest], scores)
        versions = np.where(served == 1, challenger.number, champion.number).tolist()
    return Answer(
        request_id=name, model=serving.routing.model, output=champion.contract.output, release=serving.routing.commit,
        scores=scores, versions=versions,
    )  # fmt: skip


def _record(
    question: Question, serving: Serving, scored: _Scored, served: NDArray[np.uint8],
    named: tuple[str, int, NDArray[np.int64]],
) -> LoggedRequest:  # fmt: skip
    name, now, asked_at = named
    features = scored.features
    return LoggedRequest(
        request_id=name, logged_at=now, took_us=0, release=serving.routing.commit,
        keys=question.keys or [""] * question.rows, asked_at=asked_at.astype("<i8", copy=False).tobytes(),
        numbers={n: v.astype("<f8", copy=False).tobytes() for n, v in features.items() if v.dtype != object},
        strings={n: v.tolist() for n, v in features.items() if v.dtype == object},
        versions=list(scored.scores), served=served.tobytes(), errors=scored.errors, took_each=scored.took_each,
        scores={digest: values.astype("<f8", copy=False).tobytes() for digest, values in scored.scores.items()},
    )  # fmt: skip
