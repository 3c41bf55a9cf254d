"""What a signed model directory promises: its question, inputs, output, limits and a checked sample.

`flows.steps.register_model` writes it as `contract.json`; the server reads it and nothing else about a model.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mainspring.kernel.digests import canonical_json
from mainspring.kernel.errors import Damaged

CONTRACT_SCHEMA = 1
GRAPH_FILE, PYTHON_FILE = "model.onnx", "model.skops"
Kind = Literal["number", "string"]
Runtime = Literal["onnx", "python"]  # what a model runs as: a graph in the server, or Python in its own process


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One named column: `number` is float64 with NaN for null, `string` is text or null."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What a server must know to answer with this model.

    inputs: columns in the order that the engine expects. output: the answer's tensor name.
    ask: {"from", "key", "at"} of the project. definitions: features as `data.views.to_json` writes them.
    limits: {"rows": largest request}. sample: {"columns": {name: values}, "scores": values} recorded at training.
    redact: inputs whose values no log may hold, and `@key` if ask keys are personal.
    """

    model: str
    inputs: Sequence[Input]
    output: str
    ask: Mapping[str, str]
    definitions: Mapping[str, Any]
    limits: Mapping[str, int]
    sample: Mapping[str, Any]
    redact: Sequence[str] = ()
    schema: int = CONTRACT_SCHEMA

    def to_bytes(self) -> bytes:
        """Return canonical JSON; sample numbers travel as repr strings."""
        document = asdict(self)
        if not self.redact:  # so that models without personal data keep their digests
            del document["redact"]
        return canonical_json(document)


def model_name(data: bytes) -> str:
    """Return the file name of a model's bytes: an ONNX graph, or a skops file, which is a zip."""
    return PYTHON_FILE if data.startswith(b"PK") else GRAPH_FILE


def model_of(files: Mapping[str, bytes]) -> bytes:
    """Return the model among a signed directory's files; raise `Damaged` where there is none, or two."""
    found = [files[name] for name in (GRAPH_FILE, PYTHON_FILE) if name in files]
    if len(found) != 1:
        raise Damaged(f"a model directory has one of {GRAPH_FILE} and {PYTHON_FILE}", fix="register the model again")
    return found[0]


def read_contract(data: bytes) -> Contract:
    """Parse `contract.json`; refuse another schema or shape."""
    try:
        raw = json.loads(data)
        if raw["schema"] != CONTRACT_SCHEMA:
            raise Damaged(f"contract schema {raw['schema']} is not {CONTRACT_SCHEMA}", fix="upgrade mainspring")
        raw["inputs"] = tuple(Input(**item) for item in raw["inputs"])
        raw["redact"] = tuple(str(name) for name in raw.get("redact", ()))
        return Contract(**raw)
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"contract.json cannot be read: {error}", fix="register the model again") from error
