"""KServe's Python server around the model: what its own scikit-learn server does, which is not on the package index."""

import logging
import os
from typing import Any

logging.disable(logging.INFO)  # no line of log a request

from kserve import InferOutput, InferResponse, Model, ModelServer  # noqa: E402
from same_model import loaded  # noqa: E402


class Served(Model):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._model = loaded(name)
        self.ready = True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:  # noqa: ANN401
        scores = self._model.predict_proba(payload.inputs[0].as_numpy())
        output = InferOutput(name="predict_proba", shape=list(scores.shape), datatype="FP64")
        output.set_data_from_numpy(scores, binary_data=False)
        return InferResponse(response_id=payload.id or "", model_name=self.name, infer_outputs=[output])


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    server = ModelServer(
        http_port=port, grpc_port=port + 1, workers=1, enable_grpc=False, access_log_format=None,
        enable_latency_logging=False,
    )  # fmt: skip
    server.start([Served(os.environ["MODEL"])])
