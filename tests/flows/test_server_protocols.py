"""Every protocol over HTTP: the same scores, one log, the right media types, errors in the form its clients read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.serve.serving_kit import MODEL, RunningServer, body, running

from mainspring.adapters.files.label_inbox import LabelInbox
from mainspring.entry.inference.binding import Listening

ROWS = [{"weather.wind": 0.0, "schedule.carrier": "AA"}, {"weather.wind": 0.5, "schedule.carrier": "AA"}]
NAMES, VALUES = ["weather.wind", "schedule.carrier"], [[0.0, "AA"], [0.5, "AA"]]
JSON = "application/json"
CASES: dict[str, tuple[str, str, bytes]] = {
    "v1 records": (f"/v1/models/{MODEL}:predict", JSON, json.dumps({"instances": ROWS}).encode()),
    "v1 rows": (f"/v1/models/{MODEL}:predict", JSON, json.dumps({"instances": VALUES}).encode()),
    "seldon": ("/api/v1.0/predictions", JSON, json.dumps({"data": {"names": NAMES, "ndarray": VALUES}}).encode()),
    "seldon by ingress": (
        "/seldon/models/flights/api/v1.0/predictions", JSON, json.dumps({"data": {"ndarray": VALUES}}).encode(),
    ),
    "mlflow split": (
        "/invocations", JSON, json.dumps({"dataframe_split": {"columns": NAMES, "data": VALUES}}).encode(),
    ),
    "mlflow records": ("/invocations", JSON, json.dumps({"dataframe_records": ROWS}).encode()),
    "mlflow csv": ("/invocations", "text/csv", b"weather.wind,schedule.carrier\n0.0,AA\n0.5,AA\n"),
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(tmp_path_factory.mktemp("protocols"), listening=Listening(drain_s=0.1, poll_s=0.05)) as found:
        yield found


def scores(document: Any) -> list[float]:  # noqa: ANN401 - JSON
    if "predictions" in document:
        return list(document["predictions"])
    data = document["data"]
    return [row[0] for row in data["ndarray"]] if "ndarray" in data else list(data["tensor"]["values"])


@pytest.mark.parametrize("case", CASES)
def test_each_protocol_gives_the_scores_of_v2(server: RunningServer, case: str) -> None:
    path, media, sent = CASES[case]
    expected = server.infer(body(2))[1]["outputs"][0]["data"]
    status, headers, content = server.ask("POST", path, sent, {"Content-Type": media})
    assert (status, headers["content-type"]) == (200, "application/json")
    assert scores(json.loads(content)) == expected
    assert headers["mainspring-version"] == "1"
    assert "p-" in content.decode()


@pytest.mark.parametrize("case", CASES)
def test_a_chunked_body_takes_the_slow_path_to_the_same_answer(server: RunningServer, case: str) -> None:
    path, media, sent = CASES[case]
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {media}\r\nTransfer-Encoding: chunked\r\n"
    raw = server.raw(head.encode() + b"Connection: close\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(sent), sent))
    top, _, content = raw.partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 200 ")
    again = server.ask("POST", path, sent, {"Content-Type": media})[2]
    assert scores(json.loads(content)) == scores(json.loads(again))


@pytest.mark.parametrize("case", CASES)
def test_a_bad_body_is_refused_in_the_form_that_clients_read(server: RunningServer, case: str) -> None:
    path, media, _ = CASES[case]
    status, _, content = server.ask("POST", path, b"{", {"Content-Type": media})
    document = json.loads(content)
    assert status == 400
    assert document["code"].startswith("request.")
    assert ("status" in document) == case.startswith("seldon")
    if case.startswith("seldon"):
        assert document["status"] == {
            "code": 400, "info": document["error"], "reason": document["code"], "status": "FAILURE",
        }  # fmt: skip


def test_refused_feedback_has_the_form_that_seldons_clients_read(server: RunningServer) -> None:
    status, _, content = server.ask("POST", "/api/v1.0/feedback", b"{}", {"Content-Type": JSON})
    assert (status, json.loads(content)["status"]["status"]) == (404, "FAILURE")  # this one takes no labels


def test_a_wrong_method_is_told_the_right_ones_and_a_wrong_name_is_a_model_not_a_path(server: RunningServer) -> None:
    status, headers, _ = server.ask("GET", f"/v2/models/{MODEL}/infer")
    assert (status, headers["allow"]) == (405, "POST")
    status, headers, _ = server.ask("POST", "/v2", b"{}")
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    for name in ("Flights", "a.b", "x" * 128):
        status, _, content = server.ask("GET", f"/v2/models/{name}")
        assert (status, json.loads(content)["code"]) == (404, "model.unknown")
    for word in ("abc", "0", "77"):
        for method, rest in (("GET", ""), ("GET", "/ready"), ("POST", "/infer")):
            sent = json.dumps(body()).encode() if method == "POST" else None
            path = f"/v2/models/{MODEL}/versions/{word}{rest}"
            status, _, content = server.ask(method, path, sent, {"Content-Type": JSON} if sent else None)
            assert (status, json.loads(content)["code"]) == (404, "model.unknown"), path


def test_models_probes_and_versions_of_other_servers(server: RunningServer) -> None:
    assert json.loads(server.ask("GET", "/v1/models")[2]) == {"models": [MODEL]}
    assert json.loads(server.ask("GET", f"/v1/models/{MODEL}")[2]) == {"name": MODEL, "ready": True}
    assert server.ask("GET", "/v1/models/nope")[0] == 404
    for path in ("/ping", "/health", "/health/status", "/health/ping"):
        assert server.ask("GET", path)[0] == 200
    assert server.ask("GET", "/version")[2].decode().count(".") == 2


@pytest.mark.parametrize(
    ("path", "media"), [("/invocations", "text/plain"), (f"/v1/models/{MODEL}:predict", "text/csv")]
)
def test_a_media_type_that_a_protocol_does_not_read_is_415(server: RunningServer, path: str, media: str) -> None:
    assert server.ask("POST", path, b"a,b\n1,2\n", {"Content-Type": media})[0] == 415


def test_before_a_model_is_there_the_probes_say_so(tmp_path: Path) -> None:
    from tests.unit.serve.serving_kit import Parts

    parts = Parts()
    parts.releases.set(9)  # a version that does not exist
    with running(tmp_path, parts, Listening(drain_s=0.1, poll_s=0.05)) as found:
        for path in ("/ping", "/health/status"):
            assert found.ask("GET", path)[0] == 503
        assert found.ask("POST", "/invocations", b"{}", {"Content-Type": JSON})[0] == 503


def test_labels_are_taken_one_by_one_and_a_bad_one_fails_alone(tmp_path: Path) -> None:
    inbox = LabelInbox(tmp_path / "posted")
    with running(tmp_path / "log", listening=Listening(drain_s=0.1, poll_s=0.05), labels=inbox) as found:
        status, document = found.infer(body(2))
        first, second = document["parameters"]["prediction_ids"]
        labels = [{"prediction_id": first, "value": 1}, {"prediction_id": "nope", "value": 0}]
        status, _, content = found.ask(
            "POST", "/v1/feedback", json.dumps({"labels": labels}).encode(), {"Content-Type": JSON}
        )
        answer = json.loads(content)
        assert (status, answer["accepted"], answer["refused"]) == (200, 1, 1)
        assert [item["accepted"] for item in answer["results"]] == [True, False]
        one = json.dumps({"prediction_id": second, "value": 0}).encode()
        assert (
            json.loads(found.ask("POST", f"/v1/models/{MODEL}:feedback", one, {"Content-Type": JSON})[2])["accepted"]
            == 1
        )
        told = {"response": {"meta": {"tags": {"prediction_ids": [first]}}}, "truth": {"data": {"ndarray": [[1]]}}}
        assert found.ask("POST", "/api/v1.0/feedback", json.dumps(told).encode(), {"Content-Type": JSON})[0] == 200
        assert found.ask("POST", "/v1/feedback", b"{", {"Content-Type": JSON})[0] == 400
        assert found.ask("POST", "/v1/models/nope:feedback", one, {"Content-Type": JSON})[0] == 404
    posted = [label["prediction_id"] for _, labels in inbox.batches() for label in labels]
    assert sorted(posted) == sorted([first, second, first])  # the clock stands still, so their order is open


def test_a_server_without_an_inbox_says_so(server: RunningServer) -> None:
    status, _, content = server.ask("POST", "/v1/feedback", b"{}", {"Content-Type": JSON})
    assert (status, json.loads(content)["code"]) == (404, "route.unknown")
