"""The same rows in every server's own shape, and how to read the answers back."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving import same_model

BODIES = 16
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shape:
    """One way to ask: rows to (body, headers), and body and headers of an answer to P(class 1) a row."""

    name: str
    ask: Callable[[Floats], tuple[bytes, Mapping[str, str]]]
    read: Callable[[bytes, Mapping[str, str]], Floats]


@cache
def rows_of(work_rows: int) -> tuple[Floats, ...]:
    """Return the rows of each of the 16 bodies; the same in every run."""
    table, _ = same_model.data()
    random = np.random.default_rng(7 + work_rows)
    return tuple(table[random.choice(len(table), work_rows, replace=False)] for _ in range(BODIES))


def written(folder: Path, shape: Shape, work_rows: int) -> tuple[Path, Mapping[str, str]]:
    """Write the bodies for the load generator; return (path up to the number, headers of all of them)."""
    folder.mkdir(parents=True, exist_ok=True)
    prefix, headers = folder / f"{shape.name}-{work_rows}-", dict[str, str]()
    for place, rows in enumerate(rows_of(work_rows)):
        body, headers = (lambda made: (made[0], dict(made[1])))(shape.ask(rows))
        prefix.with_name(f"{prefix.name}{place}").write_bytes(body)
    return prefix, headers


def _json(document: object) -> tuple[bytes, Mapping[str, str]]:
    return json.dumps(document, separators=(",", ":")).encode(), {"Content-Type": "application/json"}


def _v2(rows: Floats) -> tuple[bytes, Mapping[str, str]]:
    tensor = {"name": "x", "shape": list(rows.shape), "datatype": "FP64", "data": rows.ravel().tolist()}
    return _json({"inputs": [tensor]})


def _v2_of_a_model(rows: Floats) -> tuple[bytes, Mapping[str, str]]:
    """MLServer and KServe are asked for the probabilities by name."""
    tensor = {"name": "x", "shape": list(rows.shape), "datatype": "FP64", "data": rows.ravel().tolist()}
    return _json({"inputs": [tensor], "outputs": [{"name": "predict_proba"}]})


def _v2_binary(rows: Floats) -> tuple[bytes, Mapping[str, str]]:
    raw = rows.astype("<f8").tobytes()
    tensor = {"name": "x", "shape": list(rows.shape), "datatype": "FP64", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}, separators=(",", ":")).encode()
    return head + raw, {
        "Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head)),
    }  # fmt: skip


def _last_class(values: Any) -> Floats:  # noqa: ANN401 - nested lists of numbers
    found = np.asarray(values, np.float64)
    return found[:, -1] if found.ndim == 2 else found


def _read_v2(body: bytes, _: Mapping[str, str]) -> Floats:
    output = json.loads(body)["outputs"][0]
    return _last_class(np.array(output["data"], np.float64).reshape(output["shape"]))


def _read_v2_binary(body: bytes, headers: Mapping[str, str]) -> Floats:
    length = int(headers["inference-header-content-length"])
    output = json.loads(body[:length])["outputs"][0]
    size = output["parameters"]["binary_data_size"]
    kind = {"FP32": "<f4", "FP64": "<f8"}[output["datatype"]]
    return _last_class(np.frombuffer(body[length : length + size], kind).reshape(output["shape"]))


OURS = Shape("ours", _v2, _read_v2)
OURS_BINARY = Shape("ours-binary", _v2_binary, _read_v2_binary)
V2 = Shape("v2", _v2_of_a_model, _read_v2)
MLFLOW = Shape(
    "mlflow", lambda rows: _json({"inputs": rows.tolist()}), lambda b, _: _last_class(json.loads(b)["predictions"])
)
SELDON = Shape(
    "seldon", lambda rows: _json({"data": {"ndarray": rows.tolist()}}),
    lambda b, _: _last_class(json.loads(b)["data"]["ndarray"]),
)  # fmt: skip
PLAIN = Shape("plain", lambda rows: _json({"x": rows.tolist()}), lambda b, _: _last_class(json.loads(b)))
NAMED = Shape("plain", lambda rows: _json({"x": rows.tolist()}), lambda b, _: _last_class(json.loads(b)["y"]))
