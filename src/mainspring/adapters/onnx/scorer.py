"""Answer rows with an ONNX graph that came out of train-model, or that was adopted by `mainspring import`.

Two engines give the same answers: our own walk through a forest of trees (`trees.py`) where the graph is one and the
compiled part is there, and ONNX Runtime (`session.py`), which takes every graph and is imported only when it is needed.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np

from mainspring.adapters.onnx.forest import Unsupported
from mainspring.adapters.onnx.trees import Trees
from mainspring.kernel.contract import Input
from mainspring.kernel.errors import InvalidValue
from mainspring.stats.columns import Array, Columns, Floats

TREES: Final = "compiled trees"
ONNX_RUNTIME: Final = "onnxruntime"
_TOLERANCE = 1e-6
_SLOW_S, _MANY = 500e-6, 64  # a row that is faster is scored on the event loop, where more threads would only wait
_NO_WORSE, _WORTH = 1.1, 0.8  # of one thread's time: what one row may take, and what many rows must not
Packed = Callable[[Floats, Array], Floats]


class Scorer:
    """P(positive) for rows; safe to call from several threads at once.

    engine: which one answers, and why: why not the other one, or "". packed: the engine itself, for rows that are
    packed already (see `PackedEngine`).
    """

    engine: Literal["compiled trees", "onnxruntime"]

    def __init__(
        self, model_bytes: bytes, inputs: Sequence[Input], threads: int = 1,
        sample: tuple[Columns, Floats] | None = None,
    ) -> None:  # fmt: skip
        """Load the graph. Raises `Damaged` if it cannot run or its inputs are not `inputs`.

        sample: rows and their recorded scores; an engine of our own that answers them differently is not used.
        threads: that onnxruntime may use; a graph that is slow on the sample has them where they make it faster.
        """
        self._numbers = [item.name for item in inputs if item.kind == "number"]
        self._texts = [item.name for item in inputs if item.kind != "number"]
        try:
            self.engine, self.packed, self.why = TREES, Trees(model_bytes, inputs).packed, ""
            if sample is not None:
                self._check(*sample)
        except Unsupported as why:
            from mainspring.adapters.onnx.session import Session

            self.engine, self.packed, self.why = ONNX_RUNTIME, Session(model_bytes, inputs).packed, str(why)
            if threads > 1 and sample is not None:
                self.packed = widened(
                    self.packed, lambda: Session(model_bytes, inputs, threads).packed, *self._parts(sample[0])
                )

    def __call__(self, columns: Columns, /) -> Floats:
        """Return one float64 a row. `columns` holds every input (others are ignored) and is not changed."""
        return self.packed(*self._parts(columns))

    def _parts(self, columns: Columns) -> tuple[Floats, Array]:
        """Return columns as an engine takes them: numbers and texts."""
        try:
            numbers = [columns[name] for name in self._numbers]
            texts = [columns[name] for name in self._texts]
        except KeyError as error:
            raise InvalidValue(
                f"input {error.args[0]!r} is missing", fix="send every input that the model names"
            ) from None
        rows = len((numbers or texts)[0])
        packed: Floats = np.column_stack(numbers) if numbers else np.empty((rows, 0))
        objects: Array = np.column_stack(texts) if texts else np.empty((rows, 0), dtype=object)
        return packed, objects

    def _check(self, columns: Columns, scores: Floats) -> None:
        worst = float(np.max(np.abs(self(columns) - scores), initial=0.0))
        if not worst <= _TOLERANCE:
            raise Unsupported(f"our own evaluator is {worst} off on the recorded sample")


def widened(one: Packed, wider: Callable[[], Packed], numbers: Floats, texts: Array) -> Packed:
    """Return an engine of several threads where a row is too slow for the event loop and they are worth it, else `one`.

    numbers, texts: rows to time both on.
    """
    single, rows = (numbers[:1], texts[:1]), np.arange(_MANY) % len(numbers)
    alone = _timed(one, *single)
    if alone <= _SLOW_S:
        return one
    found, many = wider(), (numbers[rows], texts[rows])
    pays = _timed(found, *single) < _NO_WORSE * alone and _timed(found, *many) < _WORTH * _timed(one, *many)
    return found if pays else one


def _timed(score: Packed, numbers: Floats, texts: Array) -> float:
    """Return the seconds of the fastest of three calls."""
    found = []
    for _ in range(3):
        started = time.perf_counter()
        score(numbers, texts)
        found.append(time.perf_counter() - started)
    return min(found)
