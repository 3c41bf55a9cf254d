"""MLflow's own scoring client, and plain calls of `/invocations` with an API key, from full MLflow's environment."""

import pytest
from tests.clients.live import COLUMNS, Live, ask

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("clients")]

CLIENT = """
import json, sys
import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

host, port = sys.argv[1].split(":")
frame = pd.DataFrame(json.load(sys.stdin))
client = ScoringServerClient(host, port)
client.ping()
answer = client.invoke(frame)
try:
    client.invoke(frame[["visit.size"]])
    refused = ""
except Exception as error:
    refused = str(error)
scores = answer.get_predictions(predictions_format="ndarray").ravel().tolist()
print(json.dumps({"scores": scores, "version": client.get_version(), "refused": refused}))
"""
CALLS = """
import json, sys
import pandas as pd
import requests

url, token = sys.argv[1:3]
frame = pd.DataFrame(json.load(sys.stdin))
def post(body, kind="application/json", key=token):
    headers = {"Content-Type": kind, **({"Authorization": "Bearer " + key} if key else {})}
    response = requests.post(url + "/invocations", data=body, headers=headers)
    return [response.status_code, response.json()]

split = frame.to_dict(orient="split")
good = {
    "split": post(json.dumps({"dataframe_split": split})),
    "records": post(json.dumps({"dataframe_records": frame.to_dict(orient="records")})),
    "instances": post(json.dumps({"instances": frame.to_dict(orient="records")})),
    "inputs": post(json.dumps({"inputs": frame.to_dict(orient="list")})),
    "csv": post(frame.to_csv(index=False), "text/csv"),
}
bad = {
    "no form": post("{}"), "two forms": post(json.dumps({"instances": [], "inputs": []})), "no json": post("{"),
    "media": post("<x/>", "text/xml"), "no key": post("{}", key=""), "wrong key": post("{}", key="mst_wrong"),
}
print(json.dumps([good, bad]))
"""
STATUS = {"no form": 400, "two forms": 400, "no json": 400, "media": 415, "no key": 401, "wrong key": 401}


def _frame() -> dict[str, list[object]]:
    return {name: [value for row, value in enumerate(COLUMNS[name]) if row < 4] for name in COLUMNS}


def test_mlflows_own_client(open_live: Live) -> None:
    found = ask("mlflow", CLIENT, open_live.address, given=_frame())
    assert found["scores"] == pytest.approx(open_live.expected(slice(4)), abs=1e-9)
    assert found["version"]
    assert "400" in found["refused"]
    assert "is missing" in found["refused"]


def test_invocations_in_every_form_and_what_is_refused(live: Live) -> None:
    good, bad = ask("mlflow", CALLS, live.url, live.token, given=_frame())
    for form, (status, answer) in good.items():
        assert status == 200, (form, answer)
        assert answer["predictions"] == pytest.approx(live.expected(slice(4)), abs=1e-9), form
    assert {name: status for name, (status, _) in bad.items()} == STATUS
    assert all(answer["code"] and answer["fix"] for _, answer in bad.values())
