"""The short way for one row says and logs what the long way does, or leaves the request to it untouched."""

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.serve.serving_kit import MODEL, ListSink, Parts, TinyEngine, infer
from tests.unit.serve.test_serve_log import SlowDisk

from mainspring.kernel.contract import Input
from mainspring.kernel.errors import MainspringError
from mainspring.serve.errors import ModelFailed
from mainspring.serve.log import LogLimits, PredictionLog
from mainspring.serve.log_packing import MAX_ROWS
from mainspring.serve.log_rows import Row, RowShape, whole
from mainspring.serve.log_rules import LogRules
from mainspring.stats.columns import Columns, Floats

NUMBERS = tuple(Input(name=f"v.{letter}", kind="number") for letter in "abc")
NOW = 1_367_388_000_000_000


class Failing(TinyEngine):
    """Right on its sample; then it says `says` of single rows, or raises it."""

    def __init__(self, says: float | Exception) -> None:
        super().__init__()
        self.says: float | Exception | None = None
        self._says = says

    def __call__(self, columns: Columns, /) -> Floats:
        if self.says is None:
            return super().__call__(columns)
        if isinstance(self.says, Exception):
            raise self.says
        return np.full(len(columns["v.a"]), self.says)

    def begin(self) -> None:
        self.says = self._says


class Least(TinyEngine):
    """Says a row's least number, so that an answer may hold any number there is."""

    def __call__(self, columns: Columns, /) -> Floats:
        least: Floats = np.nan_to_num(np.min([*columns.values()], axis=0))
        return least


def numeric(engine: TinyEngine | None = None) -> Parts:
    parts = Parts()
    parts.models.add(1, engine or TinyEngine(), NUMBERS)
    parts.models.add(2, TinyEngine(1.0), NUMBERS)
    parts.serve(1)
    return parts


def asked(data: object = (0.5, 1.5, 2.5), **more: object) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP64", "data": data, **more}]}


def both(parts: Parts, body: bytes) -> tuple[bytes | None, bytes]:
    """The short way's answer, and the long way's; the two log records, without id and times, are equal."""
    quick = parts.plane.quick()
    assert quick is not None
    here = quick.answer(body)
    assert (here is None) == (not records(parts))
    there = infer(parts.plane, body, MODEL).encoded.body
    assert len({str(replace(one, request_id="", took_us=0, took_each={})) for one in records(parts)}) == 1
    return here and without_id(here), without_id(there)


def records(parts: Parts) -> list[Any]:
    assert isinstance(parts.log, ListSink)
    return [replace(one, numbers=dict(one.numbers)) for one in parts.log.records]


def without_id(answer: bytes) -> bytes:
    text, count = re.subn(rb"p-\d{10}-[a-z2-7]{16}", b"ID", answer)
    assert count == 1
    return text


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3), st.booleans())
def test_whatever_the_numbers_are_both_ways_say_and_log_the_same(values: list[float], with_id: bool) -> None:
    document = asked(values) | ({"id": 'a "b" ü'} if with_id else {})
    body = json.dumps(document, ensure_ascii=with_id).encode()
    here, there = both(numeric(Least()), body)
    assert here in (None, there)
    assert here is not None or b"\\" in body


TAKEN = {
    "plain": json.dumps(asked()),
    "an id": json.dumps(asked() | {"id": "mine"}),
    "float32": json.dumps(asked(datatype="FP32")),
    "spaces": json.dumps(asked(), indent=2),
    "integers": json.dumps(asked([1, 2, -3])),
    "no accents": json.dumps(asked(name="ü"), ensure_ascii=False),
}
LEFT = {
    "nested": json.dumps(asked([[0.5, 1.5, 2.5]])),
    "two rows": json.dumps({"inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP64", "data": [0.5] * 6}]}),
    "columns": json.dumps({"inputs": [
        {"name": item.name, "shape": [1], "datatype": "FP64", "data": [0.5]} for item in NUMBERS
    ]}),
    "null": json.dumps(asked([0.5, None, 1])),
    "integers by type": json.dumps(asked([1, 2, 3], datatype="INT64")),
    "too few": json.dumps(asked([0.5, 1.5])),
    "a wrong shape": json.dumps(asked(shape=[3])),
    "no name": json.dumps(asked(name="")),
    "twice": json.dumps(asked())[:-1] + ',"inputs":[]}',
    "twice inside": json.dumps(asked()).replace('"name"', '"shape":[1,3],"name"'),
    "an empty id": json.dumps(asked() | {"id": ""}),
    "a control character": json.dumps(asked() | {"id": "a\u0001"}),
    "a long id": json.dumps(asked() | {"id": "a" * 257}),
    "an escape": json.dumps(asked() | {"id": 'a"b'}),
    "parameters": json.dumps(asked() | {"parameters": {"binary_data_output": True}}),
    "an output": json.dumps(asked() | {"outputs": [{"name": "probability"}]}),
    "a stranger": json.dumps(asked() | {"more": 1}),
    "too large": json.dumps(asked()).replace("0.5", "1e999"),
    "not json": "{",
    "nothing": "",
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_a_plain_row_goes_the_short_way(name: str) -> None:
    here, there = both(numeric(), TAKEN[name].encode())
    assert here == there


@pytest.mark.parametrize("name", LEFT)
def test_everything_else_is_left_to_the_long_way(name: str) -> None:
    parts = numeric()
    quick = parts.plane.quick()
    assert quick is not None
    assert quick.answer(LEFT[name].encode()) is None
    assert not records(parts)
    assert (parts.plane.counters.requests, parts.plane.counters.rows) == (0, 0)


@pytest.mark.parametrize("says", [float("nan"), float("inf"), RuntimeError("broken"), ValueError("x")])
def test_a_failing_model_is_the_long_ways_to_tell(says: float | Exception) -> None:
    engine = Failing(says)
    parts = numeric(engine)
    engine.begin()
    quick, body = parts.plane.quick(), TAKEN["plain"].encode()
    assert quick is not None
    assert quick.answer(body) is None
    with pytest.raises(ModelFailed):
        infer(parts.plane, body, MODEL)
    assert not records(parts)


def test_a_model_that_turned_slow_leaves_the_short_way() -> None:
    parts = numeric()
    quick, body = parts.plane.quick(), TAKEN["plain"].encode()
    assert quick is not None
    assert quick.answer(body)
    parts.plane.loaded(MODEL).champion.pace.inline = False
    assert quick.answer(body) is None


def test_it_ends_with_its_release_and_with_a_challenger() -> None:
    parts = numeric()
    first, body = parts.plane.quick(), TAKEN["plain"].encode()
    assert first is not None
    parts.serve(2)
    second = parts.plane.quick()
    assert first.retired
    assert first.answer(body) is None
    assert second is not None
    assert json.loads(second.answer(body) or b"")["model_version"] == "2"
    parts.serve(1, challenger=2, weight=50)
    assert parts.plane.quick() is None
    parts.plane.swap(None)
    assert parts.plane.quick() is None


def test_a_model_with_texts_or_one_input_has_no_short_way() -> None:
    parts = Parts()
    parts.serve(1)
    assert parts.plane.quick() is None
    parts.models.add(3, TinyEngine(), NUMBERS[:1])
    parts.serve(3)
    assert parts.plane.quick() is None


SHAPES = [RowShape(release=f"c{place}", names=["v.a", "v.b"], version="sha256:a") for place in range(2)]


def row(number: int, shape: RowShape = SHAPES[0], at: int = NOW) -> Row:
    name = f"p-2013050106-{'a' * 16}"
    return (shape, name, at + number, number, np.array([number, 0.5]).tobytes(), np.array([number / 7]).tobytes(), 3)


def logged(rows: list[Row], rules: LogRules | None = None) -> tuple[list[Any], PredictionLog]:
    disk = SlowDisk()
    disk.go.set()
    log = PredictionLog(disk, rules=rules)
    for one in rows:
        log.put_row(one)
    log.close()
    return disk.records, log


def test_rows_are_read_back_as_the_records_that_they_stand_for() -> None:
    rows = [row(number, SHAPES[number // 700 % 2]) for number in range(2_000)]
    rows += [row(number, at=NOW + 3_600_000_000) for number in range(5)]
    found, log = logged(rows)
    assert [replace(one, numbers=dict(one.numbers)) for one in found] == [
        replace(whole(one), numbers=dict(whole(one).numbers)) for one in rows
    ]
    assert (log.counts.rows, log.counts.frames, log.waiting_rows) == (2_005, 2_005, 0)
    assert len(rows) > 4 * MAX_ROWS


def test_rows_are_redacted_and_sampled_as_records_are() -> None:
    found, log = logged([row(number) for number in range(50)], LogRules(redact=frozenset({"v.a"})))
    assert len(found) == 50
    assert all(one.redacted == ["v.a"] and np.isnan(np.frombuffer(one.numbers["v.a"])).all() for one in found)
    assert log.counts.dropped_rows == 0
    found, log = logged([row(number) for number in range(50)], LogRules(sample=0.000001))
    assert (found, log.counts.sampled_out_rows) == ([], 50)


def test_a_column_that_is_redacted_while_rows_wait_is_never_written() -> None:
    disk = SlowDisk()
    disk.go.set()
    log = PredictionLog(disk)
    for number in range(20):
        log.put_row(row(number))
    log.redact_also(["v.b"])
    log.put_row(row(20))
    log.close()
    assert len(disk.records) == 21
    assert np.isnan(np.frombuffer(disk.records[-1].numbers["v.b"])).all()


def test_too_many_rows_are_dropped_and_counted() -> None:
    disk = SlowDisk()
    log = PredictionLog(disk, LogLimits(rows=100))
    taken = [log.put_row(row(number)) for number in range(300)]
    disk.go.set()
    log.flush()
    log.close()
    assert 100 <= sum(taken) < 300
    assert (log.counts.rows, log.counts.dropped_rows) == (sum(taken), 300 - sum(taken))
    assert not log.put_row(row(1))


def test_what_the_long_way_refuses_is_refused_there() -> None:
    for name in ("too few", "twice", "not json"):
        with pytest.raises(MainspringError):
            infer(numeric().plane, LEFT[name].encode(), MODEL)
