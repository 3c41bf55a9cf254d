"""LitServe around the model; BATCH=1: batches of 16, 2 ms."""

import os
from typing import Any

import litserve
import numpy as np
from same_model import loaded


class Served(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self._model = loaded(os.environ["MODEL"])

    def decode_request(self, request):  # noqa: ANN001, ANN201 - a type here would change what it reads
        return np.asarray(request["x"])

    def predict(self, x: Any) -> Any:  # noqa: ANN401
        return self._model.predict_proba(x)

    def batch(self, inputs: Any) -> Any:  # noqa: ANN401
        self._sizes = [len(item) for item in inputs]
        return np.concatenate(inputs)

    def unbatch(self, output: Any) -> Any:  # noqa: ANN401
        return np.split(output, np.cumsum(self._sizes)[:-1])

    def encode_response(self, output: Any) -> Any:  # noqa: ANN401
        return {"y": output.tolist()}


if __name__ == "__main__":
    batching = {"max_batch_size": 16, "batch_timeout": 0.002} if os.environ.get("BATCH") else {}
    server = litserve.LitServer(Served(api_path="/predict", **batching), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(os.environ["PORT"]), num_api_servers=1, generate_client_file=False, log_level="error"
    )
