"""Lay out a TreeEnsembleClassifier of two classes as flat arrays for `_trees.c`, or say why it cannot be done.

Every walk from a root ends at a leaf (a cycle would never stop growing, and a bound refuses it).
Nodes stand tree by tree, each tree breadth first, and two children side by side. Every comparison is turned into
"left, unless x > threshold": `x < t` is `x <= the float32 below t`, and the others change their children's places.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainspring.adapters.onnx.graph_nodes import floats, integers, one, raw_strings
from mainspring.stats.columns import Array

NAN_RIGHT, EQUAL = 1, 2  # flags of a node, as `_trees.c` has them
MOST_NODES = 5_000_000
_COPIES = 4  # nodes laid out for each one listed, at most
_LEAF = 0
_MODES = {
    b"LEAF": _LEAF, b"BRANCH_LEQ": 1, b"BRANCH_LT": 2, b"BRANCH_GT": 3, b"BRANCH_GTE": 4, b"BRANCH_EQ": 5,
    b"BRANCH_NEQ": 6,
}  # fmt: skip
_MIRRORED = (3, 4, 6)  # the false child stands left
_BELOW, _EQUALITIES, _UNEQUAL = (2, 4), (5, 6), 6
_MODE = re.compile(rb"J(?:\x04LEAF|\x0aBRANCH_(?:LEQ|GTE|NEQ)|\x09BRANCH_(?:LT|GT|EQ))")
_NEEDED = frozenset((
    "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_modes", "nodes_truenodeids",
    "nodes_falsenodeids", "class_treeids", "class_nodeids", "class_ids", "class_weights", "post_transform",
))  # fmt: skip
_LABELS = frozenset(("classlabels_int64s", "classlabels_strings"))
_OPTIONAL = frozenset(("nodes_missing_value_tracks_true", "nodes_hitrates", "base_values"))
_HIGH = 1 << 31


class Unsupported(Exception):
    """Why a graph is left to the other engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """features: how many the nodes read at least. logistic: the sum goes through the logistic function."""

    threshold: NDArray[np.float32]
    feature: NDArray[np.int32]
    left: NDArray[np.int32]
    flags: NDArray[np.uint8]
    value: NDArray[np.float32]
    roots: NDArray[np.int32]
    base: float
    logistic: bool


@dataclass(frozen=True, slots=True)
class _Nodes:
    """Nodes as they are listed: columns of the ONNX operator, with children as places in the same list."""

    tree: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    mode: NDArray[np.int8]
    tracks: NDArray[np.bool_]
    yes: NDArray[np.int64]
    no: NDArray[np.int64]
    value: NDArray[np.float32]


def forest_of(attributes: Mapping[str, bytes], features: int) -> Forest:
    """Return the forest over `features` columns; raise `Unsupported`, `ValueError` or `IndexError`."""
    names = frozenset(attributes)
    if not names >= _NEEDED or len(names & _LABELS) != 1 or not names <= _NEEDED | _LABELS | _OPTIONAL:
        raise Unsupported(f"attributes {sorted(names)}")
    transform = one(attributes["post_transform"])
    base = floats(attributes["base_values"]) if "base_values" in names else np.zeros(1, np.float32)
    if transform not in (b"NONE", b"LOGISTIC") or len(base) != 1 or not np.isfinite(base).all():
        raise Unsupported(f"{transform!r} with {len(base)} base values")
    nodes = _listed(attributes, features)
    if transform == b"LOGISTIC" and not (nodes.value < 0).any():  # then the operator's own rules leave it out
        raise Unsupported("LOGISTIC without a weight below 0")
    return _laid_out(nodes, float(base[0]), transform == b"LOGISTIC")


def _listed(attributes: Mapping[str, bytes], features: int) -> _Nodes:
    tree, name = integers(attributes["nodes_treeids"]), integers(attributes["nodes_nodeids"])
    feature, threshold = integers(attributes["nodes_featureids"]), floats(attributes["nodes_values"])
    mode, count = _modes(raw_strings(attributes["nodes_modes"])), len(tree)
    tracks = np.zeros(count, np.int64)
    if "nodes_missing_value_tracks_true" in attributes:
        tracks = integers(attributes["nodes_missing_value_tracks_true"])
    if not 0 < count <= MOST_NODES or any(len(x) != count for x in (name, feature, threshold, mode, tracks)):
        raise Unsupported("lists of different lengths")
    inner = mode != _LEAF
    if not ((feature >= 0) & (feature < features))[inner].all() or np.isnan(threshold[inner]).any():
        raise Unsupported("a feature or a threshold that is not there")
    keys = _keys(tree, name)
    order = np.argsort(keys, kind="stable")
    if (np.diff(keys[order]) == 0).any():
        raise Unsupported("two nodes of one name")
    yes = np.where(inner, integers(attributes["nodes_truenodeids"]), 0)
    no = np.where(inner, integers(attributes["nodes_falsenodeids"]), 0)
    yes, no = (np.where(inner, _found(keys, order, _keys(tree, ids), inner), -1) for ids in (yes, no))
    return _Nodes(tree, feature, threshold, mode, tracks != 0, yes, no, _values(attributes, keys, order, ~inner))


def _values(attributes: Mapping[str, bytes], keys: Array, order: Array, leaf: Array) -> NDArray[np.float32]:
    """Return each leaf's weight, and 0 for inner nodes."""
    classes, weights = integers(attributes["class_ids"]), floats(attributes["class_weights"])
    wanted = _keys(integers(attributes["class_treeids"]), integers(attributes["class_nodeids"]))
    if (classes != 0).any() or not len(classes) == len(weights) == len(wanted) == leaf.sum():
        raise Unsupported("not one weight of one class a leaf")
    places = _found(keys, order, wanted, np.ones(len(wanted), np.bool_))
    value = np.zeros(len(keys), np.float32)
    value[places] = weights
    if _distinct(places) != len(places) or not leaf[places].all() or not np.isfinite(weights).all():
        raise Unsupported("weights that do not fit the leaves")
    return value


def _distinct(values: Array) -> int:
    """Return how many values differ; numpy's own `unique` imports masked arrays first, 15 ms of a server's start."""
    ordered = np.sort(values)
    return len(values[:1]) + int((ordered[1:] != ordered[:-1]).sum())


def _laid_out(nodes: _Nodes, base: float, logistic: bool) -> Forest:
    inner, mirrored = nodes.mode != _LEAF, np.isin(nodes.mode, _MIRRORED)
    lost = (nodes.tracks == mirrored) | (nodes.mode == _UNEQUAL)  # NaN is unequal to everything, tracked or not
    flags = np.where(np.isin(nodes.mode, _EQUALITIES), EQUAL, 0) | np.where(lost, NAN_RIGHT, 0)
    children = np.where(mirrored, [nodes.no, nodes.yes], [nodes.yes, nodes.no])
    order, left = _breadth_first(nodes, *children)
    found = np.unique(nodes.tree, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(found[1]))[found[2]]  # of a node's tree: trees in the order in which they are listed
    by_tree = np.argsort(rank[order], kind="stable")
    place = np.empty(len(order), np.int32)
    place[by_tree] = np.arange(len(order))
    left = np.where(left < 0, -1, place[left])[by_tree]
    listed = order[by_tree]
    return Forest(
        threshold=_thresholds(nodes)[listed], feature=np.where(inner, nodes.feature, 0)[listed].astype(np.int32),
        left=left.astype(np.int32), flags=flags[listed].astype(np.uint8), value=nodes.value[listed],
        roots=place[: len(found[0])], base=base, logistic=logistic,
    )  # fmt: skip


def _breadth_first(nodes: _Nodes, left: Array, right: Array) -> tuple[Array, Array]:
    """Return the nodes level by level, all trees together, and where each one's left child stands, -1 for leaves.

    The right child stands behind the left one. LightGBM's categories make nodes that several lead to: those are copied.
    """
    inner = nodes.mode != _LEAF
    parents = np.bincount(np.concatenate([left[inner], right[inner]]), minlength=len(inner))
    level = np.sort(np.unique(nodes.tree, return_index=True)[1])
    if parents[level].any():
        raise Unsupported("a tree that does not begin with its root")
    levels, children, count = [level], [], len(level)
    while len(level):
        branches = inner[level]
        at = np.where(branches, count + 2 * (np.cumsum(branches) - 1), -1)
        level = level[branches]
        level = np.column_stack([left[level], right[level]]).reshape(-1)
        levels.append(level)
        children.append(at)
        count += len(level)
        if count > _COPIES * len(inner):
            raise Unsupported("trees that are no trees")
    order = np.concatenate(levels)
    if _distinct(order) != len(inner):
        raise Unsupported("nodes that no root leads to")
    return order, np.concatenate(children)


def _thresholds(nodes: _Nodes) -> NDArray[np.float32]:
    below = np.isin(nodes.mode, _BELOW)
    if np.isneginf(nodes.threshold[below]).any():
        raise Unsupported("a branch on x < -infinity")
    moved: NDArray[np.float32] = np.where(below, np.nextafter(nodes.threshold, np.float32(-np.inf)), nodes.threshold)
    return moved


def _modes(raw: bytes) -> NDArray[np.int8]:
    found = _MODE.findall(raw)
    if sum(map(len, found)) != len(raw):
        raise Unsupported("an unknown kind of branch")
    kinds = {text: _MODES[text[2:]] for text in set(found)}
    return np.array([kinds[text] for text in found], np.int8)


def _keys(tree: NDArray[np.int64], name: NDArray[np.int64]) -> NDArray[np.int64]:
    if len(tree) != len(name) or not ((tree >= 0) & (tree < _HIGH) & (name >= 0) & (name < _HIGH)).all():
        raise Unsupported("names of nodes that are out of range")
    return (tree << 32) | name


def _found(keys: Array, order: Array, wanted: Array, asked: Array) -> Array:
    """Return the places of `wanted` among `keys`; every one that is asked for must be there."""
    ordered = keys[order]
    at = np.minimum(np.searchsorted(ordered, wanted), len(keys) - 1)
    if (ordered[at] != wanted)[asked].any():
        raise Unsupported("a node that is not there")
    return order[at]
