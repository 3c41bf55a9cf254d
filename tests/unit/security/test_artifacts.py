"""Only ONNX that reaches nothing outside itself, and strict JSON, may be part of a model."""

import io
import json
import pickle
import tarfile
import zipfile
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mainspring.security import artifacts
from mainspring.security.artifacts import ArtifactRefused, audit, strict_json
from mainspring.security.onnx_wire import walk


def model(nodes: list[Any] | None = None, opset: int = 17, **kwargs: Any) -> onnx.ModelProto:  # noqa: ANN401
    nodes = nodes or [helper.make_node("Add", ["x", "w"], ["y"])]
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    inputs = kwargs.pop("inputs", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])])
    outputs = kwargs.pop("outputs", [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])])
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializer=[weights])
    imports = [helper.make_opsetid("", opset), *kwargs.pop("imports", [])]
    return helper.make_model(graph, opset_imports=imports, **kwargs)


def tree(count: int) -> onnx.ModelProto:
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml",
        nodes_values=[number * 0.37 for number in range(count)], nodes_nodeids=list(range(count)),
        nodes_modes=["BRANCH_LEQ", "LEAF", "a name that is longer than a run"] * (count // 3), post_transform="NONE",
    )  # fmt: skip
    return model([node], imports=[helper.make_opsetid("ai.onnx.ml", 3)])


def test_plain_models_pass() -> None:
    audit("model.onnx", model().SerializeToString())
    seen = walk(tree(3000).SerializeToString())
    assert (seen.nodes, seen.inputs, seen.outputs) == (1, 1, 1)
    assert seen.opsets == {"": 17, "ai.onnx.ml": 3}


def _external() -> onnx.ModelProto:
    made = model()
    tensor = made.graph.initializer[0]
    tensor.external_data.add(key="location", value="../../etc/passwd")
    tensor.data_location = TensorProto.EXTERNAL
    return made


def _external_location_only() -> onnx.ModelProto:
    made = model()
    made.graph.initializer[0].data_location = TensorProto.EXTERNAL
    return made


def _external_in_an_attribute() -> onnx.ModelProto:
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [1], [1.0])
    tensor.external_data.add(key="location", value="/etc/passwd")
    return model([helper.make_node("Constant", [], ["y"], value=tensor)])


def _external_in_a_branch() -> onnx.ModelProto:
    inner = _external_in_an_attribute().graph
    return model([helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)])


def _loop() -> onnx.ModelProto:
    return model([helper.make_node("Loop", ["x", "x"], ["y"], body=model().graph)])


def _functions() -> onnx.ModelProto:
    made = model()
    made.functions.append(
        helper.make_function("local", "f", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])], made.opset_import)
    )
    return made


def _deep() -> onnx.ModelProto:
    graph = model().graph
    for _ in range(20):
        graph = model([helper.make_node("If", ["x"], ["y"], then_branch=graph, else_branch=model().graph)]).graph
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


HOSTILE = {
    "external data": _external(),
    "external location": _external_location_only(),
    "external data in an attribute": _external_in_an_attribute(),
    "external data in a branch": _external_in_a_branch(),
    "custom operator": model([helper.make_node("Add", ["x", "w"], ["y"], domain="com.evil")]),
    "custom operator set": model(imports=[helper.make_opsetid("com.evil", 1)]),
    "operator set 999": model(opset=999),
    "a loop": _loop(),
    "functions": _functions(),
    "deep nesting": _deep(),
    "no inputs": model(inputs=[]),
    "no outputs": model(outputs=[]),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_models_that_reach_outside_or_never_end_are_refused(name: str) -> None:
    with pytest.raises(ArtifactRefused):
        audit("model.onnx", HOSTILE[name].SerializeToString())


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../x", b"x")
    return out.getvalue()


def _tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../x"))
    return out.getvalue()


def _npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.zeros(3))
    return out.getvalue()


class Sentinel:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("code ran",))


CLOTHED = {f"pickle {protocol}": pickle.dumps(Sentinel(), protocol) for protocol in range(6)} | {
    "zip": _zip(), "tar": _tar(), "numpy": _npy(), "hdf5": b"\x89HDF\r\n\x1a\n" + b"\x00" * 64,
    "elf": b"\x7fELF" + b"\x00" * 64,
    "gzip": b"\x1f\x8b\x08" + b"\x00" * 30, "empty": b"", "zeros": b"\x00" * 64,
}  # fmt: skip


@pytest.mark.parametrize(
    "name", ["model.onnx", "a.json", "a.safetensors", "a.txt", "a.pkl", "onnx", "a.ONNX", "a.json.gz"]
)
@pytest.mark.parametrize("kind", list(CLOTHED))
def test_other_formats_are_refused_in_any_clothing(name: str, kind: str) -> None:
    with pytest.raises(ArtifactRefused):
        audit(name, CLOTHED[kind])


def test_the_refusal_names_what_it_saw() -> None:
    with pytest.raises(ArtifactRefused, match="a pickle"):
        audit("model.onnx", pickle.dumps(Sentinel()))
    with pytest.raises(ArtifactRefused, match="a zip archive"):
        audit("model.onnx", _zip())


@pytest.mark.parametrize("at", range(1, 20))
def test_a_truncated_model_is_refused_not_clean(at: int) -> None:
    whole = model().SerializeToString()
    with pytest.raises(ArtifactRefused):
        audit("model.onnx", whole[: len(whole) * at // 20])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_noise_never_crashes_the_walk(noise: bytes) -> None:
    for data in (noise, b"\x3a" + noise, model().SerializeToString() + noise):
        try:
            audit("model.onnx", data)
        except ArtifactRefused:
            continue


@given(st.lists(st.floats(width=32)), st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.binary(max_size=40)))
def test_skipping_runs_sees_exactly_the_fields_that_are_there(
    floats: list[float], ints: list[int], strings: list[bytes]
) -> None:
    made = model([helper.make_node("Add", ["x", "w"], ["y"], f=[0.5, *floats], i=[1, *ints], s=[b"s", *strings])])
    walk(made.SerializeToString())


BAD_JSON = {
    "duplicate": b'{"a":1,"a":2}', "nan": b'{"a":NaN}', "infinity": b"[Infinity]", "minus infinity": b"[-Infinity]",
    "deep": b"[" * 100_000 + b"]" * 100_000, "deep objects": b'{"a":' * 1000 + b"1" + b"}" * 1000, "trailing": b"{}x",
    "not utf-8": b'"\xff"', "utf-16": json.dumps("x").encode("utf-16"), "long integer": b"9" * 5000,
    "single quotes": b"{'a':1}",
}  # fmt: skip


@pytest.mark.parametrize("name", list(BAD_JSON))
def test_json_that_a_lenient_parser_would_take_is_refused(name: str) -> None:
    with pytest.raises(ArtifactRefused):
        strict_json("a.json", BAD_JSON[name])


def test_brackets_inside_texts_are_not_nesting() -> None:
    text = "[" * 200 + '"\\'
    assert strict_json("a.json", json.dumps([text]).encode()) == [text]
    flat = json.dumps([[]] * 500).encode()
    assert strict_json("a.json", flat) == [[]] * 500


def test_a_file_one_byte_over_its_cap_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = model().SerializeToString()
    monkeypatch.setattr(artifacts, "MAX_ONNX", len(data))
    audit("model.onnx", data)
    monkeypatch.setattr(artifacts, "MAX_ONNX", len(data) - 1)
    with pytest.raises(ArtifactRefused, match="at most"):
        audit("model.onnx", data)
