"""What the plane's three stages hand on: a prepared request, what the engines said, and the record of both."""

import time
from collections.abc import Mapping
from math import isfinite

import msgspec
import numpy as np
from numpy.typing import NDArray

from mainspring.kernel.records import LoggedRequest
from mainspring.serve.blocks import Block, little
from mainspring.serve.errors import ModelFailed, ModelRefused
from mainspring.serve.questions import Question
from mainspring.serve.versions import Serving, Version
from mainspring.stats.columns import Columns, Floats


class Prepared(msgspec.Struct):
    """A request that was routed and packed.

    block: its features, or None where keys were sent: then they are assembled while scoring. challenger: the version
    that is asked too, or None. wanted: the rows that it may answer, or None for none.
    """

    question: Question
    serving: Serving
    request_id: str
    now: int
    block: Block | None
    challenger: Version | None
    wanted: NDArray[np.bool_] | None


class Features(msgspec.Struct):
    """A request's features: the champion's block, the challenger's, and where they were assembled, every column."""

    champion: Block
    challenger: Block | None
    columns: Columns | None = None


class Scored(msgspec.Struct):
    """What the engines said. challenger: its scores, or None. failure: why it failed, or "". took: microseconds."""

    features: Features
    champion: Floats
    champion_took: int
    challenger: Floats | None = None
    challenger_took: int = 0
    failure: str = ""


def judged(features: Features, prepared: Prepared, late_us: int) -> Scored:
    """Score features with both versions; raise `ModelFailed` where the champion has no finite answer."""
    started = time.perf_counter_ns()
    try:
        scores = prepared.serving.champion.score(features.champion)
    except ModelRefused as error:
        raise ModelFailed("the model failed", fix="see the server's log") from error
    if not (isfinite(scores[0]) if len(scores) == 1 else np.isfinite(scores).all()):
        raise ModelFailed("the model gave a number that is not finite", fix="see the server's log")
    scored = Scored(features, scores, micros_since(started))
    if prepared.challenger is not None:
        _try_challenger(scored, prepared.challenger, late_us)
    return scored


def _try_challenger(scored: Scored, challenger: Version, late_us: int) -> None:
    """Score every row with the challenger too; write down why it failed, never raise."""
    block, started = scored.features.challenger, time.perf_counter_ns()
    scored.failure = "error"
    if block is None:
        return
    try:
        scores = challenger.score(block)
    except ModelRefused:
        return
    scored.challenger_took = micros_since(started)
    scored.challenger = scores
    if scored.challenger_took > late_us:
        scored.failure = "late"
    else:
        scored.failure = "" if np.isfinite(scores).all() else "not_finite"


def record_of(prepared: Prepared, scored: Scored, served: bytes) -> LoggedRequest:
    """Return the log record of an answered request."""
    question, serving, features = prepared.question, prepared.serving, scored.features
    champion, challenger = serving.champion.digest, prepared.challenger
    numbers: Mapping[str, bytes]
    if features.columns is not None:
        numbers = {n: v.astype("<f8", copy=False).tobytes() for n, v in features.columns.items() if v.dtype != object}
        strings = {n: v.tolist() for n, v in features.columns.items() if v.dtype == object}
    else:
        numbers, strings = serving.layout.logged(prepared.block or features.champion)
    record = LoggedRequest(
        request_id=prepared.request_id, logged_at=prepared.now, took_us=0, release=serving.routing.commit,
        keys=question.keys or [""] * question.rows, asked_at=_times(question, prepared.now), numbers=numbers,
        strings=strings, versions=[champion], scores={champion: little(scored.champion).tobytes()},
        served=served, took_each={champion: scored.champion_took},
    )  # fmt: skip
    if challenger is not None:
        add_challenger(record, challenger, scored)
    return record


def add_challenger(record: LoggedRequest, challenger: Version, scored: Scored) -> None:
    """Write the challenger's side of a pair into the champion's record."""
    if scored.failure:
        record.errors[challenger.digest] = scored.failure
    if scored.challenger is not None:
        record.versions.append(challenger.digest)
        record.scores[challenger.digest] = little(scored.challenger).tobytes()
        record.took_each[challenger.digest] = scored.challenger_took


def _times(question: Question, now: int) -> bytes:
    """Return the business time a row as little-endian int64; now where the client gave none."""
    if question.asked_at is None:
        return now.to_bytes(8, "little") * question.rows
    return question.asked_at.astype("<i8", copy=False).tobytes()


def micros_since(started_ns: int) -> int:
    """Return whole microseconds since a `time.perf_counter_ns`."""
    return (time.perf_counter_ns() - started_ns) // 1_000
