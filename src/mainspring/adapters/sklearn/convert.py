"""Turn a fitted estimator into a small, deterministic ONNX graph with one output: P(positive).

skl2onnx gives a graph with a random name, changed column names, a label nobody asked for and inputs nobody reads.
Here the graph gets the contract's column names back, only what the answer needs is kept, every inner name is
counted, and texts about the producer are dropped, so the same estimator makes the same bytes on every machine.
A PyTorch module (`networks`) gets the same treatment behind the columns, or behind what prepares them.

Two faults of skl2onnx 1.20 are mended while converting. It passes Python bools where protobuf wants ints (an error from
protobuf 7 on). And it rounds the float64 thresholds of histogram-boosted trees to the nearest float32, so a value
equal to one that was rounded up falls on the wrong side (up to 0.0065 on real flights); rounded down, (float32)x <= t
holds before and after alike.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnxruntime as ort
import pandas as pd
from onnx import AttributeProto, ModelProto, TensorProto, checker, compose, helper
from skl2onnx import convert_sklearn
from skl2onnx.common import tree_ensemble
from skl2onnx.common._container import ModelComponentContainer
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import Pipeline

from mainspring.adapters.sklearn.boosted import convertible
from mainspring.adapters.sklearn.networks import Network, exported
from mainspring.develop.errors import NotConvertible
from mainspring.kernel.contract import Input

OUTPUT = "score"
GRAPH = "model"
OPSETS = {"": 18, "ai.onnx.ml": 3}
_FIX = "use an estimator that converts, or let it run as Python by training.runtime: docs/models.md"
_FIX_MODULE = "let forward be tensor operations that torch.onnx.export takes, with no branch on values (torch.where)"


def convert(estimator: object, inputs: Sequence[Input]) -> tuple[bytes, tuple[Input, ...]]:
    """Return the graph's bytes and the inputs that it uses, in order. Raises `NotConvertible`."""
    try:
        with _mended(), convertible(estimator):
            if isinstance(estimator, Network):
                model = _of_network(estimator, inputs)
            else:
                model = _of_classifier(estimator, inputs)
    except NotConvertible:
        raise
    except Exception as error:
        module = estimator.module if isinstance(estimator, Network) else None
        what = f"{type(module or estimator).__name__} does not convert to ONNX: {type(error).__name__}: {error}"
        raise NotConvertible(what, fix=_FIX if module is None else _FIX_MODULE) from error
    used = _tidy(model, inputs)
    return model.SerializeToString(deterministic=True), used


def is_linear(estimator: Any) -> bool:  # noqa: ANN401 - any estimator
    """Tell whether an estimator ends in a linear model: those are converted in float64, as they were fitted."""
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    return isinstance(last, LogisticRegression | SGDClassifier)


def _of_classifier(estimator: object, inputs: Sequence[Input]) -> ModelProto:
    model = _converted(_joining(estimator, inputs), inputs, is_linear(estimator))
    if len(model.graph.output) != 2 or len(model.graph.input) != len(inputs):
        raise NotConvertible(f"{type(estimator).__name__} has no two-class probabilities in ONNX", fix=_FIX)
    _end_in_score(model.graph)
    return model


def _of_network(network: Network, inputs: Sequence[Input]) -> ModelProto:
    """Return one graph: the columns joined, or what the transformer makes of them, then the exported module."""
    model = _prepared(network.prepare, inputs)
    net = compose.add_prefix(exported(network, OPSETS[""], OUTPUT), "net/", rename_outputs=False)
    if any(
        item.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for node in net.graph.node for item in node.attribute
    ):
        raise NotConvertible("the module branches or loops while it answers", fix=_FIX_MODULE)
    graph = model.graph
    matrix = helper.make_node("Cast", [graph.output[0].name], [net.graph.input[0].name], to=TensorProto.FLOAT)
    graph.node.extend([matrix, *net.graph.node])
    graph.initializer.extend(net.graph.initializer)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None]))
    others = [item for item in model.opset_import if item.domain]  # skl2onnx names the oldest set that its nodes allow
    del model.opset_import[:]
    model.opset_import.extend([*others, helper.make_opsetid("", OPSETS[""])])
    model.ir_version = max(model.ir_version, net.ir_version)
    checker.check_model(model)
    return model


def _prepared(transformer: object, inputs: Sequence[Input]) -> ModelProto:
    if transformer is not None:
        whole = Pipeline([("prepare", transformer)]) if isinstance(transformer, ColumnTransformer) else transformer
        return _converted(_joining(whole, inputs), inputs, False)
    names = [f"column{place}" for place in range(len(inputs))]
    columns = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in names]
    matrix = helper.make_tensor_value_info("columns", TensorProto.FLOAT, [None, len(names)])
    graph = helper.make_graph([helper.make_node("Concat", names, ["columns"], axis=1)], GRAPH, columns, [matrix])
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", OPSETS[""])])


def _converted(whole: object, inputs: Sequence[Input], linear: bool) -> ModelProto:
    """Return skl2onnx's graph: numbers float32, which trees need, or float64 for linear models where that runs."""
    options = {"zipmap": False} if hasattr(whole, "predict_proba") else None
    for number in (DoubleTensorType, FloatTensorType) if linear else (FloatTensorType,):
        kinds = [(item.name, (number if item.kind == "number" else StringTensorType)([None, 1])) for item in inputs]
        try:
            model: ModelProto = convert_sklearn(whole, GRAPH, kinds, options=options, target_opset=OPSETS)
            if number is DoubleTensorType:
                ort.InferenceSession(model.SerializeToString(), _quiet(), providers=["CPUExecutionProvider"])
        except Exception:
            if number is FloatTensorType:
                raise
            continue  # not every operator has a float64 form; the probe judges the float32 one
        return model
    raise NotConvertible("nothing to convert", fix=_FIX)


def _quiet() -> Any:  # noqa: ANN401 - onnxruntime has no types
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return options


def _joining(estimator: object, inputs: Sequence[Input]) -> object:
    """Return an estimator whose conversion takes named columns: one outside a pipeline gets a first step that joins."""
    if isinstance(estimator, Pipeline) or any(item.kind != "number" for item in inputs):
        return estimator
    names = [item.name for item in inputs]
    columns = ColumnTransformer([("all", "passthrough", names)]).fit(pd.DataFrame(0.0, index=[0], columns=names))
    return Pipeline([("columns", columns), ("model", estimator)])


@contextmanager
def _mended() -> Iterator[None]:
    add_operator, add_branch = ModelComponentContainer.add_node, tree_ensemble.add_node
    signature = inspect.signature(add_branch)

    def operator(self: Any, *args: Any, **attributes: Any) -> Any:  # noqa: ANN401 - skl2onnx's own signature
        return add_operator(self, *args, **_floored({name: _int(value) for name, value in attributes.items()}))

    def branch(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - skl2onnx's own signature
        given = signature.bind(*args, **named)
        if given.arguments["mode"] == "BRANCH_LEQ":
            given.arguments["value"] = rounded_down(given.arguments["value"])
        return add_branch(*given.args, **given.kwargs)

    ModelComponentContainer.add_node, tree_ensemble.add_node = operator, branch
    try:
        yield
    finally:
        ModelComponentContainer.add_node, tree_ensemble.add_node = add_operator, add_branch


def _floored(attributes: dict[str, Any]) -> dict[str, Any]:
    """Round the thresholds of every `x <= t` in a tree ensemble down to float32 (LightGBM's converter does not)."""
    values, modes = attributes.get("nodes_values"), attributes.get("nodes_modes")
    if values is None or modes is None:
        return attributes
    floored = [
        rounded_down(value) if mode in ("BRANCH_LEQ", b"BRANCH_LEQ") else value
        for value, mode in zip(values, modes, strict=True)
    ]
    return {**attributes, "nodes_values": floored}


def rounded_down(value: float) -> float:
    """Return the largest float32 that is not above `value`."""
    with np.errstate(over="ignore"):
        near = np.float32(value)
    return float(np.nextafter(near, np.float32(-np.inf)) if float(near) > float(value) else near)


def _int(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list | tuple) and any(isinstance(item, bool) for item in value):
        return type(value)(int(item) if isinstance(item, bool) else item for item in value)
    return value


def _tidy(model: ModelProto, inputs: Sequence[Input]) -> tuple[Input, ...]:
    graph = model.graph
    names = {value.name: item.name for value, item in zip(graph.input, inputs, strict=True)}
    types = {names[value.name]: value.type.tensor_type.elem_type for value in graph.input}
    _drop_unread(graph)
    read = {name for node in graph.node for name in node.input}
    used = tuple(item for value, item in zip(list(graph.input), inputs, strict=True) if value.name in read)
    if not used:
        raise NotConvertible("the converted model reads no column", fix="fit on at least one feature")
    _count_names(graph, names)
    del graph.input[:]
    graph.input.extend(helper.make_tensor_value_info(item.name, types[item.name], [None, 1]) for item in used)
    graph.name, graph.doc_string = GRAPH, ""
    del graph.value_info[:], graph.metadata_props[:]
    opsets = sorted((item.domain, item.version) for item in model.opset_import)
    del model.opset_import[:]  # skl2onnx fills it from a set, in any order
    model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in opsets)
    model.producer_name = model.producer_version = model.domain = model.doc_string = ""
    model.model_version = 0
    del model.metadata_props[:]
    return used


def _end_in_score(graph: Any) -> None:  # noqa: ANN401 - a GraphProto
    probabilities, kind = graph.output[1].name, graph.output[1].type.tensor_type.elem_type
    graph.initializer.append(helper.make_tensor("positive", TensorProto.INT64, [], [1]))
    graph.node.append(helper.make_node("Gather", [probabilities, "positive"], [OUTPUT], axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, kind, [None]))


def _drop_unread(graph: Any) -> None:  # noqa: ANN401 - a GraphProto
    needed, kept = {OUTPUT}, []
    for node in reversed(list(graph.node)):
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    constants = [item for item in graph.initializer if item.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(constants)


def _count_names(graph: Any, names: dict[str, str]) -> None:  # noqa: ANN401 - a GraphProto
    names = {**names, OUTPUT: OUTPUT, "": ""}
    for place, constant in enumerate(graph.initializer):
        names[constant.name] = f"/c{place}"
        constant.name, constant.doc_string = names[constant.name], ""
        del constant.metadata_props[:]
    for place, node in enumerate(graph.node):
        node.name, node.doc_string = f"/n{place}", ""
        del node.metadata_props[:]  # PyTorch's hold its lines of source and where they lie
        for slot, name in enumerate(node.output):
            node.output[slot] = names.setdefault(name, f"/n{place}.{slot}")
        for slot, name in enumerate(node.input):
            node.input[slot] = names[name]
