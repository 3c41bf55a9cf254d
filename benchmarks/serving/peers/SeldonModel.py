"""The class that Seldon's wrapper serves; the module must be called as the class."""

import os
from typing import Any

import numpy as np
from same_model import loaded


class SeldonModel:
    def __init__(self) -> None:
        self._model = loaded(os.environ["MODEL"])

    def predict(self, X: Any, features_names: Any = None, meta: Any = None) -> Any:  # noqa: ANN401 - Seldon's names
        return self._model.predict_proba(np.asarray(X))
