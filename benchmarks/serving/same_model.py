"""The models that every server holds, and the data they were fitted on. Imported by peers in their own environments.

Nothing but scikit-learn and numpy; every environment fits the same model from the same 569 rows, for a file written
with one numpy cannot be read with every other. The runner compares all answers before it times anything.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

NAMES = ("gb", "rf")
TREES = 100
FEATURES = tuple(str(name).replace(" ", "_") for name in load_breast_cancer().feature_names)


def data() -> tuple[Any, Any]:
    """Return (569 x 30 numbers, 569 classes 0 and 1)."""
    return load_breast_cancer(return_X_y=True)


def fitted(name: str, trees: int = TREES) -> Any:  # noqa: ANN401 - a scikit-learn classifier
    """Return the classifier called `name`; its `predict_proba` is what every server answers."""
    kinds = {"gb": GradientBoostingClassifier, "rf": RandomForestClassifier}
    return kinds[name](n_estimators=trees, random_state=0).fit(*data())


def loaded(name: str) -> Any:  # noqa: ANN401
    """Return `fitted(name)`, or, where ENGINE=ort, an object with the same answers from onnxruntime on one thread."""
    import os

    return OnOnnx(Path(os.environ["MODELS"]) / f"{name}.onnx") if os.environ.get("ENGINE") == "ort" else fitted(name)


class OnOnnx:
    """The converted model: float32 in, as scikit-learn's trees compare."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def predict_proba(self, rows: Any) -> Any:  # noqa: ANN401 - numpy arrays of any shape
        """Return [n, 2] float64."""
        scores = self._session.run(["probabilities"], {self._input: np.asarray(rows, np.float32)})[0]
        return scores.astype(np.float64)


def write(folder: Path) -> None:
    """Write NAME.joblib for servers that load files, and NAME.onnx for `OnOnnx`."""
    import joblib
    from skl2onnx import to_onnx

    folder.mkdir(parents=True, exist_ok=True)
    sample = data()[0][:1].astype(np.float32)
    for name in NAMES:
        model = fitted(name)
        joblib.dump(model, folder / f"{name}.joblib")
        graph = to_onnx(model, sample, options={"zipmap": False}, target_opset={"": 18, "ai.onnx.ml": 3})
        (folder / f"{name}.onnx").write_bytes(graph.SerializeToString())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
