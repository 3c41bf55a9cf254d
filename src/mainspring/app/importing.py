"""Wiring of adoption: an ONNX file or a tracking server's version becomes a registered version of the project."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mainspring.app.row_files import rows_of
from mainspring.app.training import mirror_of
from mainspring.app.workspace import Workspace
from mainspring.data import views
from mainspring.deliver.registry import Registry
from mainspring.develop.adoption import Declared, read_schema
from mainspring.develop.errors import ImportRefused
from mainspring.flows.adopt import Adopted, AdoptPorts, Offer, adopt
from mainspring.kernel.contract import Input
from mainspring.kernel.errors import NotFound
from mainspring.security.artifacts import MAX_JSON, MAX_ONNX

MODELS = "models:/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a user asks to adopt.

    source: an ONNX file, or `models:/NAME/VERSION`. schema, sample, reference: files, or None. tracking_uri: ""
    for our own.
    """

    source: str
    schema: Path | None = None
    sample: Path | None = None
    reference: Path | None = None
    output: str = ""
    positive: str = ""
    tracking_uri: str = ""
    reason: str = ""
    mirror: bool = True


def import_model(workspace: Workspace, wanted: Wanted) -> Adopted:
    """Adopt a model; see `flows.adopt`."""
    data, named = _data(workspace, wanted)
    inputs = read_schema(_read(wanted.schema, MAX_JSON)) if wanted.schema else named
    sample = (wanted.sample.name.lower(), _read(wanted.sample, MAX_JSON)) if wanted.sample else None
    document = views.to_json(workspace.settings.definitions)
    ask = document["ask"]
    source = wanted.source if wanted.source.startswith(MODELS) else Path(wanted.source).name
    offer = Offer(
        model=workspace.settings.name, source=source, data=data, sample=sample,
        declared=Declared(inputs=inputs, output=wanted.output, positive=wanted.positive),
        ask={"from": ask["source"], "key": ask["key"], "at": ask["at"]}, definitions=document,
        actor=workspace.actor, reason=wanted.reason,
        reference=partial(rows_of, wanted.reference) if wanted.reference else None,
    )  # fmt: skip
    return adopt(offer, _ports(workspace, mirror=wanted.mirror))


def _ports(workspace: Workspace, *, mirror: bool) -> AdoptPorts:
    from mainspring.adapters.onnx.graphs import OnnxGraph
    from mainspring.adapters.onnx.scorer import Scorer

    return AdoptPorts(
        graphs=OnnxGraph, scorer=Scorer, ledger=workspace.ledger, clock=workspace.clock,
        registry=Registry(models=workspace.models, keys=workspace.keys, versions=workspace.versions),
        mirror=mirror_of(workspace) if mirror else None,
    )  # fmt: skip


def _data(workspace: Workspace, wanted: Wanted) -> tuple[bytes, tuple[Input, ...] | None]:
    """Return the graph's bytes and the columns that its registry names, if it names any."""
    if not wanted.source.startswith(MODELS):
        return _read(Path(wanted.source), MAX_ONNX), None
    from mainspring.adapters.mlflow.mirror import tracking_uri
    from mainspring.adapters.mlflow.versions import fetch

    found = fetch(wanted.source, wanted.tracking_uri or tracking_uri(workspace.paths.state))
    if found.form == "skops":
        fix = "skops files are not opened yet: log it with mlflow.onnx.log_model, then import that version"
        raise ImportRefused(f"{wanted.source} is a skops file", fix=fix)
    return found.data, found.inputs


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(most + 1)
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror or error}", fix="check the path") from error
    if len(data) > most:
        raise ImportRefused(f"{path.name} is larger than {most} bytes", fix="give a smaller file")
    return data
