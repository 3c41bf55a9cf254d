"""KServe's own Python client: V2 and V1 over HTTP, readiness, errors."""

import pytest
from tests.clients.live import COLUMNS, TEXTS, Live, ask

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("clients")]

SCRIPT = """
import asyncio, json, logging, sys
import httpx
from kserve import InferInput, InferRequest, InferenceRESTClient
from kserve.inference_client import RESTConfig

url, model, token = sys.argv[1:4]
columns, texts = json.load(sys.stdin)
headers = {"Authorization": "Bearer " + token}

def tensors(rows):
    return [InferInput(name, [rows], "BYTES" if name in texts else "FP64", data=values[:rows])
            for name, values in columns.items()]

async def refused(awaited):
    try:
        await awaited
    except httpx.HTTPStatusError as error:
        return [error.response.status_code, error.response.text]

async def main():
    v2 = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    v1 = InferenceRESTClient(RESTConfig(protocol="v1", retries=0))
    request = InferRequest(model_name=model, infer_inputs=tensors(4), request_id="mine")
    answer = await v2.infer(url, request, model_name=model, headers=headers)
    rows = [dict(zip(columns, row)) for row in zip(*columns.values())]
    return {
        "live": await v2.is_server_live(url, headers=headers), "ready": await v2.is_server_ready(url, headers=headers),
        "model_ready": await v2.is_model_ready(url, model, headers=headers),
        "scores": answer.outputs[0].data, "id": answer.id,
        "v1_ready": await v1.is_model_ready(url, model, headers=headers),
        "v1_lists": await v1.infer(url, {"instances": [list(row.values()) for row in rows]}, model, headers=headers),
        "v1_objects": await v1.infer(url, {"instances": rows}, model, headers=headers),
        "unknown": await refused(v2.infer(url, InferRequest("other", tensors(1)), model_name="other", headers=headers)),
        "no_token": await refused(v2.infer(url, InferRequest(model, tensors(1)), model_name=model)),
        "v1_bad": await refused(v1.infer(url, {"instances": [[1, 2]]}, model, headers=headers)),
    }

logging.disable(logging.CRITICAL)
print(json.dumps(asyncio.run(main())))
"""


def test_kserves_client(live: Live) -> None:
    columns = {name: [v if v is not None else "" if name in TEXTS else 0.5 for v in COLUMNS[name]] for name in COLUMNS}
    found = ask("kserve", SCRIPT, live.url, live.model, live.token, given=[columns, TEXTS])
    expected = live.expected(slice(4))
    assert found["live"]
    assert found["ready"]
    assert found["model_ready"]
    assert found["v1_ready"]
    assert found["scores"] == pytest.approx(expected, abs=1e-9)
    assert found["id"] == "mine"
    for form in ("v1_lists", "v1_objects"):
        assert found[form]["predictions"][:4] == pytest.approx(expected, abs=1e-9)
    assert found["unknown"][0] == 404
    assert found["no_token"][0] == 401
    assert found["v1_bad"][0] == 400
