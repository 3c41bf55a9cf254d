"""gRPC: V2 ModelInfer, unary, one row, h2load over 16 connections with one stream each; ours and MLServer's.

Both listen on the port after their HTTP port. Answers are read with a real gRPC client and compared first.
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from mainspring.entry.inference.grpc import messages
from serving import bodies, same_model
from serving.load import CONNECTIONS, Target, Timing, timed_by
from serving.processes import LOAD_CORE, ServerTree
from serving.rounds import WORST, Bench, started
from serving.servers import Server

METHOD = "/inference.GRPCInferenceService/ModelInfer"
MODEL = "gb"


def measure(bench: Bench, server: Server, round_: int) -> Iterator[dict[str, Any]]:
    """Yield the record of one row over gRPC."""
    named, more = ("predict_proba", ()) if server.environment else ("", ("--grpc-port", "{next}"))
    with started(bench, replace(server, argv=(*server.argv, *more)), MODEL) as (tree, port):
        headers = bench.headers(server, MODEL)
        body = server.shape.ask(bodies.rows_of(1)[0])
        start_s = tree.until_right(port, server.path.format(model=MODEL), body[0], {**body[1], **headers})
        with grpc.insecure_channel(f"127.0.0.1:{port + 1}") as channel:
            worst = _compared(channel, headers, named)
        target = Target(port=port + 1, path=METHOD, bodies=bench.home / "bodies" / "grpc", headers=headers)
        message = request(bodies.rows_of(1)[0], named).SerializeToString()
        target.bodies.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)  # gRPC's length prefix
        _h2load(target, bench.pace.warm_s)
        found = timed_by(lambda: _h2load(target, bench.pace.timed_s), tree, bench.pace)
        yield _record(server, round_, found, worst, start_s, tree)


def _record(
    server: Server, round_: int, found: Timing, worst: float, start_s: float, tree: ServerTree
) -> dict[str, Any]:  # fmt: skip
    return {
        "server": server.name, "work": "grpc_1", "round": round_, **found.plain(), "worst": worst,
        "start_s": round(start_s, 3), "pss_mb": round(tree.pss_mb(), 1),
    }  # fmt: skip


def request(rows: bodies.Floats, named: str, model: str = MODEL) -> Any:  # noqa: ANN401 - protobuf makes the class
    """Return an infer request of one matrix. named: the output to ask for, or "" for all."""
    made = messages.message("inference.ModelInferRequest")(model_name=model)
    tensor = made.inputs.add(name="x", datatype="FP64", shape=rows.shape)
    tensor.contents.fp64_contents.extend(rows.ravel().tolist())
    if named:  # MLServer answers classes unless probabilities are asked for
        made.outputs.add(name=named)
    return made


def _compared(channel: grpc.Channel, headers: dict[str, str], named: str) -> float:
    read = messages.message("inference.ModelInferResponse").FromString
    call = channel.unary_unary(METHOD, lambda made: made.SerializeToString(), read)
    model, worst = same_model.fitted(MODEL), 0.0
    for rows in bodies.rows_of(1):
        metadata = [(name.lower(), value) for name, value in headers.items()]
        answer = call(request(rows, named), timeout=10, metadata=metadata, wait_for_ready=True)
        raw = answer.raw_output_contents
        scores = np.frombuffer(raw[0], "<f8") if raw else np.array(answer.outputs[0].contents.fp64_contents)
        expected = model.predict_proba(rows)
        worst = max(worst, float(abs(scores.reshape(len(rows), -1)[0, -1] - expected[0, 1])))
    if worst > WORST:
        raise RuntimeError(f"gRPC: wrong answers, {worst:.1e} off")
    return worst


def _h2load(target: Target, seconds: float) -> dict[str, Any]:
    log = target.bodies.with_name("h2load.log")
    log.unlink(missing_ok=True)
    sent = [f"{name.lower()}: {value}" for name, value in target.headers.items()]
    headers = [part for line in ("content-type: application/grpc", "te: trailers", *sent) for part in ("-H", line)]
    argv = [
        "taskset", "-c", str(LOAD_CORE), "h2load", "-c", str(CONNECTIONS), "-m", "1", "-t", "1",
        "-D", str(max(1, round(seconds))), "-d", str(target.bodies), "--log-file", str(log), *headers,
        f"http://127.0.0.1:{target.port}{target.path}",
    ]  # fmt: skip
    subprocess.run(argv, env={"PATH": os.environ["PATH"]}, check=True, stdout=subprocess.DEVNULL)
    return _read(log, max(1, round(seconds)))


def _read(log: Path, seconds: int) -> dict[str, Any]:
    """Return what h2load's log says: a line a request: start, HTTP status, microseconds."""
    lines = [line.split() for line in log.read_text().splitlines()]
    took = np.array([int(line[2]) for line in lines]) / 1e3
    return {
        "rps": round(len(took) / seconds, 1), "p50_ms": float(np.percentile(took, 50)),
        "p99_ms": float(np.percentile(took, 99)), "max_ms": float(took.max()),
        "bad": sum(line[1] != "200" for line in lines),
    }  # fmt: skip
