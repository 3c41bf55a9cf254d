"""Ray Serve around the model, on its throughput-optimised settings."""

import os
import signal
from typing import Any

os.environ.setdefault("RAY_SERVE_THROUGHPUT_OPTIMIZED", "1")

import numpy as np
import orjson
import ray
from ray import serve
from same_model import loaded
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(num_replicas=1, max_ongoing_requests=64, ray_actor_options={"num_cpus": 0})
class Served:
    def __init__(self) -> None:
        self._model = loaded(os.environ["MODEL"])

    async def __call__(self, request: Request) -> Any:  # noqa: ANN401
        tensor = orjson.loads(await request.body())["inputs"][0]
        scores = self._model.predict_proba(np.array(tensor["data"]).reshape(tensor["shape"]))
        output = {
            "name": "predict_proba",
            "shape": list(scores.shape),
            "datatype": "FP64",
            "data": scores.ravel().tolist(),
        }
        document = {"model_name": os.environ["MODEL"], "outputs": [output]}
        return Response(orjson.dumps(document), media_type="application/json")


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", _node_ip_address="127.0.0.1")
    options = {"host": "127.0.0.1", "port": int(os.environ["PORT"])}
    serve.start(http_options=options, logging_config={"enable_access_log": False})
    serve.run(Served.bind(), route_prefix="/")
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    serve.shutdown()
    ray.shutdown()
