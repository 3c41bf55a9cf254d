"""The short way for many rows says and logs what the long way does, or leaves the request to it untouched."""

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.serve.serving_kit import MODEL, ListSink, Parts, infer
from tests.unit.serve.test_serve_quick import TAKEN as ONE_ROW
from tests.unit.serve.test_serve_quick import Failing, Least, logged, numeric

from mainspring.serve.errors import ModelFailed
from mainspring.serve.log_rows import Row, RowShape, whole
from mainspring.serve.log_rules import LogRules
from mainspring.serve.quick_rows import Answered
from mainspring.stats.columns import Floats

Body = tuple[bytes, int | None]
BINARY: dict[str, Any] = {"parameters": {"binary_data_output": True}}


def table(rows: int = 40, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).normal(size=(rows, 3))


def in_json(values: Floats, **more: object) -> Body:
    tensor = {"name": "x", "shape": list(values.shape), "datatype": "FP64", "data": values.ravel().tolist()}
    return json.dumps({"inputs": [tensor], **more}, ensure_ascii=False).encode(), None


def in_binary(values: Floats, datatype: str = "FP64", **more: object) -> Body:
    raw = values.astype("<f8" if datatype == "FP64" else "<f4").tobytes()
    size = {"binary_data_size": len(raw)}
    tensor = {"name": "x", "shape": list(values.shape), "datatype": datatype, "parameters": size}
    head = json.dumps({"inputs": [tensor], **more}, ensure_ascii=False).encode()
    return head + raw, len(head)


def shorter(body: Body, by: int) -> Body:
    return body[0][:-by], body[1]


def changed(body: Body, old: bytes, new: bytes) -> Body:
    data, head = body
    assert old in data
    return data.replace(old, new, 1), head and head + len(new) - len(old)


def quickly(parts: Parts, body: Body) -> Answered | None:
    quick = parts.plane.quick()
    assert quick is not None
    return quick.answers(b"before" + body[0], 6, body[1])


def records(parts: Parts) -> list[Any]:
    assert isinstance(parts.log, ListSink)
    return [
        replace(one, numbers=dict(one.numbers), request_id="", took_us=0, took_each=dict.fromkeys(one.took_each, 0))
        for one in parts.log.records
    ]


def without_ids(answer: bytes) -> bytes:
    return re.sub(rb"p-\d{10}-[a-z2-7]{16}", b"ID", answer)


WITH_NULL = table()
WITH_NULL[3, 1] = np.nan
TAKEN = {
    "json": in_json(table()),
    "json with an id": in_json(table(), id="ü"),
    "json, binary answer": in_json(table(), **BINARY),
    "json, an output by name": in_json(table(), outputs=[{"name": "probability"}]),
    "json, columns": (json.dumps({"inputs": [
        {"name": f"v.{name}", "shape": [90], "datatype": "FP64", "data": table(90)[:, at].tolist()}
        for at, name in enumerate("abc")
    ]}).encode(), None),
    "binary": in_binary(table()),
    "binary both ways": in_binary(table(), **BINARY),
    "binary, one row": in_binary(table(1), **BINARY),
    "binary, most rows": in_binary(table(1_000), **BINARY),
    "binary, float32": in_binary(table(), "FP32", **BINARY),
    "binary, null": in_binary(WITH_NULL),
    "binary, an id": in_binary(table(), id='a "b" ü'.replace('"', "'"), **BINARY),
}  # fmt: skip
LEFT = {
    "json, keys": in_json(table(), parameters={"keys": ["a"] * 40}),
    "json, times": in_json(table(), parameters={"asked_at": "2013-05-01T06:00:00Z"}),
    "json, classes": in_json(table(), outputs=[{"name": "probability", "parameters": {"classification": 1}}]),
    "json, an unknown output": in_json(table(), outputs=[{"name": "nobody"}]),
    "json, another model": in_json(table(), model_name="nobody"),
    "json, too many rows": in_json(table(1_001)),
    "json, too few": changed(in_json(table()), b"[40, 3]", b"[41, 3]"),
    "json, not whole": shorter(in_json(table()), 1),
    "binary, infinite": in_binary(np.where(np.arange(120).reshape(40, 3) == 77, -np.inf, table())),
    "binary, columns": in_binary(table(120).reshape(1, 360)),
    "binary, too many rows": in_binary(table(1_001)),
    "binary, too few": shorter(in_binary(table()), 8),
    "binary, too many": (in_binary(table())[0] + bytes(8), in_binary(table())[1]),
    "binary, no rows": in_binary(table(0)),
    "binary, keys": in_binary(table(), parameters={"keys": ["a"] * 40}),
    "binary, a member twice": changed(in_binary(table()), b'"name": "x"', b'"name": "y", "name": "x"'),
    "binary, no head": (in_binary(table())[0], 0),
    "binary, a head too long": (in_binary(table())[0], 9_999),
    "binary, a head too short": (in_binary(table())[0], 20),
}


@pytest.mark.parametrize("name", TAKEN)
def test_plain_rows_go_the_short_way_and_both_ways_say_and_log_the_same(name: str) -> None:
    parts, (data, head) = numeric(), TAKEN[name]
    for _ in range(2):  # the second time, what the first one said is known
        here = quickly(parts, TAKEN[name])
        there = infer(parts.plane, data, MODEL, header_length=head).encoded
        assert here is not None
        assert (here[0], without_ids(here[1])) == (there.header_length, without_ids(there.body))
    assert all(one == records(parts)[0] for one in records(parts))
    counters, rows = parts.plane.counters, len(records(parts)[0].keys)
    assert (counters.requests, counters.rows, counters.rows_by_version) == (4, 4 * rows, {1: 4 * rows})


@pytest.mark.parametrize("name", LEFT)
def test_everything_else_is_left_to_the_long_way(name: str) -> None:
    parts = numeric()
    assert quickly(parts, LEFT[name]) is None
    assert not records(parts)
    assert (parts.plane.counters.requests, parts.plane.counters.rows) == (0, 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 999), st.booleans(), st.booleans())
def test_whatever_the_numbers_are_every_row_has_its_own_score(
    rows: int, seed: int, binary: bool, is_json: bool
) -> None:
    values = table(rows, seed) * 10.0 ** np.random.default_rng(seed).integers(-300, 300, (rows, 3))
    body = (in_json if is_json else in_binary)(values, **(BINARY if binary else {}))
    parts = numeric(Least())
    here = quickly(parts, body)
    there = infer(parts.plane, body[0], MODEL, header_length=body[1]).encoded
    if here is None:
        assert len(body[0]) <= 1_024 + 64 * 3  # a small body of JSON is for one row
        return
    assert (here[0], without_ids(here[1])) == (there.header_length, without_ids(there.body))
    first, second = records(parts)
    assert first == second
    np.testing.assert_array_equal(np.frombuffer(first.scores[first.versions[0]]), values.min(axis=1))


@pytest.mark.parametrize("says", [float("nan"), float("inf"), RuntimeError("broken"), ValueError("x")])
def test_a_failing_model_is_the_long_ways_to_tell(says: float | Exception) -> None:
    engine = Failing(says)
    parts, (data, head) = numeric(engine), TAKEN["binary"]
    engine.begin()
    assert quickly(parts, TAKEN["binary"]) is None
    with pytest.raises(ModelFailed):
        infer(parts.plane, data, MODEL, header_length=head)
    assert not records(parts)


def test_it_ends_with_its_release_and_with_a_model_that_turned_slow() -> None:
    parts = numeric()
    first = parts.plane.quick()
    assert first is not None
    assert first.answers(*_at_once(TAKEN["binary"])) is not None
    parts.plane.loaded(MODEL).champion.pace.inline = False
    assert first.answers(*_at_once(TAKEN["binary"])) is None
    parts.serve(2)
    assert first.answers(*_at_once(TAKEN["binary"])) is None
    second = parts.plane.quick()
    assert second is not None
    assert b'"model_version":"2"' in (second.answers(*_at_once(TAKEN["binary"])) or (None, b""))[1]


def _at_once(body: Body) -> tuple[bytes, int, int | None]:
    return body[0], 0, body[1]


def test_one_row_of_json_goes_to_the_way_for_one_row() -> None:
    parts = numeric()
    assert quickly(parts, (ONE_ROW["plain"].encode(), None)) is not None


def test_what_is_remembered_of_sizes_and_forms_is_bounded() -> None:
    parts = numeric()
    for rows in range(1, 301):
        assert quickly(parts, in_binary(table(rows), **BINARY)) is not None
    quick = parts.plane.quick()
    assert quick is not None
    held = quick._rows
    assert len(held._sizes) <= 64
    assert len(held._forms) <= 256


def rows_of(count: int, number: int) -> Row:
    shape = RowShape(release="c", names=["v.a", "v.b", "v.c"], version="sha256:a", rows=count)
    values = table(count, number)
    at = 1_367_388_000_000_000 + number
    return shape, f"p-2013050106-{'a' * 16}", at, number, values.tobytes("F"), values[:, 0].tobytes(), 3


def test_rows_are_read_back_as_the_records_that_they_stand_for() -> None:
    rows = [rows_of(count, number) for number, count in enumerate([100, 1, 40, 900, 30, 30, 1] * 20)]
    found, log = logged(rows)
    assert [replace(one, numbers=dict(one.numbers)) for one in found] == [
        replace(whole(one), numbers=dict(whole(one).numbers)) for one in rows
    ]
    total = sum(one[0].rows for one in rows)
    assert (log.counts.rows, log.counts.frames, log.waiting_rows) == (total, len(rows), 0)
    found, log = logged(rows[:7], LogRules(redact=frozenset({"v.a"})))
    assert all(np.isnan(np.frombuffer(one.numbers["v.a"])).all() for one in found)
    assert [len(one.keys) for one in found] == [one[0].rows for one in rows[:7]]
