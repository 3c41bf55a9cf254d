"""Fetch one model version from a tracking server: its ONNX graph, or its skops file. Nothing is parsed but MLmodel.

Only the two files that are needed are downloaded, so a pickle that lies beside them is never on this machine.
"""

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mainspring.adapters.mlflow.mirror import SILENT, safe_uri
from mainspring.develop.errors import ImportRefused
from mainspring.kernel.contract import Input
from mainspring.kernel.errors import InvalidValue, NotFound

MAX_MLMODEL = 1 << 20
_REFERENCE = re.compile(r"models:/([^/@:]+)(?:/([0-9]{1,9})|@([^/@:]+))")
_ONNX_FIX = "log it with mlflow.onnx.log_model, or export it and run: mainspring import model.onnx"
_TEXTS = frozenset({"string", "binary"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A version's model file. inputs: the columns of its signature, or None."""

    form: Literal["onnx", "skops"]
    data: bytes
    inputs: tuple[Input, ...] | None


def fetch(reference: str, uri: str) -> Fetched:
    """Return the model file of `models:/NAME/VERSION` or `models:/NAME@alias` at a tracking server.

    The ONNX flavour comes first; scikit-learn's only as a skops file. Raises `ImportRefused` for any other form and
    `NotFound` where there is no such version.
    """
    with tempfile.TemporaryDirectory(prefix="mainspring-") as folder:
        read = _files(reference, uri, Path(folder))
        described = _described(read("MLmodel"))
        flavors = described.get("flavors")
        if not isinstance(flavors, Mapping):
            raise ImportRefused(f"{reference} names no flavour", fix=_ONNX_FIX)
        form, name = _chosen(flavors, reference)
        return Fetched(form=form, data=read(name), inputs=_inputs(described.get("signature")))


def _files(reference: str, uri: str, folder: Path) -> Callable[[str], bytes]:
    """Return what reads a file of the version. No global state of mlflow is set: it would name the mirror's server."""
    for variable, value in SILENT.items():
        os.environ.setdefault(variable, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    @contextmanager
    def told(name: str) -> Iterator[None]:
        try:
            yield
        except (MlflowException, OSError) as error:
            what = f"{reference} has no {name} at {safe_uri(uri)}: {str(error).splitlines()[0][:200]}"
            raise NotFound(what, fix="check the name and version, and --tracking-uri") from error

    with told("version"):
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        place = _place(client, reference)
        files: Any = get_artifact_repository(place, tracking_uri=uri, registry_uri=uri)

    def read(name: str) -> bytes:
        with told(name):
            return Path(files.download_artifacts(name, dst_path=str(folder))).read_bytes()

    return read


def _place(client: Any, reference: str) -> str:  # noqa: ANN401 - mlflow has no types
    """Return where the version's files are; a version of MLflow 3 points at a logged model."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise InvalidValue(f"{reference[:80]!r} names no version", fix="write models:/NAME/3 or models:/NAME@champion")
    name, number, alias = found.groups()
    version = number or client.get_model_version_by_alias(name, alias).version
    place = str(client.get_model_version_download_uri(name, str(version)))
    if place.startswith("models:/"):
        place = str(client.get_logged_model(place.removeprefix("models:/")).artifact_location)
    return place


def _described(data: bytes) -> Mapping[str, Any]:
    if len(data) > MAX_MLMODEL:
        raise ImportRefused(f"MLmodel has {len(data)} bytes", fix=_ONNX_FIX)
    try:
        found = YAML(typ="safe", pure=True).load(data.decode("utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise ImportRefused(f"MLmodel cannot be read: {str(error)[:120]}", fix=_ONNX_FIX) from error
    if not isinstance(found, Mapping):
        raise ImportRefused("MLmodel is no mapping", fix=_ONNX_FIX)
    return found


def _chosen(flavors: Mapping[str, Any], reference: str) -> tuple[Literal["onnx", "skops"], str]:
    if isinstance(flavors.get("onnx"), Mapping):
        return "onnx", _plain_name(flavors["onnx"].get("data", "model.onnx"))
    learnt = flavors.get("sklearn")
    if isinstance(learnt, Mapping) and learnt.get("serialization_format") == "skops":
        return "skops", _plain_name(learnt.get("pickled_model", "model.skops"))
    if isinstance(learnt, Mapping):
        kept = str(learnt.get("serialization_format", "pickle"))[:20]
        fix = 'log it with mlflow.onnx.log_model, or with serialization_format="skops"; then import that version'
        raise ImportRefused(f"{reference} is a {kept} file, which runs code when it is opened", fix=fix)
    kinds = ", ".join(sorted(str(name) for name in flavors))[:120]
    raise ImportRefused(f"{reference} has the flavours {kinds or 'none'}, none of which is data alone", fix=_ONNX_FIX)


def _plain_name(name: object) -> str:
    path = PurePosixPath(str(name))
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ImportRefused(f"MLmodel names the file {str(name)[:60]!r}", fix=_ONNX_FIX)
    return str(path)


def _inputs(signature: object) -> tuple[Input, ...] | None:
    """Return the columns of a signature that names them all; a tensor signature names none."""
    said = signature.get("inputs") if isinstance(signature, Mapping) else None
    if not isinstance(said, str):
        return None
    try:
        columns = json.loads(said)
        return tuple(
            Input(name=item["name"], kind="string" if item["type"] in _TEXTS else "number") for item in columns
        )
    except (ValueError, KeyError, TypeError):
        return None
