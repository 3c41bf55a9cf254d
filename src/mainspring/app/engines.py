"""Wiring of engines: what answers with a model's bytes, an ONNX graph in place or an estimator as it is."""

from collections.abc import Sequence

import msgspec
import numpy as np

from mainspring.develop.ports import Scorer
from mainspring.kernel.contract import GRAPH_FILE, Input, model_name
from mainspring.stats.columns import Columns


def scorer(data: bytes, inputs: Sequence[Input], trust: Sequence[str] = ()) -> Scorer:
    """Return what scores with a model in this process. trust: types that an estimator may contain, by name."""
    if model_name(data) == GRAPH_FILE:
        from mainspring.adapters.onnx.scorer import Scorer as GraphScorer

        return GraphScorer(data, inputs)
    from mainspring.adapters.skops.estimators import loaded

    estimator = loaded(data, trust)
    from mainspring.adapters.sklearn.estimator_scorer import EstimatorScorer

    return EstimatorScorer(estimator, inputs)


class Table(msgspec.Struct, frozen=True):
    """Columns on the wire: float64 as bytes, texts as lists."""

    numbers: dict[str, bytes]
    texts: dict[str, list[str | None]]


def packed(columns: Columns) -> bytes:
    """Return columns as a process beside the server takes them."""
    return msgspec.msgpack.encode(Table(
        {name: values.astype("<f8").tobytes() for name, values in columns.items() if values.dtype != object},
        {name: values.tolist() for name, values in columns.items() if values.dtype == object},
    ))  # fmt: skip


def unpacked(payload: bytes) -> Columns:
    """Return the columns that `packed` packed."""
    table = msgspec.msgpack.decode(payload, type=Table)
    columns: Columns = {name: np.frombuffer(data, "<f8") for name, data in table.numbers.items()}
    for name, texts in table.texts.items():
        columns[name] = np.empty(len(texts), dtype=object)
        columns[name][:] = texts
    return columns
