"""The score cache: the same answer without a second call, never another model's, bounded, and every answer logged."""

import json

import numpy as np
from tests.unit.serve.serving_kit import MODEL, ListSink, Parts, TinyEngine, body, digest, infer

from mainspring.serve.blocks import Block
from mainspring.serve.cache import CacheLimits, ScoreCache, key_of
from mainspring.serve.reconciler import Reconciler
from mainspring.stats.columns import Columns, Floats


class CountingEngine(TinyEngine):
    """Counts its calls."""

    calls = 0

    def __call__(self, columns: Columns, /) -> Floats:
        self.calls += 1
        return super().__call__(columns)


def block(*numbers: float, text: str | None = "a") -> Block:
    return Block(np.array([numbers]), np.array([[text]], dtype=object))


def doubled(seen: Block) -> Floats:
    return seen.numbers[:, 0] * 2


def test_equal_rows_are_equal_keys_and_nothing_else_is() -> None:
    nan = float(np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf8\x7f")[0])
    assert key_of("a", block(0.0)) == key_of("a", block(-0.0))
    assert key_of("a", block(float("nan"))) == key_of("a", block(nan))
    different = [
        key_of("a", block(0.0)), key_of("b", block(0.0)), key_of("a", block(1.0)), key_of("a", block(0.0, text="b")),
        key_of("a", block(0.0, text=None)), key_of("a", block(0.0, text="None")), key_of("a", block(0.0, 0.0)),
        key_of("a", Block(np.zeros((2, 1)), np.array([["a"], ["a"]], dtype=object))),
        key_of("a", block(float("nan"))),
    ]  # fmt: skip
    assert len(set(different)) == len(different)


def test_it_is_bounded_by_entries_and_bytes_and_forgets_the_oldest() -> None:
    few = ScoreCache(CacheLimits(entries=3))
    score = few.wrapped("m", doubled)
    for value in (1.0, 2.0, 3.0, 1.0, 4.0):  # 2 was used longest ago
        assert score(block(value)).tolist() == [2 * value]
    assert (len(few), few.hits, few.misses) == (3, 1, 4)
    score(block(1.0))
    assert few.hits == 2
    score(block(2.0))
    assert few.misses == 5
    small = ScoreCache(CacheLimits(size=1_000))
    for value in range(100):
        small.wrapped("m", doubled)(block(float(value)))
    assert small.size <= 1_000
    assert len(small) < 6


def test_large_requests_and_scores_that_are_not_finite_are_not_kept() -> None:
    cache = ScoreCache(CacheLimits(rows=1))
    cache.wrapped("m", doubled)(Block(np.zeros((2, 1)), np.empty((2, 0), dtype=object)))
    cache.wrapped("m", doubled)(block(float("nan")))
    assert len(cache) == 0


def test_what_is_kept_cannot_be_changed_by_who_was_given_it() -> None:
    cache = ScoreCache()
    given = np.array([0.5])
    cache.wrapped("m", lambda _: given)(block(1.0))
    given[0] = 0.9
    found = cache.wrapped("m", lambda _: given)(block(1.0))
    assert found.tolist() == [0.5]
    assert not found.flags.writeable


def test_every_answer_from_the_cache_has_its_own_id_and_log_record() -> None:
    parts, engine = Parts(), CountingEngine()
    parts.models.add(1, engine)
    parts.releases.set(1)
    cache = ScoreCache()
    Reconciler(parts.plane, parts.releases, parts.models, cache=cache).look()
    engine.calls = 0
    data = json.dumps(body(3)).encode()
    answers = [json.loads(infer(parts.plane, data, MODEL).encoded.body) for _ in range(5)]
    assert engine.calls == 1
    assert cache.hits >= 4
    assert len({answer["parameters"]["prediction_ids"][0] for answer in answers}) == 5
    assert all(answer["outputs"] == answers[0]["outputs"] for answer in answers)
    assert isinstance(parts.log, ListSink)
    assert len(parts.log.records) == 5
    assert len({record.scores[digest(1)] for record in parts.log.records}) == 1


def test_without_a_cache_every_request_is_scored() -> None:
    parts, engine = Parts(), CountingEngine()
    parts.models.add(1, engine)
    parts.serve()
    engine.calls = 0
    for _ in range(3):
        infer(parts.plane, json.dumps(body(3)).encode(), MODEL)
    assert engine.calls == 3
