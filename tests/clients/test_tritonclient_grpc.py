"""NVIDIA's tritonclient over gRPC: typed and raw tensors, health, metadata, errors."""

import pytest
from tests.clients.live import COLUMNS, TEXTS, Live, ask

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("clients")]

SCRIPT = """
import json, sys
import numpy as np
import tritonclient.grpc as remote
from tritonclient.utils import InferenceServerException

address, model, token = sys.argv[1:4]
columns, texts = json.load(sys.stdin)
headers = {"authorization": "Bearer " + token}
client = remote.InferenceServerClient(address)

def tensors(rows, names=None):
    made = []
    for name in names or columns:
        values = columns[name][:rows]
        kind = "BYTES" if name in texts else "FP64"
        tensor = remote.InferInput(name, [rows], kind)
        tensor.set_data_from_numpy(np.array(values, dtype=object if name in texts else np.float64))
        made.append(tensor)
    return made

def infer(rows, **more):
    given = {"inputs": tensors(rows), "model_name": model, "headers": headers, **more}
    return client.infer(outputs=[remote.InferRequestedOutput("score")], **given)

def refused(**more):
    try:
        infer(1, **more)
    except InferenceServerException as error:
        return [error.status(), error.message()]

answer = infer(4, request_id="mine")
metadata = client.get_model_metadata(model, headers=headers)
print(json.dumps({
    "live": client.is_server_live(headers=headers), "ready": client.is_server_ready(headers=headers),
    "model_ready": client.is_model_ready(model, headers=headers),
    "extensions": list(client.get_server_metadata(headers=headers).extensions),
    "inputs": [item.name for item in metadata.inputs],
    "scores": answer.as_numpy("score").tolist(), "id": answer.get_response().id,
    "one": infer(1, model_version="1").as_numpy("score").tolist(),
    "unknown_model": refused(model_name="other"), "missing_input": refused(inputs=tensors(1, ["visit.size"])),
    "no_token": refused(headers={}),
}))
"""
STATUS = {"unknown_model": "NOT_FOUND", "missing_input": "INVALID_ARGUMENT", "no_token": "UNAUTHENTICATED"}


def test_tritonclient_over_grpc(live: Live) -> None:
    columns = {name: values[:4] for name, values in COLUMNS.items()}
    found = ask("tritonclient", SCRIPT, live.grpc, live.model, live.token, given=[columns, TEXTS])
    assert found["live"]
    assert found["ready"]
    assert found["model_ready"]
    assert set(found["inputs"]) == set(COLUMNS)
    assert found["scores"] == pytest.approx(live.expected(slice(4)), abs=1e-9)
    assert found["one"] == pytest.approx(live.expected(slice(1)), abs=1e-9)
    assert found["id"] == "mine"
    for name, status in STATUS.items():
        assert status in found[name][0], found[name]
    assert "is missing" in found["missing_input"][1]
