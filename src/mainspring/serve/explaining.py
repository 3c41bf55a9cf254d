"""Explain a question instead of answering it: how much each input moved each row's score.

An explanation is no prediction: it has no prediction id, is not logged, and no window counts it. It says more of a
model than a score, so it takes few rows and counts them all against the caller's budget.
"""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from mainspring.serve.errors import DeadlinePassed, Overloaded, TooLarge
from mainspring.serve.inference import Asked
from mainspring.serve.plane import Plane
from mainspring.serve.protocols.v1 import V1, encode_explanation
from mainspring.serve.questions import Encoded, Explanation
from mainspring.serve.scoring import Prepared
from mainspring.stats.columns import Columns

MAX_ROWS = 64
WAIT_S = 60.0
_WAITING = 8


class Explainer(Protocol):
    """Explains rows by the model of a digest; called from threads, one call at a time a model."""

    def explain(self, digest: str, columns: Columns) -> Explanation:
        """Return the explanation of n rows; raise a `RequestRefused` where there is none."""

    def close(self) -> None:
        """Let go of what it holds."""


@dataclass(frozen=True, slots=True)
class Explained:
    """An encoded explanation of so many rows."""

    encoded: Encoded
    rows: int


class Explaining:
    """Explains what a plane serves, one request at a time in a thread of its own; at most `_WAITING` wait for it.

    One whose client gave up counts until the thread is done with it: nobody can make more work wait than that.
    """

    def __init__(self, plane: Plane, explainer: Explainer) -> None:
        self._plane, self._explainer = plane, explainer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._waiting: set[Future[Explanation]] = set()

    def close(self) -> None:
        """Let go of what explains."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._explainer.close()

    async def explained(self, body: bytes, ask: Asked) -> Explained:
        """Return why the champion scores the rows of a V1 body as it does; raise a `RequestRefused`."""
        serving = self._plane.loaded(ask.model, ask.version)
        question = V1.decode(body, serving.takes, ask.wire)
        if question.rows > MAX_ROWS:
            raise TooLarge(f"{question.rows} rows to explain", fix=f"send at most {MAX_ROWS}")
        if len(self._waiting) >= _WAITING:
            raise Overloaded("explanations are asked for faster than they are found", fix="wait", retry_after_s=1.0)
        champion = serving.champion
        prepared = self._plane.prepare(question, serving, champion.number)
        work = self._thread.submit(self._found, prepared)
        self._waiting.add(work)
        work.add_done_callback(self._waiting.discard)
        try:
            async with asyncio.timeout(ask.deadline_s or WAIT_S):
                found = await asyncio.wrap_future(work)
        except TimeoutError as error:
            raise DeadlinePassed("no explanation in time", fix="wait longer, or send fewer rows") from error
        return Explained(encode_explanation(serving.routing.model, champion.number, found), question.rows)

    def _found(self, prepared: Prepared) -> Explanation:
        champion = prepared.serving.champion
        features = self._plane.gathered(prepared)
        return self._explainer.explain(champion.digest, champion.layout.columns(features.champion))
