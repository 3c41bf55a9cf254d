"""Open an ONNX graph of any shape and give it the shape that this server feeds: one named column an input.

A graph may take one matrix, several tensors, or both, of float, double, int64, int32, bool or string; it may answer a
label beside probabilities, as a tensor or as scikit-learn's list of maps (ZipMap). The original is never changed:
its names get a prefix, and small nodes before and after it join columns and choose the positive class. What the two
answer is compared by `flows.adopt`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, TensorProto, checker, compose, helper, load_model_from_string

from mainspring.adapters.onnx.graph_answers import answer_of, positive_place, probabilities
from mainspring.develop.adoption import MAX_INPUTS, Declared, checked_inputs
from mainspring.develop.errors import ImportRefused
from mainspring.kernel.contract import Input
from mainspring.stats.columns import Array, Columns, Floats

SCORE = "score"
OLDEST_OPSET = 7
_TYPES: Mapping[str, tuple[int, Any]] = {
    "tensor(float)": (TensorProto.FLOAT, np.float32),
    "tensor(double)": (TensorProto.DOUBLE, np.float64),
    "tensor(int64)": (TensorProto.INT64, np.int64),
    "tensor(int32)": (TensorProto.INT32, np.int32),
    "tensor(bool)": (TensorProto.BOOL, np.bool_),
    "tensor(string)": (TensorProto.STRING, object),
}
_MATRIX_RANK = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One input tensor of the original. width: its columns. flat: of rank 1."""

    name: str
    type: str
    width: int
    flat: bool

    @property
    def kind(self) -> str:
        """Return `string` or `number`."""
        return "string" if self.type == "tensor(string)" else "number"


class OnnxGraph:
    """An opened original; see `develop.adoption.Original`."""

    def __init__(self, data: bytes, declared: Declared) -> None:
        """Open audited bytes. Raises `ImportRefused`."""
        self._session = _session(data)
        self._model = _parsed(data)
        self._slots = _slots(self._session, declared)
        self._inputs = _named(self._slots, declared)
        self._answer = answer_of(self._session, self._model, declared)
        self._positive = declared.positive

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The columns that it takes, in order."""
        return self._inputs

    @property
    def output(self) -> str:
        """The name that the score has in the adapted graph."""
        return SCORE if all(item.name != SCORE for item in self._inputs) else "probability"

    def score(self, columns: Columns) -> Floats:
        """Return P(positive) a row as the graph itself answers it."""
        rows = len(next(iter(columns.values())))
        found = self._run(columns)
        if self._answer.mapped:
            labels = list(found[0])
            place = self._place(len(labels))
            return np.array([row[labels[place]] for row in found], np.float64)
        values = probabilities(found, rows)
        return values[:, self._place(values.shape[1])].astype(np.float64)

    def adapted(self, columns: Columns) -> bytes:
        """Return the graph with one named input a column and one output, the score."""
        prefix = "m/"
        while any(item.name.startswith(prefix) for item in self._inputs):
            prefix = "m" + prefix
        model = compose.add_prefix(self._model, prefix)
        graph, names = model.graph, iter(self._inputs)
        ends = [node for node in graph.node if node.op_type == "ZipMap" and node.domain == "ai.onnx.ml"]
        for node in ends:
            graph.node.remove(node)
        before = [node for slot in self._slots for node in _joined(slot, names, prefix)]
        kept = list(graph.node)
        after = self._chosen(columns, prefix)
        del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
        graph.node.extend([*before, *kept, *after])
        types = [slot.type for slot in self._slots for _ in range(slot.width)]
        for item, kind in zip(self._inputs, types, strict=True):
            graph.input.append(helper.make_tensor_value_info(item.name, _TYPES[kind][0], [None, 1]))
        graph.output.append(helper.make_tensor_value_info(self.output, self._score_type(), [None]))
        graph.name, graph.doc_string, model.doc_string = "model", "", ""
        del model.metadata_props[:]
        return bytes(model.SerializeToString(deterministic=True))

    def _run(self, columns: Columns) -> Any:  # noqa: ANN401 - a tensor or a list of maps
        place, feed = 0, {}
        for slot in self._slots:
            mine = [columns[item.name] for item in self._inputs[place : place + slot.width]]
            place += slot.width
            feed[slot.name] = _fed(slot, mine)
        try:
            return self._session.run([self._answer.output], feed)[0]
        except Exception as error:  # onnxruntime has exceptions of its own
            what = f"the model fails on the sample: {str(error).splitlines()[0][:200]}"
            raise ImportRefused(what, fix="give rows that it can answer with --sample") from error

    def _place(self, width: int) -> int:
        return positive_place(self._answer.classes, self._positive, width)

    def _chosen(self, columns: Columns, prefix: str) -> list[Any]:
        tensor = prefix + self._answer.tensor
        found = self._run(columns)
        width = len(found[0]) if self._answer.mapped else probabilities(found, len(found)).shape[1]
        shape = helper.make_tensor("", TensorProto.INT64, [1], [-1])
        if width == 1:
            nodes = []
            column = tensor
        else:
            column, place = prefix + "/column", prefix + "/place"
            index = helper.make_tensor("", TensorProto.INT64, [], [self._place(width)])
            nodes = [
                helper.make_node("Constant", [], [place], value=index),
                helper.make_node("Gather", [tensor, place], [column], axis=1),
            ]
        flat = prefix + "/flat"
        return [
            *nodes,
            helper.make_node("Constant", [], [flat], value=shape),
            helper.make_node("Reshape", [column, flat], [self.output]),
        ]

    def _score_type(self) -> int:
        if self._answer.mapped:
            return int(TensorProto.FLOAT)
        kinds = {item.name: item.type for item in self._session.get_outputs()}
        return _TYPES[kinds[self._answer.output]][0]


def _session(data: bytes) -> Any:  # noqa: ANN401 - onnxruntime has no types
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    ort.disable_telemetry_events()
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has exceptions of its own
        what = f"the ONNX graph does not load: {str(error).splitlines()[0][:200]}"
        raise ImportRefused(what, fix="export the model again; check it with onnx.checker") from error


def _parsed(data: bytes) -> ModelProto:
    try:
        model = load_model_from_string(data)
        checker.check_model(model)
    except Exception as error:  # protobuf and onnx have exceptions of their own
        what = f"the ONNX graph is not valid: {str(error).splitlines()[0][:200]}"
        raise ImportRefused(what, fix="export the model again; check it with onnx.checker") from error
    opsets = {item.domain: item.version for item in model.opset_import}
    version = opsets.get("", opsets.get("ai.onnx", 0))
    if version < OLDEST_OPSET:
        raise ImportRefused(
            f"the graph is written for operator set {version}", fix=f"export it for {OLDEST_OPSET} or newer"
        )
    return model


def _slots(session: Any, declared: Declared) -> list[Slot]:  # noqa: ANN401 - an InferenceSession
    found = session.get_inputs()
    if not found:
        raise ImportRefused("the graph takes no inputs", fix="export a model that takes rows")
    return [_slot(item, len(found) == 1, declared) for item in found]


def _slot(item: Any, alone: bool, declared: Declared) -> Slot:  # noqa: ANN401 - a NodeArg
    name, shape = item.name, item.shape
    if item.type not in _TYPES:
        raise ImportRefused(f"input {name[:60]!r} is a {item.type}", fix=f"it may be one of: {', '.join(_TYPES)}")
    if len(shape) not in (1, _MATRIX_RANK):
        raise ImportRefused(f"input {name[:60]!r} has the shape {shape}", fix="a model takes rows: [N] or [N, columns]")
    if isinstance(shape[0], int):
        fix = "export it with a dynamic first dimension (dynamic_axes), so that it takes any number of rows"
        raise ImportRefused(f"input {name[:60]!r} takes exactly {shape[0]} rows", fix=fix)
    flat = len(shape) == 1
    width = 1 if flat else shape[1]
    if not isinstance(width, int) and alone and declared.inputs:
        width = len(declared.inputs)
    if not isinstance(width, int) or not 0 < width <= MAX_INPUTS:
        raise ImportRefused(f"input {name[:60]!r} does not say how many columns it has", fix="name them with --inputs")
    return Slot(name=name, type=item.type, width=width, flat=flat)


def _named(slots: Sequence[Slot], declared: Declared) -> tuple[Input, ...]:
    """Return an input a column: as declared, in order, or under the graph's own names."""
    own = [
        Input(name=slot.name if slot.width == 1 else f"{slot.name}_{place}", kind=_kind(slot))
        for slot in slots
        for place in range(slot.width)
    ]
    if declared.inputs is None:
        return checked_inputs(own)
    wanted = list(declared.inputs)
    if len(wanted) != len(own):
        raise ImportRefused(
            f"the schema names {len(wanted)} inputs, the graph takes {len(own)}",
            fix=f"the graph's are: {', '.join(item.name for item in own)[:200]}",
        )
    if {item.name for item in wanted} == {item.name for item in own}:
        by_name = {item.name: item for item in wanted}
        wanted = [by_name[item.name] for item in own]
    for said, is_so in zip(wanted, own, strict=True):
        if said.kind != is_so.kind:
            raise ImportRefused(
                f"the schema says that {said.name!r} is a {said.kind}, the graph takes a {is_so.kind} there",
                fix="correct the schema, or its order: it follows the graph's columns",
            )
    return checked_inputs(wanted)


def _kind(slot: Slot) -> Any:  # noqa: ANN401 - a Kind
    return slot.kind


def _fed(slot: Slot, columns: Sequence[Array]) -> Array:
    kind = _TYPES[slot.type][1]
    if kind is object:
        columns = [np.array(["" if value is None else value for value in values], dtype=object) for values in columns]
    elif np.issubdtype(kind, np.integer) or kind is np.bool_:
        for values in columns:
            if not (np.isfinite(values) & (np.trunc(values) == values)).all():
                raise ImportRefused(f"input {slot.name!r} takes whole numbers", fix="give such rows with --sample")
    with np.errstate(over="ignore"):
        table = np.stack([values.astype(kind) for values in columns], axis=1)
    return table[:, 0] if slot.flat else table


def _joined(slot: Slot, names: Any, prefix: str) -> list[Any]:  # noqa: ANN401 - nodes
    mine = [next(names).name for _ in range(slot.width)]
    target = prefix + slot.name
    if slot.flat:
        shape = helper.make_tensor("", TensorProto.INT64, [1], [-1])
        flat = f"{target}/flat"
        return [
            helper.make_node("Constant", [], [flat], value=shape),
            helper.make_node("Reshape", [mine[0], flat], [target]),
        ]
    if slot.width == 1:
        return [helper.make_node("Identity", mine, [target])]
    return [helper.make_node("Concat", mine, [target], axis=1)]
