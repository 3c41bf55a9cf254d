"""Posted labels (C5): one or many, ours or Seldon's; each is judged by itself and the good ones are kept."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.unit.serve.serving_kit import NOW

from mainspring.kernel.times import DAY
from mainspring.serve.errors import LabelsFull, RequestRefused
from mainspring.serve.labelling import OURS, SELDON, receive
from mainspring.serve.ports import PostedLabel

REQUEST = "p-2013050106-abcdefghijklmnop"
ONE = {"prediction_id": f"{REQUEST}.0", "value": 1}


class ListLabels:
    """An inbox of a list, full at `limit`."""

    def __init__(self, limit: int = 100_000) -> None:
        self.kept: list[PostedLabel] = []
        self._limit = limit

    def put(self, labels: Sequence[PostedLabel], /) -> None:
        if len(self.kept) + len(labels) > self._limit:
            raise LabelsFull("full", fix="wait")
        self.kept.extend(labels)


def posted(document: object, labels: ListLabels | None = None) -> Any:  # noqa: ANN401 - JSON
    return json.loads(receive(json.dumps(document).encode(), OURS, labels or ListLabels(), NOW))


def test_one_label_is_kept_with_the_time_of_its_arrival() -> None:
    labels = ListLabels()
    assert posted(ONE, labels) == {
        "accepted": 1, "refused": 0, "results": [{"prediction_id": f"{REQUEST}.0", "accepted": True}],
    }  # fmt: skip
    assert labels.kept == [PostedLabel(prediction_id=f"{REQUEST}.0", value=1.0, known_at=NOW, posted_at=NOW)]


def test_one_bad_of_a_thousand_is_named_and_the_good_ones_are_kept() -> None:
    labels = ListLabels()
    batch: list[dict[str, object]] = [{"prediction_id": f"{REQUEST}.{row}", "value": row % 2} for row in range(1_000)]
    batch[500] = {"prediction_id": "p-nonsense", "value": 1}
    found = posted({"labels": batch}, labels)
    assert (found["accepted"], found["refused"], len(labels.kept)) == (999, 1, 999)
    bad = [result for result in found["results"] if not result["accepted"]]
    assert [result["prediction_id"] for result in bad] == ["p-nonsense"]
    assert bad[0]["code"] == "value.invalid"
    assert bad[0]["fix"]
    assert found["results"].index(bad[0]) == 500


@pytest.mark.parametrize(
    "change",
    [
        {"prediction_id": None}, {"prediction_id": 7}, {"prediction_id": ""}, {"prediction_id": f"{REQUEST}.-1"},
        {"prediction_id": "p-9999123123-abcdefghijklmnop.0"}, {"prediction_id": "p-2013139999-abcdefghijklmnop"},
        {"prediction_id": "x" * 1_000_000}, {"prediction_id": "../../etc/passwd"},
        {"value": None}, {"value": "1"}, {"value": 2}, {"value": 0.5}, {"value": [1]}, {"value": 10**400},
        {"known_at": "1969-12-31T00:00:00Z"}, {"known_at": "9999-12-31T23:59:59Z"}, {"known_at": "2013-05-01T06:00:00"},
        {"known_at": 0}, {"known_at": -1}, {"known_at": 2**80}, {"known_at": 1.5}, {"known_at": True},
        {"known_at": NOW + 2 * DAY}, {"known_at": "noon"}, {"note": "<script>alert(1)</script>\r\n" * 10},
    ],
    ids=lambda change: str(change)[:50],
)  # fmt: skip
def test_a_bad_label_is_refused_by_itself(change: dict[str, object]) -> None:
    labels = ListLabels()
    found = posted({"labels": [{**ONE, **change}, ONE]}, labels)
    assert [result["accepted"] for result in found["results"]] == [False, True]
    assert len(labels.kept) == 1
    assert len(json.dumps(found)) < 2_000


@pytest.mark.parametrize("item", [None, 1, "x", [], {}, [ONE]])
def test_what_is_no_label_is_refused_by_itself(item: object) -> None:
    assert [result["accepted"] for result in posted({"labels": [item, ONE]})["results"]] == [False, True]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b'{"labels": []}', b'{"labels": {}}', b'{"labels": [1], "x": 1}', b'{"labels": [NaN]}',
        b'{"labels": [{"value": 1, "value": 0}]}', b'{"labels": [' + b"[" * 100_000, b'{"value": 1e999}',
        json.dumps({"labels": [ONE] * 10_001}).encode(), b'{"prediction_id": "\\ud800", "value": 1}',
    ],
    ids=range(12),
)  # fmt: skip
def test_a_body_that_is_no_batch_is_refused_as_a_whole(body: bytes) -> None:
    labels = ListLabels()
    with pytest.raises(RequestRefused) as caught:
        receive(body, OURS, labels, NOW)
    assert 400 <= caught.value.status < 500
    assert not labels.kept


def test_a_million_labels_in_one_call_are_too_many() -> None:
    body = b'{"labels":[' + b",".join([b"1"] * 1_000_000) + b"]}"
    with pytest.raises(RequestRefused) as caught:
        receive(body, OURS, ListLabels(), NOW)
    assert caught.value.status == 413


def test_the_same_label_twice_and_two_labels_of_one_id_are_both_kept_in_order() -> None:
    labels = ListLabels()
    posted({"labels": [ONE, ONE, {**ONE, "value": 0}]}, labels)
    assert [label.value for label in labels.kept] == [1.0, 1.0, 0.0]  # the later arrival wins where they are joined


def test_a_full_inbox_is_a_503_and_keeps_nothing() -> None:
    with pytest.raises(LabelsFull) as caught:
        posted({"labels": [ONE, ONE]}, ListLabels(limit=1))
    assert (caught.value.status, caught.value.exit_code) == (503, 75)


def seldon(document: object, labels: ListLabels) -> Any:  # noqa: ANN401 - JSON
    return json.loads(receive(json.dumps(document).encode(), SELDON, labels, NOW))


@pytest.mark.parametrize(
    "meta",
    [
        {"puid": "mine", "tags": {"prediction_ids": [f"{REQUEST}.0", f"{REQUEST}.1"]}},
        {"puid": REQUEST},
    ],
)
@pytest.mark.parametrize(
    "truth", [{"ndarray": [[1], [0]]}, {"ndarray": [1, 0]}, {"tensor": {"shape": [2, 1], "values": [1, 0]}}]
)
def test_seldon_feedback_is_a_label_a_row(meta: object, truth: object) -> None:
    labels = ListLabels()
    found = seldon({"request": {}, "response": {"meta": meta}, "reward": 1.0, "truth": {"data": truth}}, labels)
    assert [(label.prediction_id, label.value) for label in labels.kept] == [
        (f"{REQUEST}.0", 1.0),
        (f"{REQUEST}.1", 0.0),
    ]
    assert found["status"]["status"] == "SUCCESS"
    assert found["meta"]["tags"] == {"accepted": 2, "refused": []}
    assert found.keys() <= {"status", "meta", "data"}  # what Seldon's clients can parse


@pytest.mark.parametrize(
    "document",
    [
        {}, {"truth": {"data": {"ndarray": [1]}}}, {"response": {"meta": {"puid": REQUEST}}},
        {"response": {"meta": {}}, "truth": {"data": {"ndarray": [1]}}},
        {"response": {"meta": {"tags": {"prediction_ids": [f"{REQUEST}.0"]}}}, "truth": {"data": {"ndarray": [1, 0]}}},
        {"response": {"meta": {"puid": REQUEST}}, "truth": {"data": {"ndarray": []}}},
        {"response": {"meta": {"puid": REQUEST}}, "truth": {"data": {"tftensor": {}}}}, {"rewards": 1},
    ],
)  # fmt: skip
def test_seldon_feedback_that_names_no_prediction_is_refused(document: object) -> None:
    with pytest.raises(RequestRefused):
        seldon(document, ListLabels())


def test_a_reward_alone_is_no_label() -> None:
    with pytest.raises(RequestRefused, match="a reward alone is no label"):
        seldon({"response": {"meta": {"puid": REQUEST}}, "reward": 1.0}, ListLabels())


def test_seldon_feedback_with_the_clients_own_puid_alone_is_refused_by_the_item() -> None:
    labels = ListLabels()
    found = seldon({"response": {"meta": {"puid": "mine"}}, "truth": {"data": {"ndarray": [1]}}}, labels)
    assert not labels.kept
    assert found["meta"]["tags"]["accepted"] == 0
