"""seldon-core's own client: predictions through the gateway's path, feedback, errors."""

import pytest
from tests.clients.live import COLUMNS, Live, ask

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("clients")]

PREDICT = """
import json, sys
import numpy as np
from seldon_core.seldon_client import SeldonClient

address, model, token = sys.argv[1:4]
columns = json.load(sys.stdin)
headers = {"Authorization": "Bearer " + token} if token else {}
client = SeldonClient(deployment_name=model, namespace="prod", gateway="ambassador", gateway_endpoint=address,
                      payload_type="ndarray")
rows = np.array(list(map(list, zip(*columns.values()))), dtype=object)
def predict(**more):
    given = {"data": rows, "names": list(columns), "headers": headers, **more}
    answer = client.predict(gateway_prefix=None, **given)
    return {"ok": answer.success, "why": answer.msg, "response": answer.response}

print(json.dumps({
    "rows": predict(), "json": predict(data=None, json_data=[dict(zip(columns, row)) for row in rows.tolist()]),
    "one": predict(data=rows[:1]), "short": predict(data=rows[:, :2], names=list(columns)[:2]),
    "no_token": predict(headers={}),
}))
"""
FEEDBACK = """
import json, sys
import numpy as np
from seldon_core.seldon_client import SeldonClient

address, model = sys.argv[1:3]
columns = json.load(sys.stdin)
client = SeldonClient(deployment_name=model, namespace="prod", gateway="ambassador", gateway_endpoint=address,
                      payload_type="ndarray")
rows = np.array(list(map(list, zip(*columns.values()))), dtype=object)
answer = client.predict(data=rows, names=list(columns))
def feedback(truth, response=answer.response):
    told = client.feedback(raw_request={"response": response, "truth": {"data": {"ndarray": truth}}})
    return [told.success, told.msg]

print(json.dumps({"good": feedback([1, 0]), "short": feedback([1])}))
"""


def test_seldons_client(live: Live) -> None:
    columns = {name: values[:4] for name, values in COLUMNS.items()}
    found = ask("seldon", PREDICT, live.address, live.model, live.token, given=columns)
    expected = live.expected(slice(4))
    assert found["rows"]["ok"], found["rows"]
    data = found["rows"]["response"]["data"]
    assert [row[-1] for row in data["ndarray"]] == pytest.approx(expected, abs=1e-9)
    assert found["one"]["response"]["data"]["ndarray"][0][-1] == pytest.approx(expected[0], abs=1e-9)
    assert found["json"]["ok"], found["json"]
    assert not found["short"]["ok"]
    assert found["short"]["why"].startswith("400")
    assert found["no_token"]["why"].startswith("401")


def test_labels_come_back_with_seldons_client(open_live: Live) -> None:
    columns = {name: values[:2] for name, values in COLUMNS.items()}
    found = ask("seldon", FEEDBACK, open_live.address, open_live.model, given=columns)
    assert found["good"] == [True, ""]
    assert not found["short"][0]
    assert found["short"][1].startswith("400")
