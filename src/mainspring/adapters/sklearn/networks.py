"""PyTorch modules as two-class classifiers, and their export to ONNX.

A training function returns a module, or a pair (fitted scikit-learn transformer, module). The module takes one float32
matrix [n, k], in eval mode on the CPU: the number columns in the frame's order, or what the transformer makes of all
columns. It answers P(positive), [n] or [n, 1], or both probabilities, [n, 2]: probabilities and not logits, for nothing
here could tell which of the two it is given.

PyTorch is an extra (`torch`) of training alone. It is imported when a function has returned a module, and never by a
server: what is kept is the graph.
"""

import sys
import warnings
from typing import Any

import numpy as np

from mainspring.develop.errors import FunctionFailed, NotConvertible
from mainspring.security.artifacts import MAX_ONNX
from mainspring.stats.columns import Array, Floats

MATRIX = "matrix"
_TRACED_ROWS = 3  # neither 0 nor 1, which torch.export takes for sizes that never change
_SUM_OFF = 1e-3
_CONTRACT = "return a module from a float32 matrix [n, k] to probabilities [n], [n, 1] or [n, 2]: docs/models.md"
_PROBABILITIES = "end the module in torch.sigmoid, or softmax for two columns; let it fill the nulls that rows may have"


class Network:
    """A module with the shape of a fitted scikit-learn classifier. width: columns of the matrix that it takes."""

    classes_ = (0, 1)

    def __init__(self, module: Any, prepare: Any, frame: Any) -> None:  # noqa: ANN401 - a Module, a transformer, a DataFrame
        """Try the module on a few rows of `frame`. Raises `FunctionFailed` where it does not keep to the contract."""
        self.module, self.prepare = getattr(module, "_orig_mod", module).cpu().eval(), prepare  # torch.compile wraps
        texts = [name for name in frame.columns if frame[name].dtype == object]
        if prepare is None and texts:
            raise FunctionFailed(
                f"a module takes numbers, and {texts[0]} is text",
                fix="return (transformer, module), the transformer fitted to encode texts",
            )
        few = frame.iloc[:_TRACED_ROWS]
        try:
            self.width = int(self._matrix(few).shape[1])
            shape = self._answer(few).shape
        except Exception as error:  # the user's code
            what = f"the module fails on {len(few)} rows: {type(error).__name__}: {error}"
            raise FunctionFailed(what, fix=_CONTRACT) from error
        if shape not in ((len(few),), (len(few), 1), (len(few), 2)):
            raise FunctionFailed(f"the module answers the shape {list(shape)} for {len(few)} rows", fix=_CONTRACT)

    def predict_proba(self, frame: Any) -> Floats:  # noqa: ANN401 - a DataFrame
        """Return [n, 2]. Raises `ValueError` where an answer is no probability."""
        found = self._answer(frame)
        if not ((found >= 0) & (found <= 1)).all():
            odd = found[~((found >= 0) & (found <= 1))]
            raise ValueError(f"the module answers {odd[0]}, which is no probability: {_PROBABILITIES}")
        if found.shape[1:] == (2,):
            if not (np.abs(found.sum(axis=1) - 1) <= _SUM_OFF).all():
                raise ValueError(f"the module's two columns do not add up to 1: {_PROBABILITIES}")
            return found
        positive = found.reshape(-1)
        return np.stack([1 - positive, positive], axis=1)

    def _matrix(self, frame: Any) -> Array:  # noqa: ANN401 - a DataFrame
        made = frame.to_numpy() if self.prepare is None else self.prepare.transform(frame)
        return np.asarray(made.toarray() if hasattr(made, "toarray") else made, np.float32)

    def _answer(self, frame: Any) -> Floats:  # noqa: ANN401 - a DataFrame
        import torch

        with torch.no_grad():
            answer = self.module(torch.from_numpy(self._matrix(frame)))
        return np.asarray(answer.numpy(), np.float64)


def as_classifier(returned: Any, frame: Any) -> Any:  # noqa: ANN401 - what a training function may return
    """Return what a function returned; a module, alone or with its transformer, as a `Network`.

    frame: the rows that it was fitted on. Raises `FunctionFailed`.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return returned
    prepare, module = returned if isinstance(returned, tuple) and len(returned) == 2 else (None, returned)
    return Network(module, prepare, frame) if isinstance(module, torch.nn.Module) else returned


def exported(network: Network, opset: int, output: str) -> Any:  # noqa: ANN401 - a ModelProto
    """Return a graph from float32 [n, width] to the score [n], its weights inside. Raises `NotConvertible`."""
    import torch

    weights = [*network.module.parameters(), *network.module.buffers()]
    size = sum(item.numel() * item.element_size() for item in weights)
    if size > MAX_ONNX:
        raise NotConvertible(f"the module has {size} bytes of weights", fix=f"keep a model below {MAX_ONNX} bytes")
    try:
        import onnxscript  # noqa: F401 - what the exporter is written in
    except ImportError as error:
        raise NotConvertible("a module needs onnxscript to convert", fix="pip install 'mainspring[torch]'") from error

    class Score(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.module = network.module

        def forward(self, matrix: Any) -> Any:  # noqa: ANN401 - tensors
            answer = self.module(matrix)
            return answer[:, 1] if answer.ndim > 1 and answer.shape[1] > 1 else answer.reshape(-1)

    traced = torch.zeros(_TRACED_ROWS, network.width)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program = torch.onnx.export(
            Score().eval(), (traced,), dynamo=True, opset_version=opset, verbose=False,
            input_names=[MATRIX], output_names=[output], dynamic_shapes=({0: torch.export.Dim("rows")},),
        )  # fmt: skip
    return program.model_proto
