"""What the plane's three stages hand on: a prepared request, what the engines said, and the record of both."""

import time
from collections.abc import Callable, Mapping
from math import isfinite

import msgspec
import numpy as np
from numpy.typing import NDArray

from mainspring.kernel.records import LoggedRequest
from mainspring.serve.batching import Outcome, alone
from mainspring.serve.blocks import Block, little
from mainspring.serve.errors import ModelFailed, ModelGone, ModelRefused, RowsRefused
from mainspring.serve.questions import Question
from mainspring.serve.versions import Serving, Version
from mainspring.stats.columns import Columns, Floats


class Prepared(msgspec.Struct):
    """A request that was routed and packed.

    block: its features, or None where keys were sent: then they are assembled while scoring. challenger: the version
    that is asked too, or None. wanted: the rows that it may answer, or None for none. asks_first: it is asked before
    the answer is given; otherwise after it, for the comparison alone.
    """

    question: Question
    serving: Serving
    request_id: str
    now: int
    block: Block | None
    challenger: Version | None
    wanted: NDArray[np.bool_] | None
    asks_first: bool


class Features(msgspec.Struct):
    """A request's features: the champion's block, the challenger's, and where they were assembled, every column."""

    champion: Block
    challenger: Block | None
    columns: Columns | None = None


class Heard(msgspec.Struct):
    """What a challenger said. scores: n, or None. took: microseconds. failure: why they do not count, or ""."""

    scores: Floats | None = None
    took: int = 0
    failure: str = "error"


class Scored(msgspec.Struct):
    """What the engines said: the champion's finite scores, and the challenger's if it was asked first."""

    features: Features
    champion: Floats
    champion_took: int
    heard: Heard | None = None


def champions(features: Features, outcome: Outcome) -> Scored:
    """Return the champion's answer; raise `ModelFailed` where it has none that is finite, or what it says of rows."""
    if isinstance(outcome, RowsRefused):
        raise outcome.told
    if isinstance(outcome, ModelRefused):
        raise ModelFailed("the model failed", fix="see the server's log") from outcome
    scores, took = outcome
    if not (isfinite(scores[0]) if len(scores) == 1 else np.isfinite(scores).all()):
        raise ModelFailed("the model gave a number that is not finite", fix="see the server's log")
    return Scored(features, scores, took)


def heard(outcome: Outcome, late_us: int) -> Heard:
    """Return what a challenger's outcome is worth."""
    if isinstance(outcome, ModelRefused):
        return Heard(failure="gone" if isinstance(outcome, ModelGone) else "error")
    scores, took = outcome
    if took > late_us:
        return Heard(scores, took, "late")
    return Heard(scores, took, "" if np.isfinite(scores).all() else "not_finite")


def ask(
    version: Version | None, block: Block | None, late_us: int, clock: Callable[[], int] = time.perf_counter_ns
) -> Heard:  # fmt: skip
    """Score with a challenger now; never raises. clock: times it, in nanoseconds."""
    return Heard() if version is None or block is None else heard(alone(version, block, clock), late_us)


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
    if challenger is not None and scored.heard is not None:
        add_challenger(record, challenger, scored.heard)
    return record


def add_challenger(record: LoggedRequest, challenger: Version, heard: Heard) -> None:
    """Write the challenger's side of a pair into the champion's record."""
    if heard.failure:
        record.errors[challenger.digest] = heard.failure
    if heard.scores is not None:
        record.versions.append(challenger.digest)
        record.scores[challenger.digest] = little(heard.scores).tobytes()
        record.took_each[challenger.digest] = heard.took


def _times(question: Question, now: int) -> bytes:
    """Return the business time a row as little-endian int64; now where the client gave none."""
    if question.asked_at is None:
        return now.to_bytes(8, "little") * question.rows
    return question.asked_at.astype("<i8", copy=False).tobytes()


def micros_since(started_ns: int) -> int:
    """Return whole microseconds since a `time.perf_counter_ns`."""
    return (time.perf_counter_ns() - started_ns) // 1_000
