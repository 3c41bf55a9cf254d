"""The data plane: both versions score during a rollout, the champion stands in, and everything is logged."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.serve.serving_kit import (
    INPUTS,
    MODEL,
    NOW,
    BrokenEngine,
    ListSink,
    Parts,
    TinyEngine,
    body,
    digest,
    infer,
)

from mainspring.kernel.contract import Contract, Input
from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.records import LoggedRequest
from mainspring.serve.errors import BadInput, ModelFailed, NotReady, RequestRefused, UnknownModel
from mainspring.serve.inference import Asked, MustWait
from mainspring.serve.inference import infer as infer_beside
from mainspring.serve.plane import PlaneRules
from mainspring.serve.ports import LoadedModel
from mainspring.serve.protocols.v2 import V2
from mainspring.stats.columns import Columns, Floats


def ask(parts: Parts, document: dict[str, Any], version: int | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        infer(parts.plane, json.dumps(document).encode(), MODEL, version=version).encoded.body
    )
    return found


def records(parts: Parts) -> list[LoggedRequest]:
    assert isinstance(parts.log, ListSink)
    return parts.log.records


def keyed(rows: int) -> dict[str, Any]:
    return body(rows, parameters={"keys": [f"k{row}" for row in range(rows)]})


def fail_nan(scores: Floats) -> Floats:
    return np.where(np.arange(len(scores)) % 2 == 0, np.nan, scores)


def fail_raise(scores: Floats) -> Floats:
    raise RuntimeError(f"no scores for {len(scores)} rows")


def fail_short(scores: Floats) -> Floats:
    return scores[:-1]


def fail_late(scores: Floats) -> Floats:
    time.sleep(0.02)
    return scores


def test_during_a_rollout_both_versions_score_every_row_and_the_weight_says_who_is_heard() -> None:
    parts = Parts()
    parts.serve(1, 2, weight=25)
    answer = ask(parts, keyed(400))
    versions = answer["parameters"]["versions"]
    assert 0.15 < np.mean(np.array(versions) == 2) < 0.35
    record = records(parts)[0]
    assert record.versions == [digest(1), digest(2)]
    scores = [np.frombuffer(record.scores[name]) for name in record.versions]
    assert len(scores[0]) == len(scores[1]) == 400
    given = np.where(np.frombuffer(record.served, dtype=np.uint8) == 1, scores[1], scores[0])
    assert given.tolist() == answer["outputs"][0]["data"]
    assert [1 + byte for byte in record.served] == versions


def test_a_shadow_scores_but_is_never_heard() -> None:
    parts = Parts()
    parts.serve(1, 2, weight=100, mode="shadow")
    assert set(ask(parts, keyed(50))["parameters"]["versions"]) == {1}
    assert len(records(parts)[0].scores) == 2


def test_a_row_stays_with_its_version_while_the_weight_grows() -> None:
    parts = Parts()
    heard: list[set[int]] = []
    for weight in (5, 25, 60):
        parts.serve(1, 2, weight=weight)
        versions = ask(parts, keyed(500))["parameters"]["versions"]
        heard.append({row for row, version in enumerate(versions) if version == 2})
    assert heard[0] < heard[1] < heard[2]


@pytest.mark.parametrize(
    ("fail", "reason"),
    [(fail_nan, "not_finite"), (fail_raise, "error"), (fail_short, "error"), (fail_late, "late")],
)
def test_the_champion_answers_for_a_failing_challenger(fail: Callable[[Floats], Floats], reason: str) -> None:
    parts = Parts(rules=PlaneRules(late_us=5_000))
    parts.models.add(2, BrokenEngine(fail))
    parts.serve(1, 2, weight=100)
    answer = ask(parts, keyed(10))
    assert all(np.isfinite(answer["outputs"][0]["data"]))
    expected = {1} if reason != "not_finite" else {1, 2}
    assert set(answer["parameters"]["versions"]) == expected
    assert parts.plane.counters.challenger_failures == {reason: 1}
    assert parts.plane.counters.fallback_rows == (5 if reason == "not_finite" else 10)
    assert records(parts)[0].errors == {digest(2): reason}


def test_a_challenger_that_keeps_failing_is_not_asked_again_until_the_next_commit() -> None:
    parts = Parts()
    parts.models.add(2, BrokenEngine(fail_raise))
    parts.serve(1, 2, weight=50)
    for _ in range(20):
        ask(parts, keyed(10))
    assert parts.plane.weight == 0
    assert parts.plane.counters.challenger_requests == 5
    parts.serve(1, 2, weight=25)
    assert parts.plane.weight == 25


def test_a_failing_champion_is_an_error_and_nothing_is_logged() -> None:
    for fail in (fail_nan, fail_raise, fail_short):
        parts = Parts()
        parts.models.add(1, BrokenEngine(fail, shift=0.0))
        parts.serve()
        with pytest.raises(ModelFailed):
            ask(parts, keyed(10))
        assert not records(parts)


def test_the_log_holds_what_was_used() -> None:
    parts = Parts()
    parts.serve()
    answer = ask(parts, body(2, parameters={"keys": ["a", ""], "asked_at": [5, 6]}))
    record = records(parts)[0]
    assert record.keys == ["a", ""]
    assert np.frombuffer(record.asked_at, dtype="<i8").tolist() == [5, 6]
    assert np.frombuffer(record.numbers["weather.wind"]).tolist() == [0.0, 0.5]
    assert record.strings["schedule.carrier"] == ["AA", "AA"]
    assert answer["parameters"]["prediction_ids"] == [f"{record.request_id}.0", f"{record.request_id}.1"]
    assert record.release == parts.plane.serving.routing.commit if parts.plane.serving else False
    assert record.took_us >= record.took_each[digest(1)] >= 0
    assert record.logged_at == NOW


def test_a_request_without_a_time_is_asked_now() -> None:
    parts = Parts()
    parts.serve()
    ask(parts, body(2))
    assert np.frombuffer(records(parts)[0].asked_at, dtype="<i8").tolist() == [NOW, NOW]


def test_nothing_is_answered_before_the_first_release() -> None:
    with pytest.raises(NotReady):
        ask(Parts(), body(2))


def test_only_the_champion_answers_by_version() -> None:
    parts = Parts()
    parts.serve(1, 2, weight=100)
    assert set(ask(parts, keyed(5), version=1)["parameters"]["versions"]) == {1}
    for version in (2, 3):
        with pytest.raises(UnknownModel):
            ask(parts, keyed(5), version=version)


def test_a_request_must_hold_the_inputs_of_every_loaded_version() -> None:
    more = (*INPUTS, Input(name="plane.age", kind="number"))
    parts = Parts()
    parts.models.add(2, TinyEngine(1.0), more)
    parts.serve(1, 2, weight=50)
    with pytest.raises(BadInput, match=r"plane\.age"):
        ask(parts, body(2))
    document = body(2)
    document["inputs"].append({"name": "plane.age", "shape": [2], "datatype": "FP64", "data": [1, None]})
    ask(parts, document)
    assert set(records(parts)[0].numbers) == {"weather.wind", "plane.age"}
    parts.serve(1)
    with pytest.raises(BadInput, match="unknown input"):
        ask(parts, document)


class Shelf:
    """Features by key, as a store would give them; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], list[int], list[str]]] = []

    def __call__(
        self, contract: Contract, request: Columns, keys: Sequence[str], asked_at: NDArray[np.int64]
    ) -> Columns:
        self.asked.append((list(keys), asked_at.tolist(), sorted(request)))
        if "unknown" in keys:
            raise InvalidValue("no row for a key", fix="check the key")
        if "broken" in keys:
            raise OSError("disk I/O error")
        return {
            "weather.wind": np.arange(len(keys)) * 0.5,
            "schedule.carrier": np.array(["AA"] * len(keys), dtype=object),
        }


def entity(keys: list[str], **more: object) -> dict[str, Any]:
    return {"inputs": [{"name": "@key", "shape": [len(keys)], "datatype": "BYTES", "data": keys}], **more}


def test_entity_mode_answers_as_if_the_features_had_been_sent_and_logs_them() -> None:
    shelf = Shelf()
    parts = Parts(assemble=shelf)
    parts.serve(1, 2, weight=10)
    by_key = ask(parts, entity(["a", "b"], parameters={"asked_at": [7, 8]}))
    by_value = ask(parts, body(2, parameters={"keys": ["a", "b"], "asked_at": [7, 8]}))
    assert by_key["outputs"] == by_value["outputs"]
    assert shelf.asked == [(["a", "b"], [7, 8], [])]
    assert records(parts)[0].numbers == records(parts)[1].numbers


def test_entity_mode_passes_on_early_columns_of_the_ask() -> None:
    shelf = Shelf()
    parts = Parts(assemble=shelf)
    parts.serve()
    document = entity(["a"])
    document["inputs"].append({"name": "ask.carrier", "shape": [1], "datatype": "BYTES", "data": ["AA"]})
    ask(parts, document)
    assert shelf.asked[0][2] == ["carrier"]


def test_a_key_that_cannot_be_assembled_is_the_clients_error_and_a_dead_store_is_not() -> None:
    parts = Parts(assemble=Shelf())
    parts.serve()
    for key, status in (("unknown", 400), ("broken", 503)):
        with pytest.raises(RequestRefused) as caught:
            ask(parts, entity([key]))
        assert caught.value.status == status


def test_a_store_that_may_be_slow_is_waited_for_in_a_thread() -> None:
    threads = set()

    class Slow(Shelf):
        def __call__(
            self, contract: Contract, request: Columns, keys: Sequence[str], asked_at: NDArray[np.int64]
        ) -> Columns:
            threads.add(threading.current_thread().name.partition("_")[0])
            return super().__call__(contract, request, keys, asked_at)

    async def answered() -> dict[str, Any]:
        reply = await infer_beside(parts.plane, V2, json.dumps(entity(["a", "b"])).encode(), Asked(model=MODEL))
        found: dict[str, Any] = json.loads(reply.encoded.body)
        return found

    parts = Parts(assemble=Slow(), rules=PlaneRules(store_waits=True))
    parts.serve()
    with pytest.raises(MustWait):
        ask(parts, entity(["a", "b"]))
    assert not threads
    assert asyncio.run(answered())["outputs"] == ask(parts, body(2))["outputs"]
    assert threads == {"features"}
    parts.plane.turns.close()


def test_a_feature_that_the_contract_defines_may_be_sent_though_the_graph_does_not_read_it() -> None:
    views = [
        {"name": "weather", "columns": ["rain"], "derive": [["cold", "temp < 0"]]},
        {"name": "lately", "aggregates": [["share", "avg(late)"]]},
    ]
    parts = Parts()
    loaded = parts.models.models[digest(1)]
    assert isinstance(loaded, LoadedModel)
    parts.models.models[digest(1)] = replace(loaded, contract=replace(loaded.contract, definitions={"views": views}))
    parts.serve()
    document = body(2)
    for name in ("weather.rain", "weather.cold", "lately.share"):
        document["inputs"].append({"name": name, "shape": [2], "datatype": "FP64", "data": [1, 2]})
    ask(parts, document)
    assert set(records(parts)[0].numbers) == {"weather.wind"}
