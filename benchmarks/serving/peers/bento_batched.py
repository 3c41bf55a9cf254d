"""BentoML around the model, batching."""

import os

import bentoml
import numpy as np
from same_model import loaded


@bentoml.service(workers=1, traffic={"timeout": 30}, logging={"access": {"enabled": False}})
class Service:
    def __init__(self) -> None:
        self._model = loaded(os.environ["MODEL"])

    @bentoml.api(route="/predict", batchable=True, max_batch_size=1000, max_latency_ms=1000)
    def predict(self, x: np.ndarray) -> np.ndarray:
        return self._model.predict_proba(x)
