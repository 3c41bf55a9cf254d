"""Labels in: by prediction id, by key and time; every bad one is named by itself and the good ones are kept."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.flows.story import START, Log, reference, request

from mainspring.adapters.files.logs import SegmentWriter
from mainspring.adapters.files.logs_reader import SegmentReader
from mainspring.adapters.memory.observations import Observations
from mainspring.flows import labels as labelling
from mainspring.flows.ingest import ingest
from mainspring.flows.labels import MAX_ROWS, BadLabels, Labelled, LabelPorts, add_labels, read_label_file
from mainspring.kernel.errors import NotFound
from mainspring.kernel.records import LoggedRequest
from mainspring.kernel.times import DAY, HOUR, format_time

OLD = "sha256:" + "a" * 64
NOW = START + 30 * DAY
RECORD = request(["k1", "", "k3"], [START, START + 1, START + 2], {OLD: np.array([0.2, 0.4, 0.6])})
KEYED = {"key": "k1", "asked_at": START}


class House:
    """One logged request, taken in, and its observations."""

    def __init__(self) -> None:
        self.observations, self.found = Observations(), 0
        ingest(Log(RECORD), self.observations, lambda _: reference(), every=6 * HOUR)

    def find(self, prediction_id: str) -> LoggedRequest:
        self.found += 1
        if not prediction_id.startswith(RECORD.request_id):
            raise NotFound(f"{prediction_id} is not in the log", fix="copy it")
        return RECORD

    def add(self, *rows: Mapping[str, Any]) -> Labelled:
        return add_labels(rows, LabelPorts(find=self.find, add=self.observations.add_labels), now=NOW)

    def matured(self) -> dict[str, float]:
        rows = self.observations.matured(0, 10**18, 10**18)
        return dict(zip(rows["key"].tolist(), rows["value"].tolist(), strict=True))


@pytest.fixture
def house() -> House:
    return House()


def test_a_label_by_prediction_id_and_one_by_key_and_time_meet_their_rows(house: House) -> None:
    found = house.add(
        {"prediction_id": f"{RECORD.request_id}.1", "value": 1},
        {"key": "k1", "asked_at": format_time(START), "value": 0},
        {"prediction_id": f"{RECORD.request_id}.2", "value": "1.0", "known_at": format_time(START + HOUR)},
    )  # fmt: skip
    assert (found.kept, found.refused) == (3, ())
    assert house.matured() == {f"{RECORD.request_id}.1": 1.0, "k1": 0.0, "k3": 1.0}
    known = house.observations.matured(0, 10**18, 10**18)
    assert known["known_at"].tolist() == [NOW, NOW, START + HOUR]


def test_a_bare_request_id_means_its_first_row(house: House) -> None:
    house.add({"prediction_id": RECORD.request_id, "value": 1})
    assert house.matured() == {"k1": 1.0}


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("an unknown id", {"prediction_id": "p-2024010100-zzzzzzzzzzzzzzzz.0", "value": 1}, "not in the log"),
    ("a malformed id", {"prediction_id": "../../etc/passwd", "value": 1}, "not a prediction id"),
    ("an id with a tail", {"prediction_id": f"{RECORD.request_id}.0\r\nX", "value": 1}, "not a prediction id"),
    ("a row that is not there", {"prediction_id": f"{RECORD.request_id}.3", "value": 1}, "names no row"),
    ("a list as id", {"prediction_id": [1, 2], "value": 1}, "not a prediction id"),
    ("no question", {"value": 1}, "names no question"),
    ("a key alone", {"key": "k1", "value": 1}, "names no question"),
    ("a key that is a list", {"key": ["k1"], "asked_at": START, "value": 1}, "no text of one line"),
    ("a key of two lines", {"key": "k\r\n1", "asked_at": START, "value": 1}, "no text of one line"),
    ("a key of a megabyte", {"key": "k" * 1_000_000, "asked_at": START, "value": 1}, "no text of one line"),
    ("no value", KEYED, "neither 0 nor 1"),
    ("null", {**KEYED, "value": None}, "neither 0 nor 1"),
    ("NaN", {**KEYED, "value": float("nan")}, "neither 0 nor 1"),
    ("infinity", {**KEYED, "value": "Infinity"}, "neither 0 nor 1"),
    ("text", {**KEYED, "value": "late"}, "neither 0 nor 1"),
    ("a class that is not there", {**KEYED, "value": 2}, "neither 0 nor 1"),
    ("a share", {**KEYED, "value": 0.5}, "neither 0 nor 1"),
    ("a list", {**KEYED, "value": [1]}, "neither 0 nor 1"),
    ("a number that no float holds", {**KEYED, "value": 10**400}, "neither 0 nor 1"),
    ("known before it was asked", {**KEYED, "value": 1, "known_at": START - 1}, "known before it was asked"),
    ("known in 1970", {**KEYED, "value": 1, "known_at": 0}, "known before it was asked"),
    ("known next week", {**KEYED, "value": 1, "known_at": NOW + 7 * DAY}, "known in the future"),
    ("known in the year 9999", {**KEYED, "value": 1, "known_at": "9999-12-31T23:59:59Z"}, "known in the future"),
    ("known at no zone", {**KEYED, "value": 1, "known_at": "2024-01-02T00:00:00"}, "has no time zone"),
    ("known at no time", {**KEYED, "value": 1, "known_at": "soon"}, "is not a time"),
    ("asked in the future", {**KEYED, "asked_at": NOW + DAY, "value": 1}, "known before it was asked"),
    ("asked at no zone", {"key": "k1", "asked_at": "2024-01-01 00:00", "value": 1}, "has no time zone"),
    ("asked before 1970", {"key": "k1", "asked_at": -(10**30), "value": 1}, "before 1970"),
    ("asked at true", {"key": "k1", "asked_at": True, "value": 1}, "is not a time"),
    ("asked at a float", {"key": "k1", "asked_at": 1.7e15, "value": 1}, "is not a time"),
    ("asked on the last day", {"key": "k1", "asked_at": "9999-12-31T23:59:59-14:00", "value": 1}, "after 9999"),
]


@pytest.mark.parametrize(("row", "what"), [pytest.param(row, what, id=name) for name, row, what in BAD])
def test_a_bad_label_is_refused_by_itself(house: House, row: dict[str, Any], what: str) -> None:
    found = house.add({"prediction_id": f"{RECORD.request_id}.2", "value": 1}, row)
    assert found.kept == 1
    (refused,) = found.refused
    assert refused.row == 2
    assert what in refused.what
    assert len(refused.what) < 200
    assert house.matured() == {"k3": 1.0}


def test_one_bad_of_a_thousand_is_named_and_the_others_are_kept(house: House) -> None:
    rows = [{"key": f"x{n}", "asked_at": START, "value": n % 2} for n in range(1_000)]
    rows[665] = {"key": "x665", "asked_at": START, "value": "?"}
    found = house.add(*rows)
    assert found.kept == 999
    assert [one.row for one in found.refused] == [666]


def test_the_same_label_twice_is_one_and_the_later_knowledge_wins(house: House) -> None:
    label = {**KEYED, "value": 0, "known_at": START + HOUR}
    house.add(label, label)
    house.add(label)
    assert house.matured() == {"k1": 0.0}
    house.add({**label, "value": 1, "known_at": START + 2 * HOUR}, {**label, "known_at": START + HOUR + 1})
    assert house.matured() == {"k1": 1.0}
    assert house.observations.known_between(0, NOW) == 1


def test_a_label_nobody_asked_for_and_extra_columns_do_no_harm(house: House) -> None:
    note = "<script>alert(1)</script>\r\n" * 40_000
    assert house.add({"key": "k9", "asked_at": START, "value": 1, "note": note}).kept == 1
    assert house.matured() == {}
    assert house.observations.coverage(0, NOW, NOW).unmatched == 1


def test_labels_of_one_request_find_it_once(house: House) -> None:
    house.add(*({"prediction_id": f"{RECORD.request_id}.{row}", "value": 1} for row in (0, 1, 2, 0)))
    assert house.found == 1


def test_ninety_labels_in_a_hundred_of_one_key_are_ninety_versions_of_one(house: House) -> None:
    rows = [{**KEYED, "value": n % 2, "known_at": START + n} for n in range(90)]
    others = [{"key": "k3", "asked_at": START + 2, "value": 1}] * 10
    assert house.add(*rows, *others).kept == 100
    assert house.matured() == {"k1": 1.0, "k3": 1.0}


def test_more_labels_than_a_batch_are_all_kept(house: House) -> None:
    kept: list[int] = []
    rows = ({"key": "k", "asked_at": START, "value": 1} for _ in range(25_000))
    found = add_labels(rows, LabelPorts(find=house.find, add=lambda labels: kept.append(len(labels))), now=NOW)
    assert (found.kept, kept) == (25_000, [10_000, 10_000, 5_000])


def test_labels_find_requests_of_a_real_log(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    writer.append([RECORD])
    writer.close()
    kept: list[object] = []
    ports = LabelPorts(find=SegmentReader(tmp_path).find, add=kept.extend)
    rows: list[dict[str, Any]]
    rows = [{"prediction_id": f"{RECORD.request_id}.2", "value": 1}, {"prediction_id": "p-2024010100-aaaaaaaaaaaaaaab"}]
    found = add_labels(rows, ports, now=NOW)
    assert (found.kept, [one.row for one in found.refused]) == (1, [2])


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_csv_file_is_read_with_its_header(house: House, tmp_path: Path, mark: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(f'{mark}key,asked_at,value,known_at,note\nk1,2024-01-01,1,,"two\nlines"\nk3,soon,1,,\n', "utf-8")
    found = house.add(*read_label_file(file))
    assert (found.kept, [one.row for one in found.refused]) == (1, [2])
    assert house.matured() == {"k1": 1.0}


@pytest.mark.parametrize(
    "line", ["{broken", "7", "[1]", '"text"', "[" * 100_000, '{"value": ' + "9" * 5_000 + "}", "NaN"]
)
def test_a_line_that_is_no_object_is_refused_by_itself(house: House, tmp_path: Path, line: str) -> None:
    file = tmp_path / "labels.jsonl"
    good = json.dumps({**KEYED, "value": 1})
    file.write_text(f"{good}\n{line}\n\n{good}\n\n", "utf-8")
    found = house.add(*read_label_file(file))
    assert (found.kept, [one.row for one in found.refused]) == (2, [2])


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("labels.txt", b"", "neither .csv nor .jsonl"),
        ("labels.csv", b"key,value\n\xff\xfe,1\n", "cannot be read"),
        ("labels.csv", b"key,value\n" + b"k" * 200_000 + b",1\n", "field larger than"),
    ],
)
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadLabels, match=what):
        list(read_label_file(tmp_path / name))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadLabels, match=r"none\.csv cannot be read"):
        list(read_label_file(tmp_path / "none.csv"))


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_ROWS == 1_000_000
    monkeypatch.setattr(labelling, "MAX_ROWS", 10_000)
    file = tmp_path / "labels.jsonl"
    file.write_text("{}\n" * 10_001, "utf-8")
    with pytest.raises(BadLabels, match="more than 10000 labels"):
        for _ in read_label_file(file):
            pass


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2), max_leaves=3,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    row=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("prediction_id", "key", "asked_at", "value", "known_at"), JSON)
    )
)
def test_whatever_comes_is_kept_or_refused_and_never_breaks_the_batch(row: dict[str, Any]) -> None:
    found = House().add({**KEYED, "value": 1}, row, {**KEYED, "value": 0})
    assert found.kept + len(found.refused) == 3
    assert {one.row for one in found.refused} <= {2}
