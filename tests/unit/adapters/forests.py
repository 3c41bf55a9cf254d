"""Random forests of decision trees as ONNX graphs: every kind of branch, missing values, any shape."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from mainspring.kernel.contract import Input

BRANCHES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT", "BRANCH_GTE", "BRANCH_EQ", "BRANCH_NEQ")


def inputs_of(features: int) -> tuple[Input, ...]:
    return tuple(Input(name=f"v.x{place}", kind="number") for place in range(features))


def listed(
    random: np.random.Generator, features: int, trees: int, leaves: int, branches: Sequence[str] = BRANCHES
) -> dict[str, Any]:
    """Return the attributes of a TreeEnsembleClassifier: each tree splits a random leaf until it has `leaves`."""
    found: dict[str, list[Any]] = {name: [] for name in (*_NODES, "class_treeids", "class_nodeids", "class_weights")}
    for tree in range(trees):
        open_leaves, nodes = [0], [_leaf(tree, 0)]
        for _ in range(leaves - 1):
            at = open_leaves.pop(int(random.integers(len(open_leaves))))
            yes, no = len(nodes), len(nodes) + 1
            nodes[at] = (tree, at, int(random.integers(features)), _threshold(random), str(random.choice(branches)),
                         yes, no, int(random.integers(2)))  # fmt: skip
            nodes += [_leaf(tree, yes), _leaf(tree, no)]
            open_leaves += [yes, no]
        for node in nodes:
            for name, value in zip(_NODES, node, strict=True):
                found[name].append(value)
        for leaf in open_leaves:
            found["class_treeids"].append(tree)
            found["class_nodeids"].append(leaf)
            found["class_weights"].append(float(np.float32(random.normal())))
    found["class_weights"][0] = -1.0
    return {
        **found, "class_ids": [0] * len(found["class_weights"]), "classlabels_int64s": [0, 1],
        "post_transform": "LOGISTIC", "base_values": [0.25],
    }  # fmt: skip


def graph(attributes: dict[str, Any], features: int) -> bytes:
    """Return a model as `adapters.sklearn.convert` writes them: one input a column, P(positive) as its output."""
    names = [item.name for item in inputs_of(features)]
    nodes = [
        helper.make_node("Concat", names, ["all"], axis=1),
        helper.make_node("TreeEnsembleClassifier", ["all"], ["label", "both"], domain="ai.onnx.ml", **attributes),
        helper.make_node("Gather", ["both", "positive"], ["score"], axis=1),
    ]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in names]
    score = [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None])]
    positive = helper.make_tensor("positive", TensorProto.INT64, [], [1])
    made = helper.make_graph(nodes, "model", given, score, [positive])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(made, opset_imports=opsets, ir_version=10).SerializeToString())


def rows_around(
    random: np.random.Generator, thresholds: Sequence[float], rows: int, features: int
) -> NDArray[np.float64]:
    """Return rows of thresholds, the float32 beside each, what is no number, and what float32 cannot hold."""
    cuts = np.array(thresholds, np.float32)
    beside = [np.nextafter(cuts, np.float32(side)) for side in (np.inf, -np.inf)]
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e300, -1e300, 1e-300])
    pool = np.concatenate([cuts, *beside, odd]).astype(np.float64)
    return random.choice(pool, (rows, features))


_NODES = (
    "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_modes", "nodes_truenodeids",
    "nodes_falsenodeids", "nodes_missing_value_tracks_true",
)  # fmt: skip


def _leaf(tree: int, node: int) -> tuple[Any, ...]:
    return (tree, node, 0, 0.0, "LEAF", 0, 0, 0)


def _threshold(random: np.random.Generator) -> float:
    return float(np.float32(random.choice([random.normal(), 0.0, -0.0, 1e-42, 3e38, 1.5])))
