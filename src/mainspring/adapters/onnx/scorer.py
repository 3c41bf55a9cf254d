"""Answer rows with an ONNX graph that came out of train-model.

Numbers become float32, as the training frame was rounded, so a value on a split's border falls on the same side; a
missing string becomes "", as in training. Only onnxruntime is imported: no onnx, no scikit-learn.
"""

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

from mainspring.kernel.contract import Input
from mainspring.kernel.errors import Damaged, InvalidValue
from mainspring.stats.columns import Array, Columns, Floats

MISSING_TEXT = ""
_ERRORS_ONLY = 3


class Scorer:
    """P(positive) for rows; safe to call from several threads at once."""

    def __init__(self, model_bytes: bytes, inputs: Sequence[Input], threads: int = 1) -> None:
        """Load the graph. Raises `Damaged` if it cannot run or its inputs are not `inputs`."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = _ERRORS_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        ort.disable_telemetry_events()
        try:
            self._session = ort.InferenceSession(model_bytes, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise Damaged(f"the ONNX graph does not load: {error}", fix="register the model again") from error
        self._columns = tuple((item.name, item.kind == "number") for item in inputs)
        outputs = self._session.get_outputs()
        wanted = {item.name: "tensor(float)" if item.kind == "number" else "tensor(string)" for item in inputs}
        found = {item.name: item.type for item in self._session.get_inputs()}
        if found != wanted or len(outputs) != 1:
            raise Damaged("the ONNX graph does not have the contract's inputs and one output", fix="register it again")
        self._output = [outputs[0].name]

    def __call__(self, columns: Columns, /) -> Floats:
        """Return one float64 a row. `columns` holds every input (others are ignored) and is not changed."""
        with np.errstate(over="ignore"):
            feed = {name: _tensor(columns, name, number) for name, number in self._columns}
        scores = self._session.run(self._output, feed)[0]
        return np.asarray(scores, np.float64).reshape(-1)


def _tensor(columns: Columns, name: str, number: bool) -> Array:
    try:
        values = columns[name]
    except KeyError:
        raise InvalidValue(f"input {name!r} is missing", fix="send every input that the model names") from None
    if number:
        return values.astype(np.float32).reshape(-1, 1)
    return as_texts(values).reshape(-1, 1)


def as_texts(values: Array) -> Array:
    """Return an object array of str with missing values as ""; training does the same."""
    missing = np.asarray(values == None)  # noqa: E711 - elementwise
    if missing.any():
        values = values.copy()
        values[missing] = MISSING_TEXT
    return values
