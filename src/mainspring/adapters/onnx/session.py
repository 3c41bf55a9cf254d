"""Run any ONNX graph with ONNX Runtime.

Numbers become what the graph declares: float32 for trees, as the training frame was rounded, so a value on a split's
border falls on the same side; float64 for linear models; whole numbers for integer inputs. A missing string becomes
"", as in training. Columns that the graph only joins are fed joined (`joined.py`). Only onnxruntime is imported: no
onnx, no scikit-learn.
"""

import contextvars
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from mainspring.adapters.onnx.joined import joined
from mainspring.kernel.contract import Input
from mainspring.kernel.errors import Damaged, InvalidValue
from mainspring.stats.columns import Array, Floats, blanked

_ERRORS_ONLY = 3
_LARGEST = 2.0**53
_NUMBERS: Mapping[str, Any] = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64, "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}  # fmt: skip


class Session:
    """P(positive) for rows; safe to call from several threads at once."""

    def __init__(self, model_bytes: bytes, inputs: Sequence[Input], threads: int = 1) -> None:
        """Load the graph. Raises `Damaged` if it cannot run or its inputs are not `inputs`."""
        graph = joined(model_bytes)
        self._session = _session(graph.data, threads)
        numbers = [item.name for item in inputs if item.kind == "number"]
        texts = [item.name for item in inputs if item.kind != "number"]
        fed = {
            item.name: (item.type, graph.matrices.get(item.name, (item.name,))) for item in self._session.get_inputs()
        }
        outputs = self._session.get_outputs()
        kinds = {column: _kind(declared) for declared, columns in fed.values() for column in columns}
        if kinds != {item.name: item.kind for item in inputs} or len(outputs) != 1:
            raise Damaged("the ONNX graph does not have the contract's inputs and one output", fix="register it again")
        self._output = [outputs[0].name]
        self._number_feeds = [
            (name, _NUMBERS[declared], _places(columns, numbers))
            for name, (declared, columns) in fed.items() if declared in _NUMBERS
        ]  # fmt: skip
        self._text_feeds = [(name, texts.index(name)) for name, (kind, _) in fed.items() if kind not in _NUMBERS]

    def packed(self, numbers: Floats, texts: Array, /) -> Floats:
        """Return one float64 a row. numbers: [n, k] float64 (NaN null), texts: [n, m] objects (None null).

        Columns in the contract's order, each kind on its own; neither is changed.
        """
        feed: dict[str, Array] = {}
        for name, kind, places in self._number_feeds:
            values = numbers if places is None else numbers[:, places]
            if kind is not np.float32 and kind is not np.float64:
                _check_whole(values, name)
            feed[name] = _QUIET.context.run(values.astype, kind)
        for name, place in self._text_feeds:
            feed[name] = blanked(texts[:, place : place + 1])
        scores = self._session.run(self._output, feed)[0]
        return np.asarray(scores if scores.ndim == 1 else scores.reshape(-1), np.float64)


class _Quiet(threading.local):
    """A context, one a thread, in which a number too large for float32 becomes infinite without a warning.

    `np.errstate` does the same and takes 1 us, a fifth of a small model's own time.
    """

    def __init__(self) -> None:
        self.context = contextvars.Context()
        self.context.run(np.seterr, over="ignore")


_QUIET = _Quiet()


def _session(model_bytes: bytes, threads: int) -> Any:  # noqa: ANN401 - onnxruntime has no types
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    ort.disable_telemetry_events()
    try:
        return ort.InferenceSession(model_bytes, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise Damaged(f"the ONNX graph does not load: {error}", fix="register the model again") from error


def _kind(declared: str) -> str:
    return "number" if declared in _NUMBERS else "string" if declared == "tensor(string)" else declared


def _places(columns: Sequence[str], among: Sequence[str]) -> list[int] | None:
    """Return where `columns` stand among all numbers; None where they are all of them in order."""
    if list(columns) == list(among):
        return None
    places = {name: place for place, name in enumerate(among)}
    return [places.get(name, -1) for name in columns]


def _check_whole(values: Array, name: str) -> None:
    """Refuse what an integer cannot hold: the cast would turn a missing value into a number."""
    if not (np.isfinite(values) & (np.trunc(values) == values) & (np.abs(values) <= _LARGEST)).all():
        raise InvalidValue(f"input {name!r} takes whole numbers", fix="send a whole number in every row, not null")
