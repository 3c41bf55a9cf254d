"""NVIDIA's tritonclient over HTTP: JSON and binary tensors, health, metadata, errors."""

import pytest
from tests.clients.live import COLUMNS, TEXTS, Live, ask

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("clients")]

SCRIPT = """
import json, sys
import numpy as np
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

address, model, token, binary = sys.argv[1:5]
columns, texts = json.load(sys.stdin)
headers = {"Authorization": "Bearer " + token}
client = http.InferenceServerClient(address)

def tensors(rows, names=None):
    made = []
    for name in names or columns:
        values = columns[name][:rows]
        if name in texts:
            data = np.array([value or "" for value in values], dtype=object)
            tensor = http.InferInput(name, [rows], "BYTES")
        else:
            data = np.array([np.nan if value is None else value for value in values])
            tensor = http.InferInput(name, [rows], "FP64")
        tensor.set_data_from_numpy(data, binary_data=binary == "binary")
        made.append(tensor)
    return made

wanted = [http.InferRequestedOutput("score", binary_data=binary == "binary")]
def infer(rows, **more):
    return client.infer(more.pop("model", model), more.pop("inputs", None) or tensors(rows), outputs=wanted,
                        headers=headers, **more)

def refused(act):
    try:
        act()
    except InferenceServerException as error:
        return [error.status(), error.message()]

answer = infer(4, request_id="mine")
print(json.dumps({
    "live": client.is_server_live(headers=headers), "ready": client.is_server_ready(headers=headers),
    "model_ready": client.is_model_ready(model, headers=headers),
    "version_ready": client.is_model_ready(model, "1", headers=headers),
    "server": client.get_server_metadata(headers=headers),
    "metadata": client.get_model_metadata(model, headers=headers),
    "scores": answer.as_numpy("score").tolist(), "id": answer.get_response()["id"],
    "one": infer(1, model_version="1").as_numpy("score").tolist(),
    "unknown_model": refused(lambda: infer(1, model="other")),
    "missing_input": refused(lambda: infer(1, inputs=tensors(1, ["visit.size"]))),
    "no_token": refused(lambda: client.infer(model, tensors(1))),
}))
"""


@pytest.mark.parametrize("form", ["json", "binary"])
def test_tritonclient_over_http(live: Live, form: str) -> None:
    columns = {name: [v if v is not None else "" if name in TEXTS else 0.5 for v in COLUMNS[name]] for name in COLUMNS}
    found = ask("tritonclient", SCRIPT, live.address, live.model, live.token, form, given=[columns, TEXTS])
    assert found["live"]
    assert found["ready"]
    assert found["model_ready"]
    assert found["version_ready"]
    assert "binary_tensor_data" in found["server"]["extensions"]
    assert {item["name"] for item in found["metadata"]["inputs"]} == set(COLUMNS)
    assert found["scores"] == pytest.approx(live.expected(slice(4)), abs=1e-9)
    assert found["one"] == pytest.approx(live.expected(slice(1)), abs=1e-9)
    assert found["id"] == "mine"
    status, message = found["unknown_model"]
    assert status == "404"
    assert "no such model" in message
    status, message = found["missing_input"]
    assert status == "400"
    assert "is missing" in message
    status, message = found["no_token"]
    assert status == "401"
    assert "key" in message
