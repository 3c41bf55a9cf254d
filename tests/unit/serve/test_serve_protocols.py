"""V1, Seldon and MLflow: every form of the same rows is the same question, and the answer is the client's form."""

import json
from typing import Any

import numpy as np
import pytest
from tests.unit.serve.protocol_kit import (
    BAD,
    CARRIER,
    CARRIERS,
    CSV,
    GOOD,
    JSON,
    NUMBERS,
    ROWS,
    TAKES,
    WIND,
    WINDS,
    dumped,
    scores_of,
)
from tests.unit.serve.serving_kit import MODEL, NOW, Parts

from mainspring.serve.errors import RequestRefused, TooLarge
from mainspring.serve.inference import Asked, infer_now
from mainspring.serve.protocols import CODECS, MLFLOW, SELDON, V1
from mainspring.serve.protocols.seldon import error_status
from mainspring.serve.protocols.v1 import encode_explanation
from mainspring.serve.questions import Answer, Explanation, Question, Takes

ANSWER = Answer(
    request_id="p-2013050106-abcdefghijklmnop", model=MODEL, output="probability", release="c0ffee",
    scores=np.array([0.25, 0.75]), versions=[3, 4],
)  # fmt: skip
ONE_TEXT = Takes({"text": "string"}, frozenset({"text"}), "probability", MODEL, 1_000)


def answered(codec: Any, question: Question) -> Any:  # noqa: ANN401 - JSON
    return json.loads(codec.encode(question, ANSWER).body)


@pytest.mark.parametrize("name", GOOD)
def test_every_form_is_the_same_question(name: str) -> None:
    codec, wire, body = GOOD[name]
    question = codec.decode(body, TAKES, wire)
    assert question.rows == 2
    assert question.tensors[WIND].values.tolist() == WINDS
    assert question.tensors[WIND].values.dtype == np.float64
    assert question.tensors[CARRIER].values.tolist() == CARRIERS


@pytest.mark.parametrize("name", GOOD)
def test_every_form_is_answered_by_the_plane(name: str) -> None:
    parts = Parts()
    parts.serve()
    codec, wire, body = GOOD[name]
    reply = infer_now(parts.plane, codec, body, Asked(model=MODEL, wire=wire))
    document = json.loads(reply.encoded.body)
    scores = scores_of(codec.name, document)
    assert scores == pytest.approx([1 / (1 + np.exp(-0.25)), 1 / (1 + np.exp(-0.4))])


@pytest.mark.parametrize("name", BAD)
def test_a_bad_body_is_refused_with_a_code(name: str) -> None:
    protocol, wire, body = BAD[name]
    parts = Parts()
    parts.serve()
    with pytest.raises(RequestRefused) as caught:
        infer_now(parts.plane, CODECS[protocol], body, Asked(model=MODEL, wire=wire))
    assert 400 <= caught.value.status < 500
    assert caught.value.code.startswith("request.")
    assert len(caught.value.what) < 500
    assert not parts.log.records  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [[1, None], [2.5, 3]]},
        {"inputs": [[1, None], [2.5, 3]]},
    ],
)
def test_rows_of_numbers_are_one_matrix(body: object) -> None:
    for codec in (V1, MLFLOW):
        matrix = codec.decode(dumped(body), NUMBERS, JSON).matrix
        assert matrix is not None
        assert np.array_equal(matrix, [[1.0, np.nan], [2.5, 3.0]], equal_nan=True)


def test_a_seldon_tensor_is_one_matrix_and_is_answered_with_a_tensor() -> None:
    body = {
        "data": {"names": ["a", "b"], "tensor": {"shape": [2, 2], "values": [1, 2, 3, 4]}},
        "meta": {"puid": "mine"},
    }
    question = SELDON.decode(dumped(body), NUMBERS, JSON)
    assert question.matrix is not None
    assert question.matrix.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert answered(SELDON, question) == {
        "meta": {
            "puid": "mine",
            "tags": {
                "model_name": MODEL, "model_version": "3", "versions": [3, 4],
                "prediction_ids": [f"{ANSWER.request_id}.0", f"{ANSWER.request_id}.1"],
            },
        },
        "data": {"names": ["probability"], "tensor": {"shape": [2, 1], "values": [0.25, 0.75]}},
    }  # fmt: skip


def test_a_seldon_ndarray_is_answered_with_an_ndarray_and_our_id() -> None:
    question = SELDON.decode(dumped({"data": {"ndarray": ROWS}}), TAKES, JSON)
    document = answered(SELDON, question)
    assert document["data"] == {"names": ["probability"], "ndarray": [[0.25], [0.75]]}
    assert document["meta"]["puid"] == ANSWER.request_id


def test_a_text_model_takes_strdata() -> None:
    question = SELDON.decode(dumped({"strData": "late again"}), ONE_TEXT, JSON)
    assert question.tensors["text"].values.tolist() == ["late again"]


def test_a_model_of_one_input_takes_bare_values() -> None:
    one = Takes({"x": "number"}, frozenset("x"), "probability", MODEL, 10)
    for codec, body in (
        (V1, {"instances": [1, 2]}), (MLFLOW, {"inputs": [1, 2]}), (SELDON, {"data": {"ndarray": [1, 2]}}),
    ):  # fmt: skip
        question = codec.decode(dumped(body), one, JSON)
        values = question.tensors["x"].values if question.matrix is None else question.matrix.ravel()
        assert values.tolist() == [1.0, 2.0]


def test_predictions_come_with_our_ids_beside() -> None:
    question = V1.decode(dumped({"instances": ROWS}), TAKES, JSON)
    for codec in (V1, MLFLOW):
        assert answered(codec, question) == {
            "predictions": [0.25, 0.75], "model_name": MODEL, "model_version": "3",
            "parameters": {
                "prediction_ids": [f"{ANSWER.request_id}.0", f"{ANSWER.request_id}.1"], "versions": [3, 4],
            },
        }  # fmt: skip


@pytest.mark.parametrize(
    ("codec", "body"),
    [
        (V1, {"instances": [[0.5, "AA"]], "parameters": {"keys": ["k"], "asked_at": "2013-05-01T06:00:00Z"}}),
        (V1, {"instances": [{WIND: 0.5, CARRIER: "AA", "@key": "k", "@asked_at": NOW}]}),
        (
            MLFLOW,
            {"dataframe_split": {"columns": [WIND, CARRIER, "@key", "@asked_at"], "data": [[0.5, "AA", "k", NOW]]}},
        ),
        (MLFLOW, {"inputs": [[0.5, "AA"]], "params": {"keys": ["k"], "asked_at": [NOW]}}),
        (SELDON, {"data": {"ndarray": [[0.5, "AA"]]}, "meta": {"tags": {"keys": ["k"], "asked_at": [NOW]}}}),
        (SELDON, {"data": {"names": ["@key", "@asked_at", WIND, CARRIER], "ndarray": [["k", NOW, 0.5, "AA"]]}}),
    ],
)
def test_keys_and_times_come_in_every_protocol(codec: Any, body: object) -> None:  # noqa: ANN401
    question = codec.decode(dumped(body), TAKES, JSON)
    assert question.keys == ["k"]
    assert question.asked_at.tolist() == [NOW]
    assert set(question.tensors) == {WIND, CARRIER}


def test_keys_and_times_come_in_csv() -> None:
    body = b"@key,@asked_at,weather.wind,schedule.carrier\nk,%d,,\n" % NOW
    question = MLFLOW.decode(body, TAKES, CSV)
    assert question.keys == ["k"]
    assert question.asked_at is not None
    assert question.asked_at.tolist() == [NOW]
    assert np.isnan(question.tensors[WIND].values[0])
    assert question.tensors[CARRIER].values.tolist() == [None]


@pytest.mark.parametrize("name", ["v1", "seldon", "mlflow"])
def test_keys_alone_ask_in_entity_mode(name: str) -> None:
    record = [{"@key": "k"}]
    body = {"v1": {"instances": record}, "seldon": {"jsonData": record}, "mlflow": {"dataframe_records": record}}[name]
    question = CODECS[name].decode(dumped(body), TAKES, JSON)
    assert (question.keys, dict(question.tensors), question.matrix) == (["k"], {}, None)


def test_an_explanation_adds_up_and_names_its_inputs() -> None:
    found = Explanation(
        method="tree-shap", unit="probability", inputs=("a", "b"),
        base=np.array([0.2, 0.2]), values=np.array([[0.05, 0.0], [0.5, 0.05]]),
    )  # fmt: skip
    document = json.loads(encode_explanation("flight-delay", 3, found).body)
    assert (document["method"], document["model_name"], document["model_version"]) == ("tree-shap", "flight-delay", "3")
    for row in document["explanations"]:
        assert row["base"] + sum(row["attributions"].values()) == pytest.approx(row["score"])
        assert set(row["attributions"]) == {"a", "b"}


def test_a_seldon_error_has_the_status_that_its_clients_read() -> None:
    assert error_status(TooLarge("9 rows", fix="send less")) == {
        "code": 413, "info": "9 rows", "reason": "request.too_large", "status": "FAILURE",
    }  # fmt: skip
