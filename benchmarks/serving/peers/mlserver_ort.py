"""MLServer on onnxruntime: the engine that we use, so that the difference is the server."""

import os
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from same_model import OnOnnx


class OrtModel(MLModel):
    async def load(self) -> bool:
        self._onnx = OnOnnx(Path(os.environ["MODELS"]) / f"{self.name}.onnx")
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        scores = self._onnx.predict_proba(NumpyCodec.decode_input(payload.inputs[0]))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("predict_proba", scores)])
