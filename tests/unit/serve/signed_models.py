"""Real models, tiny and signed, in a model store on disk."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper
from tests.unit.serve.serving_kit import MODEL

from mainspring.adapters.files.keys import Keys
from mainspring.adapters.files.models import ModelStore
from mainspring.deliver.ports import SIGNATURE
from mainspring.kernel.contract import Contract, Input
from mainspring.security.manifests import manifest_of
from mainspring.security.signing import sign

INPUT = Input(name="v.x", kind="number")


def graph(factor: float) -> bytes:
    """A model that says `factor` times its one input."""
    nodes = [
        helper.make_node("Mul", ["v.x", "factor"], ["product"]),
        helper.make_node("Reshape", ["product", "flat"], ["score"]),
    ]
    constants = [
        helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor]),
        helper.make_tensor("flat", TensorProto.INT64, [1], [-1]),
    ]
    given = [helper.make_tensor_value_info("v.x", TensorProto.FLOAT, [None, 1])]
    score = [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None])]
    made = helper.make_graph(nodes, "model", given, score, constants)
    return bytes(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()
    )


def files(factor: float, model: str = MODEL) -> dict[str, bytes]:
    """The files of a model that says `factor` times its input."""
    contract = Contract(
        model=model, inputs=(INPUT,), output="score", ask={}, definitions={}, limits={},
        sample={"columns": {"v.x": ["0.5"]}, "scores": [repr(float(np.float32(0.5) * np.float32(factor)))]},
    )  # fmt: skip
    return {"contract.json": contract.to_bytes(), "model.onnx": graph(factor)}


def registered(store: ModelStore, keys: Keys, factor: float, model: str = MODEL) -> str:
    """Store and sign a model; return its digest."""
    made = files(factor, model)
    name = store.add(made)
    store.attest(name, SIGNATURE, sign(manifest_of(made), keys.signing_key(), model))
    return name


def in_state(root: Path, factor: float, model: str) -> str:
    """Register a model in a project's state folder."""
    return registered(ModelStore(root / ".mainspring" / "models"), Keys(root / ".mainspring", root), factor, model)
