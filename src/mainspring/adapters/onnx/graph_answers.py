"""Find where a graph answers probabilities, and which column of them is the positive class."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onnx import AttributeProto, ModelProto

from mainspring.develop.adoption import Declared
from mainspring.develop.errors import ImportRefused
from mainspring.stats.columns import Array

_PROBABILITIES = re.compile("prob", re.IGNORECASE)
_MATRIX_RANK = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Where the probabilities are. output: as the graph names it. tensor: what it is made of. classes: labels."""

    output: str
    tensor: str
    classes: tuple[str, ...]
    mapped: bool


def answer_of(session: Any, model: ModelProto, declared: Declared) -> Answer:  # noqa: ANN401 - an InferenceSession
    """Return where the probabilities are: the declared output, or the only one that can be."""
    maps = {node.output[0]: node for node in model.graph.node if node.op_type == "ZipMap"}
    outputs = session.get_outputs()
    fitting = [item.name for item in outputs if item.name in maps or item.type in ("tensor(float)", "tensor(double)")]
    chosen = _one_output(fitting, [item.name for item in outputs], declared.output)
    if chosen in maps:
        node = maps[chosen]
        return Answer(output=chosen, tensor=node.input[0], classes=_labels(node), mapped=True)
    found = [labels for labels in map(_labels, model.graph.node) if labels]
    return Answer(output=chosen, tensor=chosen, classes=found[-1] if found else (), mapped=False)


def _one_output(fitting: Sequence[str], known: Sequence[str], wanted: str) -> str:
    listed = ", ".join(known)[:200]
    if wanted:
        if wanted not in fitting:
            raise ImportRefused(f"output {wanted[:60]!r} holds no probabilities", fix=f"the outputs are: {listed}")
        return wanted
    likely = [name for name in fitting if _PROBABILITIES.search(name)] if len(fitting) > 1 else fitting
    if len(likely) == 1:
        return likely[0]
    if not fitting:
        raise ImportRefused(f"the graph answers no probabilities, only: {listed}", fix="export predict_proba too")
    raise ImportRefused(f"any of {', '.join(fitting)[:200]} may hold the score", fix="name it with --output")


def _labels(node: Any) -> tuple[str, ...]:  # noqa: ANN401 - a NodeProto
    for item in node.attribute:
        if item.name in ("classlabels_int64s", "classlabels_ints") and item.type == AttributeProto.INTS:
            return tuple(str(label) for label in item.ints)
        if item.name == "classlabels_strings" and item.type == AttributeProto.STRINGS:
            return tuple(label.decode("utf-8", "replace") for label in item.strings)
    return ()


def positive_place(classes: Sequence[str], positive: str, width: int) -> int:
    """Return the column of the positive class; a model of two classes called 0 and 1 needs no word about it."""
    known = list(classes) if len(classes) == width else [str(place) for place in range(width)]
    if positive:
        if positive not in known:
            raise ImportRefused(f"no class is called {positive[:40]!r}", fix=f"use one of: {', '.join(known)[:200]}")
        return known.index(positive)
    if width == 1:
        return 0
    if known in (["0", "1"], ["-1", "1"], ["False", "True"]):
        return 1
    raise ImportRefused(
        f"the model knows the classes {', '.join(known)[:200]}", fix="say whose probability is the score: --positive"
    )


def probabilities(found: Array, rows: int) -> Array:
    """Return what was answered as rows of at least one column."""
    if found.ndim == 1:
        found = found.reshape(-1, 1)
    if found.ndim != _MATRIX_RANK or len(found) != rows or not found.shape[1]:
        raise ImportRefused(
            f"the model answers {list(found.shape)} for {rows} rows", fix="name an output of one row a row: --output"
        )
    return found
