"""register-model: put the candidate into the model store, sign it and lay the evidence beside it.

Runs where the key is, so never beside user code. The signed files hold no time, path, host or run id: the same
training anywhere gives the same digest. Every act may be repeated and changes nothing the second time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mainspring.deliver.ports import GATE, Keys, ModelStore
from mainspring.deliver.registry import keep_signed
from mainspring.develop.runs import Run
from mainspring.flows.steps.train_model import CONTRACT_FILE, PROFILE_FILE
from mainspring.kernel.contract import model_name
from mainspring.kernel.digests import canonical_json
from mainspring.kernel.stores import Store

EVIDENCE, RUN = "evidence", "run"
NAMES = {"contract": CONTRACT_FILE, "profile": PROFILE_FILE}


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterPorts:
    """Where the files are, where the model goes, and the key that vouches for it."""

    store: Store
    models: ModelStore
    keys: Keys


def register_model(run: Run, files: Mapping[str, str], gate: bytes, ports: RegisterPorts) -> str:
    """Store, sign and attest; return the model's digest. gate: the verdict as JSON."""
    model = ports.store.get(files["model"])
    content = {model_name(model): model} | {name: ports.store.get(files[key]) for key, name in NAMES.items()}
    digest, _ = keep_signed(run.model, content, ports.models, ports.keys)
    ports.models.attest(digest, EVIDENCE, ports.store.get(files["evidence"]))
    ports.models.attest(digest, RUN, canonical_json(run.to_json()))
    ports.models.attest(digest, GATE, gate)
    return digest
