"""The data plane: a question in, an answer out, the same for every protocol, in three stages.

`prepare` routes and packs, `score` runs the engines, `complete` counts and makes the answer and its log record. The
first and the last run on the serving thread; `score` touches nothing shared, so a lane's thread may run it. During a
rollout both versions score every row (the paired comparison needs it) and the weight says only whose score the client
is given. A challenger that fails, is late or answers NaN is answered for by the champion and counted. `swap` replaces
everything at once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mainspring.kernel.errors import MainspringError
from mainspring.kernel.ids import RequestIds
from mainspring.kernel.records import LoggedRequest
from mainspring.kernel.times import Clock
from mainspring.serve.aborts import AbortRule, Override
from mainspring.serve.batching import alone
from mainspring.serve.blocks import Block, block_of
from mainspring.serve.counters import Counters
from mainspring.serve.entities import assembled, is_entity
from mainspring.serve.errors import BadInput, NotReady, TooLarge, UnknownModel
from mainspring.serve.ports import Assemble, LogSink
from mainspring.serve.questions import Answer, Question
from mainspring.serve.quick import Quick
from mainspring.serve.router import allowed_weight, chosen_rows
from mainspring.serve.scoring import (
    Features,
    Heard,
    Prepared,
    Scored,
    add_challenger,
    ask,
    champions,
    micros_since,
    record_of,
)
from mainspring.serve.till import Till
from mainspring.serve.turns import Turns
from mainspring.serve.versions import Serving, Version


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneRules:
    """Limits of the data plane.

    max_rows: largest request, if the contract says no less. late_us: a challenger that takes longer (microseconds) has
    failed. abort: when the router stops asking a challenger by itself. store_waits: `assemble` may wait long.
    """

    max_rows: int = 100_000
    late_us: int = 250_000
    abort: AbortRule = field(default_factory=AbortRule)
    store_waits: bool = False


class Plane:
    """Answers questions with the versions it was last given.

    random: gives n random bytes for prediction ids. assemble: fills features in entity mode, or None.
    model: the model's name, as the last release that was served says; "" before the first.
    """

    def __init__(
        self, *, log: LogSink, clock: Clock, random: Callable[[int], bytes], assemble: Assemble | None = None,
        rules: PlaneRules = PlaneRules(),
    ) -> None:  # fmt: skip
        self.clock, self.log, self.rules = clock, log, rules
        self.counters = Counters()
        self.override = Override(rules.abort)
        self._beside: list[Counters] = []
        self._random, self._ids, self._assemble = random, RequestIds(random), assemble
        self._serving: Serving | None = None
        self._quicks: dict[Till | None, Quick] = {}
        self.model = ""
        self._chosen_weight: float | None = None
        self.turns = Turns(self.gathered, self._pair, rules.late_us, store_waits=rules.store_waits)

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
        return allowed_weight(serving.routing, self.override.aborted, self._chosen_weight)

    def swap(self, serving: Serving | None) -> None:
        """Serve other versions or weights from the next request on; None: nothing until the next swap."""
        if serving is not None:
            if self._serving is None or self._serving.routing.rollout_id != serving.routing.rollout_id:
                self._chosen_weight = None
            self.override.follow(serving.routing.commit)
            self.model = serving.routing.model
        self._serving = serving
        old, self._quicks = self._quicks, {}
        for quick in [*old.values()]:  # a copy: another thread may add to them just now, and retires what it adds
            quick.retire()

    def choose(self, weight: float) -> None:
        """Give the challenger of a bandit this percent; the release file's bounds hold whatever it is."""
        self._chosen_weight = weight

    def quick(self, till: Till | None = None) -> Quick | None:
        """Return the short way for one row that suits what serves now, or None.

        till: of the thread that asks, from `till`; None for the serving thread.
        """
        quicks = self._quicks
        found = quicks.get(till)
        serving = self._serving
        if found is None and serving is not None and Quick.fits(serving):
            own = Till(log=self.log, clock=self.clock, ids=self._ids, counters=self.counters)
            found = quicks[till] = Quick(serving, till or own)
            if self._serving is not serving:  # swapped meanwhile, by another thread
                found.retire()
        return found

    def till(self) -> Till:
        """Return a till for threads that answer beside the serving thread, one at a time; `totals` has its counts."""
        ids = RequestIds(self._random)
        made = Till(log=self.log, clock=self.clock, ids=ids, counters=Counters(), paces=False)
        self._beside.append(made.counters)
        return made

    @property
    def totals(self) -> Counters:
        """Return the counts of all threads."""
        return self.counters.with_those_of(self._beside)

    def loaded(self, model: str, version: int | None = None) -> Serving:
        """Return what serves `model`; raise `NotReady` or `UnknownModel`."""
        serving = self._serving
        if serving is None:
            raise NotReady("no model is loaded", fix="promote a version, or load it again if it was unloaded")
        if serving.routing.model != model or (
            version is not None and all(item.number != version for item in serving.versions())
        ):
            raise UnknownModel("no such model or version is served here", fix="see GET /v2 for what is")
        return serving

    def prepare(
        self, question: Question, serving: Serving, version: int | None = None, *, pairs_later: bool = False
    ) -> Prepared:
        """Route and pack a question; raise a `RequestRefused` for what the model cannot be asked.

        version: the champion's number to be answered by it alone. A challenger takes traffic only by its weight.
        pairs_later: a challenger that the answer does not need is asked after it (`finish` sees to it).
        """
        rows = question.rows
        if rows > serving.max_rows:
            raise TooLarge(f"{rows} rows", fix=f"send at most {serving.max_rows} rows a request")
        if version is not None and version != serving.champion.number:
            raise UnknownModel("a challenger takes traffic only by its weight", fix="leave the version out of the path")
        if is_entity(question):
            self._check_entity(question)
            block = None
        else:
            block = block_of(question, serving.layout, serving.inputs, serving.known)
        now = self.clock.now()
        name = self._ids.next(now)
        challenger, wanted = serving.challenger, None
        if challenger is not None:
            challenger, wanted = self._routed(question, serving, version, name)
        asks_first = challenger is not None and (wanted is not None or not pairs_later)
        return Prepared(question, serving, name, now, block, challenger, wanted, asks_first)

    def score(self, prepared: Prepared) -> Scored:
        """Return what the versions say; raise a `RequestRefused`. Safe in any thread: it changes nothing shared."""
        features = self.gathered(prepared)
        scored = champions(features, alone(prepared.serving.champion, features.champion))
        if prepared.asks_first:
            scored.heard = ask(prepared.challenger, features.challenger, self.rules.late_us)
        return scored

    def gathered(self, prepared: Prepared) -> Features:
        """Return the features of both versions, assembled where only keys were sent. Safe in any thread."""
        serving, block, challenger = prepared.serving, prepared.block, prepared.challenger
        if block is not None:
            other = None if challenger is None else serving.challenger_view.of(block)
            return Features(serving.champion_view.of(block), other)
        question, champion = prepared.question, serving.champion
        columns = assembled(self._assemble, champion.contract, question, prepared.now)
        found = Features(champion.layout.packed(columns, question.rows), None, columns)
        if challenger is not None:
            found.challenger = self._other_features(found, prepared, challenger)
        return found

    def complete(self, prepared: Prepared, scored: Scored) -> tuple[Answer, LoggedRequest]:
        """Count, choose whose score each row is given, and make the answer and its record (`took_us` still 0)."""
        serving, rows = prepared.serving, prepared.question.rows
        champion, challenger = serving.champion, prepared.challenger
        champion.pace.saw(scored.champion_took, rows)
        scores, versions, served = scored.champion, [champion.number] * rows, bytes(rows)
        if challenger is not None and scored.heard is not None:
            self.saw_challenger(prepared, scored.heard, scored.champion_took)
            chosen = self._chosen(prepared, scored.heard)
            if chosen is not None and scored.heard.scores is not None:
                scores = np.where(chosen, scored.heard.scores, scores)
                versions = np.where(chosen, challenger.number, champion.number).tolist()
                served = chosen.astype(np.uint8).tobytes()
        taken = served.count(1)
        self.counters.rows_by_version[champion.number] += rows - taken
        if taken and challenger is not None:
            self.counters.rows_by_version[challenger.number] += taken
        answer = Answer(
            request_id=prepared.request_id, model=serving.routing.model, output=serving.takes.output,
            release=serving.routing.commit, scores=scores, versions=versions,
        )  # fmt: skip
        return answer, record_of(prepared, scored, served)

    def answer(self, question: Question, serving: Serving, version: int | None = None) -> tuple[Answer, LoggedRequest]:
        """Return the answer and the record to log: the three stages in a row."""
        prepared = self.prepare(question, serving, version)
        return self.complete(prepared, self.score(prepared))

    def finish(self, record: LoggedRequest, started_ns: int, pair: tuple[Prepared, Features] | None = None) -> None:
        """Count an answered request and log its record; `started_ns`: `time.perf_counter_ns` at its start.

        pair: what `prepare` put off until after the answer. Then the record is logged with the challenger's scores.
        """
        record.took_us = micros_since(started_ns)
        self.counters.answered(record.took_us)
        self.counters.rows += len(record.keys)
        if pair is not None and pair[0].challenger is not None and not pair[0].asks_first:
            self.turns.pair_later(*pair, record)
        else:
            self.log.put(record)

    def saw_challenger(self, prepared: Prepared, heard: Heard, beside_us: int) -> None:
        """Count what a challenger said, beside the champion's microseconds; an older release aborts nobody."""
        challenger, current = prepared.challenger, self._serving
        if challenger is None:
            return
        challenger.pace.saw(heard.took, prepared.question.rows)
        self.counters.challenger_requests += 1
        if heard.failure:
            self.counters.challenger_failed(challenger.number, heard.failure)
        if current is not None and current.routing.commit == prepared.serving.routing.commit:
            self.override.saw(heard.failure, heard.took, beside_us)

    def _pair(self, prepared: Prepared, record: LoggedRequest, heard: Heard | None) -> None:
        """Log an answered request with what the challenger said after it; None: there was no time to ask."""
        if heard is None:
            self.counters.unpaired_requests += 1
        elif prepared.challenger is not None:
            add_challenger(record, prepared.challenger, heard)
            self.saw_challenger(prepared, heard, record.took_each.get(prepared.serving.champion.digest, 0))
        self.log.put(record)

    def _check_entity(self, question: Question) -> None:
        if not question.keys:
            raise BadInput("neither features nor keys were sent", fix="send every input, or the tensor @key")
        if self._assemble is None:
            raise BadInput("this server has no online store", fix="send every input of the model")

    def _routed(
        self, question: Question, serving: Serving, version: int | None, name: str
    ) -> tuple[Version | None, NDArray[np.bool_] | None]:
        """Return the challenger if it is asked at all, and the rows that it may answer."""
        challenger = serving.challenger
        if challenger is None or challenger.digest == serving.champion.digest or self.override.aborted:
            return None, None
        weight = 0.0 if version is not None else self.weight
        if weight <= 0:
            return challenger, None
        keys = question.keys or [""] * question.rows
        wanted = chosen_rows(serving.routing, weight, [key or f"{name}.{row}" for row, key in enumerate(keys)])
        return challenger, wanted if wanted.any() else None

    def _other_features(self, found: Features, prepared: Prepared, challenger: Version) -> Block | None:
        """Return what the challenger reads in entity mode; None where it cannot be had, which is its failure."""
        question, contract = prepared.question, challenger.contract
        columns = found.columns or {}
        try:
            if contract.definitions != prepared.serving.champion.contract.definitions:
                columns = assembled(self._assemble, contract, question, prepared.now)
                found.columns = {**columns, **(found.columns or {})}
            return challenger.layout.packed(columns, question.rows)
        except (MainspringError, KeyError):
            return None

    def _chosen(self, prepared: Prepared, heard: Heard) -> NDArray[np.bool_] | None:
        """Return the rows whose client is given the challenger's score, or None for none of them."""
        wanted = prepared.wanted
        if wanted is None:
            return None
        if heard.scores is None or heard.failure == "late":
            self.counters.fallback_rows += int(wanted.sum())
            return None
        usable = np.isfinite(heard.scores)
        self.counters.fallback_rows += int((wanted & ~usable).sum())
        return wanted & usable
