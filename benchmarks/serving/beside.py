"""A slow model beside a fast one in the same server: what the fast one's clients notice.

A workspace serves gb and `slow`, an adopted ONNX graph that takes about 20 ms a call. gb is loaded over 16 connections
twice in one start: alone, and while one client asks the slow model again and again without a pause.
"""

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from serving import bodies, project
from serving.load import Target, timed, warmed
from serving.processes import post
from serving.rounds import Bench, started
from serving.servers import Server

SLOW_MS = 20.0
_ROWS, _WIDTH = 256, 512
ALONE, BESIDE = "gb_1_alone", "gb_1_beside"


def made(root: Path) -> Path:
    """Return the workspace's folder, with both models promoted."""
    folder = root / "workspace"
    if not (folder / "workspace.yaml").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.copytree(project.made(root, "gb"), folder / "gb", symlinks=True)
        (folder / "slow.onnx").write_bytes(_slow_graph())
        project.adopted(folder / "slow", "slow", folder / "slow.onnx")
        (folder / "workspace.yaml").write_text("version: 1\nprojects: [gb, slow]\n")
    return folder


def measure(bench: Bench, server: Server, round_: int) -> Iterator[dict[str, Any]]:
    """Yield the fast model's record alone, then beside the slow one."""
    folder = made(bench.home)
    headers = {"Authorization": f"Bearer {project.token(folder)}"}
    server = replace(server, argv=tuple(part.replace("project-{model}", "workspace") for part in server.argv))
    with started(bench, server, "gb") as (tree, port):
        rows = bodies.rows_of(1)
        body, own = server.shape.ask(rows[0])
        start_s = tree.until_right(port, "/v2/models/gb/infer", body, {**own, **headers})
        tree.until_right(port, "/v2/models/slow/infer", body, {**own, **headers})
        written, sent = bodies.written(bench.home / "bodies", server.shape, 1)
        target = Target(port=port, path="/v2/models/gb/infer", bodies=written, headers={**sent, **headers})
        warmed(bench.wrk, target, bench.pace.warm_s)
        for work, asking in ((ALONE, False), (BESIDE, True)):
            with _asked(port, body, {**own, **headers}) if asking else contextlib.nullcontext([0.0]) as took:
                found = timed(bench.wrk, target, tree, bench.pace)
            yield {
                "server": server.name, "work": work, "round": round_, **found.plain(), "worst": 0.0,
                "start_s": round(start_s, 3), "pss_mb": round(tree.pss_mb(), 1),
                "slow_p50_ms": round(float(np.median(took)) * 1e3, 1) if took else None,
            }  # fmt: skip


@contextlib.contextmanager
def _asked(port: int, body: bytes, headers: dict[str, str]) -> Iterator[list[float]]:
    """Ask the slow model one request after another until the block ends; yield the seconds that they took."""
    stop, took = threading.Event(), list[float]()

    def ask() -> None:
        while not stop.is_set():
            began = time.perf_counter()
            status, answer, _ = post(port, "/v2/models/slow/infer", body, headers)
            if status != 200:
                raise RuntimeError(f"the slow model: {status} {answer[:200]!r}")
            took.append(time.perf_counter() - began)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield took
    finally:
        stop.set()
        thread.join(30)


def _slow_graph() -> bytes:
    one = _milliseconds(_graph(1))
    more = (_milliseconds(_graph(5)) - one) / 4
    return _graph(1 + max(0, round((SLOW_MS - one) / more)))


def _graph(layers: int) -> bytes:
    """Return a graph of [n, 30] to two-class probabilities through `layers` products of 256 x 512 by 512 x 512."""
    random = np.random.default_rng(0)
    weights = {
        "first": random.normal(0, 1e-3, (30, _WIDTH)), "spread": random.normal(0, 1, (1, _ROWS, _WIDTH)),
        "again": random.normal(0, _WIDTH**-0.5, (_WIDTH, _WIDTH)),
    }  # fmt: skip
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    constants.append(numpy_helper.from_array(np.array([1], np.int64), "one"))
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["a"]), helper.make_node("Unsqueeze", ["a", "one"], ["b"]),
        helper.make_node("Add", ["b", "spread"], ["h0"]),
    ]  # fmt: skip
    for layer in range(layers):
        nodes += [
            helper.make_node("MatMul", [f"h{layer}", "again"], [f"m{layer}"]),
            helper.make_node("Tanh", [f"m{layer}"], [f"h{layer + 1}"]),
        ]
    nodes += [
        helper.make_node("ReduceMean", [f"h{layers}"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Sigmoid", ["mean"], ["flat"]), helper.make_node("Unsqueeze", ["flat", "one"], ["yes"]),
        helper.make_node("Neg", ["mean"], ["other"]), helper.make_node("Sigmoid", ["other"], ["other_flat"]),
        helper.make_node("Unsqueeze", ["other_flat", "one"], ["no"]),
        helper.make_node("Concat", ["no", "yes"], ["probabilities"], axis=1),
    ]  # fmt: skip
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 30])]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])]
    graph = helper.make_graph(nodes, "slow", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def _milliseconds(graph: bytes) -> float:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    rows, took = np.zeros((1, 30), np.float32), []
    for _ in range(15):
        began = time.perf_counter()
        session.run(None, {"x": rows})
        took.append(time.perf_counter() - began)
    return float(np.min(took)) * 1e3
