"""Why a model scored as it did: a trained and promoted model, a live server, a process beside it."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from tests.clients.live import COLUMNS, Live, made, served

pytestmark = pytest.mark.slow
INSTANCES = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with served(made(tmp_path_factory.mktemp("explain") / "project"), "--explain", keys=True) as found:
        yield found


def _asked(live: Live, instances: list[dict[str, Any]], authorization: str | None = None) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        f"{live.url}/v1/models/{live.model}:explain", json.dumps({"instances": instances}).encode(),
        {"Content-Type": "application/json", "Authorization": authorization or live.authorization["Authorization"]},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def _sidecar(live: Live) -> psutil.Process:
    port = int(live.url.rpartition(":")[2])
    listening = [one for one in psutil.net_connections("tcp4") if one.status == "LISTEN"]
    (server,) = {one.pid for one in listening if getattr(one.laddr, "port", 0) == port}
    (found,) = (child for child in psutil.Process(server).children() if "mainspring.app.explaining" in child.cmdline())
    return found


def test_attributions_add_up_to_what_the_model_says(live: Live) -> None:
    status, document = _asked(live, INSTANCES)
    assert status == 200
    assert (document["method"], document["unit"], document["model_version"]) == ("permutation-shap", "probability", "1")
    for row, score in zip(document["explanations"], live.expected(), strict=True):
        assert row["score"] == pytest.approx(score, abs=1e-6)
        assert row["base"] + sum(row["attributions"].values()) == pytest.approx(score, abs=1e-6)
    small, large = ({**INSTANCES[0], "visit.size": size} for size in (0.5, 6.0))
    moved = [row["attributions"]["visit.size"] for row in _asked(live, [small, large])[1]["explanations"]]
    assert moved[0] < -0.05 < 0.05 < moved[1]  # in these data size drives the outcome
    again = _asked(live, INSTANCES)[1]
    assert again == document


def test_what_is_not_explained_is_told(live: Live) -> None:
    assert _asked(live, INSTANCES * 11)[0] == 413
    assert _asked(live, INSTANCES, "Bearer no-such-key")[0] == 401
    status, told = _asked(live, [{**INSTANCES[0], "visit.size": "large"}])
    assert (status, told["code"]) == (400, "request.tensor")


def test_a_killed_process_fails_no_prediction_and_comes_back(live: Live) -> None:
    assert _asked(live, INSTANCES[:1])[0] == 200
    before = _sidecar(live)
    before.kill()
    assert _asked(live, INSTANCES[:1])[0] in (200, 503)
    request = urllib.request.Request(
        f"{live.url}/v1/models/{live.model}:predict", json.dumps({"instances": INSTANCES}).encode(),
        {"Content-Type": "application/json", **live.authorization},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["predictions"] == pytest.approx(live.expected(), abs=1e-6)
    assert _asked(live, INSTANCES[:1])[0] == 200
    assert _sidecar(live).pid != before.pid
