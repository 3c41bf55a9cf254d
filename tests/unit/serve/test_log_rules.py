"""What is logged: a deterministic share of the requests, and never a redacted value."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.serve.serving_kit import NOW
from tests.unit.serve.test_serve_log import SlowDisk, record

from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.ids import request_id
from mainspring.kernel.records import Block
from mainspring.serve.log import PredictionLog
from mainspring.serve.log_rules import LogRules

SECRET = b"0123456789abcdef"


@given(number=st.integers(0, 2**79), share=st.floats(0.001, 1))
def test_whoever_looks_at_an_id_comes_to_the_same_verdict(number: int, share: float) -> None:
    name = request_id(NOW, number.to_bytes(10, "big"))
    taken = LogRules(sample=share).takes(name)
    assert taken == LogRules(sample=share).takes(name)
    assert LogRules(sample=1.0).takes(name)
    assert not taken or LogRules(sample=min(1.0, share * 1.5)).takes(name)


def test_the_share_is_the_share_and_every_record_carries_it() -> None:
    disk = SlowDisk()
    disk.go.set()
    log = PredictionLog(disk, rules=LogRules(sample=0.25))
    random = np.random.default_rng(7)
    for _ in range(4_000):
        assert log.put(replace(record(1), request_id=request_id(NOW, random.bytes(10))))
    log.flush()
    log.close()
    kept = len(disk.records)
    assert 900 < kept < 1_100
    assert {one.sample for one in disk.records} == {0.25}
    assert log.counts.sampled_out_rows == 2 * (4_000 - kept)
    assert log.counts.dropped_rows == 0


def test_a_record_that_waits_keeps_the_share_it_came_in_by_and_is_redacted_by_the_rules_of_now() -> None:
    disk = SlowDisk()
    log = PredictionLog(disk)
    log.put(record(1))
    log.follow(LogRules(sample=0.999_999, redact=frozenset({"x"})))
    log.put(record(2))
    disk.go.set()
    log.flush()
    log.close()
    assert [one.sample for one in disk.records] == [1.0, 0.999_999]
    assert disk.records[1].redacted == ["x"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_redacted_value_reaches_no_writer(packed: bool) -> None:
    disk = SlowDisk()
    disk.go.set()
    log = PredictionLog(disk, rules=LogRules(redact=frozenset({"x", "@key", "absent"}), key_secret=SECRET))
    log.redact_also(["s"])
    given_ = record(1)
    if packed:
        block = Block(["x", "y"], given_.numbers["x"] + given_.numbers["x"], len(given_.numbers["x"]))
        given_ = replace(given_, numbers=block)
    log.put(given_)
    log.flush()
    log.close()
    (kept,) = disk.records
    assert kept.redacted == ["@key", "s", "x"]
    assert np.isnan(np.frombuffer(kept.numbers["x"])).all()
    assert kept.strings == {"s": [None, None]}
    assert all(key.startswith("h-") and "k0" not in key for key in kept.keys)
    assert kept.scores == given_.scores
    assert given_.keys == ["k0", "k1"]
    assert not packed or kept.numbers["y"] == given_.numbers["y"]


def test_keys_become_keyed_hashes_or_nothing() -> None:
    hashing = LogRules(redact=frozenset({"@key"}), key_secret=SECRET)
    assert hashing.key("p1") == hashing.key("p1") != hashing.key("p2")
    assert hashing.key("p1") != LogRules(redact=frozenset({"@key"}), key_secret=SECRET[::-1]).key("p1")
    assert (hashing.key(""), LogRules(redact=frozenset({"@key"})).key("p1"), LogRules().key("p1")) == ("", "", "p1")


@pytest.mark.parametrize("wrong", [{"sample": 0.0}, {"sample": 1.1}, {"sample": float("nan")}, {"key_secret": b"x"}])
def test_impossible_rules_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidValue):
        LogRules(**wrong)  # type: ignore[arg-type]


def test_a_request_that_cannot_be_packed_is_dropped_alone_and_counted() -> None:
    disk = SlowDisk()
    disk.go.set()
    log = PredictionLog(disk)
    for number in range(10):
        made = record(number)
        log.put(replace(made, strings={"s": ["\ud800", None]}) if number == 4 else made)
    counts = log.flush()
    log.close()
    assert counts == {"rows": 18, "frames": 9}
    assert (log.counts.dropped_rows, log.waiting_rows) == (2, 0)
    assert "cannot be logged" in log.failure
