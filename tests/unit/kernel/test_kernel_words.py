"""Digests, times, ids and atomic files."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.kernel.contract import Contract, Input, read_contract
from mainspring.kernel.digests import canonical_json, checked_digest, digest_bytes, digest_file, digest_of, hex_of
from mainspring.kernel.errors import Damaged, InvalidValue
from mainspring.kernel.failpoints import hit
from mainspring.kernel.files import write_atomic
from mainspring.kernel.ids import checked_name, hour_of, request_id, split_prediction_id
from mainspring.kernel.times import HOUR, SECOND, format_duration, format_time, parse_duration, parse_time


@given(st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text()))
def test_key_order_does_not_change_a_digest(value: dict[str, object]) -> None:
    assert digest_of(value) == digest_of(dict(reversed(list(value.items()))))
    assert digest_of(value) == digest_of(json.loads(json.dumps(value)))


def test_canonical_json_is_what_it_says() -> None:
    assert canonical_json({"b": 1, "a": [0.1, None, True, "ü"]}) == '{"a":["0.1",null,true,"ü"],"b":1}'.encode()
    assert digest_of(1) != digest_of(1.0)
    for value in (float("nan"), float("-inf"), object(), {"a": {float("nan")}}):
        with pytest.raises(InvalidValue):
            canonical_json(value)


def test_a_digest_has_one_spelling(tmp_path: Path) -> None:
    digest = digest_bytes(b"x")
    (tmp_path / "x").write_bytes(b"x")
    assert digest_file(tmp_path / "x") == digest == checked_digest(digest) == "sha256:" + hex_of(digest)
    for wrong in ("", digest.upper(), digest[:-1], digest + "0", digest + "\n", "md5:" + hex_of(digest)):
        with pytest.raises(InvalidValue):
            checked_digest(wrong)


@given(st.integers(1, 10**8))
def test_durations_come_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds * SECOND)) == seconds * SECOND


@pytest.mark.parametrize("text", ["", "0s", "-1h", "6", "h", "1.5h", "6 h", "1e3s", "6H", "9" * 30 + "s"])
def test_bad_durations_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_duration(text)


@given(st.integers(0, 4 * 10**15))
def test_times_come_back(us: int) -> None:
    assert parse_time(format_time(us)) == us


@pytest.mark.parametrize("text", ["2013-05-01T06:00:00", "yesterday", "", "2013-13-01", "2013-05-01 06:00"])
def test_times_without_a_zone_or_sense_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_time(text)


@given(st.integers(0, 4 * 10**15), st.binary(min_size=10, max_size=10), st.integers(0, 10**6))
def test_a_prediction_id_names_its_hour_and_row(at: int, random: bytes, row: int) -> None:
    made = request_id(at, random)
    assert split_prediction_id(f"{made}.{row}") == (made, row)
    assert hour_of(made) == at - at % HOUR


@pytest.mark.parametrize("name", ["", "A", "1a", "a--b", "a/b", "../a", "a" * 64, "a\n", "-a", "a b"])
def test_a_name_is_plain(name: str) -> None:
    with pytest.raises(InvalidValue):
        checked_name(name, "project")


def test_a_file_is_old_or_new_never_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "new" / "file"
    write_atomic(place, b"old")
    monkeypatch.setenv("MAINSPRING_FAILPOINT", "file.replace:err")
    with pytest.raises(OSError, match="failpoint"):
        write_atomic(place, b"new")
    assert place.read_bytes() == b"old"
    assert os.listdir(place.parent) == ["file"]


def test_a_typo_in_a_failpoint_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSPRING_FAILPOINT", "ledger.apend:kill")
    with pytest.raises(InvalidValue, match=r"ledger\.append"):
        hit("ledger.append")


def test_a_contract_comes_back_and_a_damaged_one_is_refused() -> None:
    inputs = (Input(name="a.b", kind="number"),)
    limits = {"rows": 1}
    contract = Contract(model="m", inputs=inputs, output="p", ask={}, definitions={}, limits=limits, sample={})
    assert read_contract(contract.to_bytes()) == contract
    for data in (b"", b"{}", b"[]", contract.to_bytes().replace(b'"schema":1', b'"schema":2')):
        with pytest.raises(Damaged):
            read_contract(data)
