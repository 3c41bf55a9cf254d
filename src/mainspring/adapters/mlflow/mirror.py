"""Show runs in MLflow: parameters, metrics, files, a model version and its alias.

A mirror: nothing here is ever read by a decision. Everything is idempotent by the tag `mainspring.run`, so `record`
may be repeated and the whole mirror made again from the ledger. mlflow is imported on first use (it takes seconds)
and its telemetry is off.
"""

import json
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mainspring.develop.errors import MirrorFailed
from mainspring.develop.ports import Mirrored

DIGEST_TAG, RUN_TAG = "mainspring.digest", "mainspring.run"
URI_VARIABLE = "MLFLOW_TRACKING_URI"
MODEL_FOLDER = "model"
SILENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


def tracking_uri(state: Path) -> str:
    """Return the server that the environment names, else the embedded database in `state`."""
    return os.environ.get(URI_VARIABLE) or f"sqlite:///{(state / 'mlflow.db').as_posix()}"


class MlflowMirror:
    """Writes to a tracking server. artifacts: folder for files, used where `uri` is the embedded database."""

    def __init__(self, uri: str, artifacts: Path) -> None:
        self._uri, self._artifacts = uri, artifacts
        self._opened: Any = None
        self._warming: threading.Thread | None = None

    def warm(self) -> None:
        """Import mlflow and open its store in the background: that takes seconds, and a training has them to spare."""
        if self._warming is None and self._opened is None:
            self._warming = threading.Thread(target=self._open_quietly, daemon=True)
            self._warming.start()

    def record(self, mirrored: Mirrored) -> None:
        """Show a run and its model version; repeating changes nothing. Raises `MirrorFailed`."""
        with self._told():
            model = mirrored.model
            experiment = self._experiment(model)
            run_id = self._run(experiment, mirrored)
            if mirrored.version:
                self._version(model, run_id, mirrored)

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point an alias at one of our versions. Raises `MirrorFailed`."""
        with self._told():
            shown = self._shown(model, version)
            if shown is None:
                raise MirrorFailed(f"version {version} of {model} is not mirrored", fix="mainspring tracking sync")
            self._client.set_registered_model_alias(model, alias, shown)

    def drop_alias(self, model: str, alias: str) -> None:
        """Take an alias away; one that is not there is no failure. Raises `MirrorFailed`."""
        with self._told():
            self._client.delete_registered_model_alias(model, alias)

    def sync(self, runs: Iterable[Mirrored]) -> int:
        """Record every run again; return how many. Raises `MirrorFailed` at the first that cannot be written."""
        count = 0
        for mirrored in runs:
            self.record(mirrored)
            count += 1
        return count

    def _open_quietly(self) -> None:
        with suppress(Exception):  # `record` meets the same trouble and tells it
            self._connected().search_experiments(max_results=1)

    @property
    def _client(self) -> Any:  # noqa: ANN401 - mlflow has no types
        if self._warming is not None:
            self._warming.join()
        return self._connected()

    def _connected(self) -> Any:  # noqa: ANN401 - mlflow has no types
        if self._opened is None:
            for name, value in SILENT.items():
                os.environ.setdefault(name, value)
            from mlflow import MlflowClient

            from mainspring.adapters.mlflow.database import make_database

            make_database(self._uri)
            self._opened = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        return self._opened

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except MirrorFailed:
            raise
        except Exception as error:
            what = f"MLflow at {safe_uri(self._uri)} cannot be written: {type(error).__name__}: {error}"
            fix = f"check {URI_VARIABLE}; then: mainspring tracking sync"
            raise MirrorFailed(what.splitlines()[0][:400], fix=fix) from error

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        if self._uri.startswith("sqlite:"):
            self._artifacts.mkdir(parents=True, exist_ok=True, mode=0o700)
            return str(self._client.create_experiment(name, artifact_location=self._artifacts.as_uri()))
        return str(self._client.create_experiment(name))

    def _run(self, experiment: str, mirrored: Mirrored) -> str:
        found = self._client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{mirrored.run}'", max_results=1)
        if found and found[0].info.status == "FINISHED":
            return str(found[0].info.run_id)
        made = found[0] if found else self._client.create_run(experiment, run_name=mirrored.run, tags=mirrored.tags)
        run_id = str(made.info.run_id)
        for name, value in mirrored.params.items():
            self._client.log_param(run_id, name, value)
        for name, number in mirrored.metrics.items():
            self._client.log_metric(run_id, name, number)
        for name, data in mirrored.files.items():
            self._client.log_text(run_id, data.decode("utf-8"), name)
        self._client.set_terminated(run_id, "FINISHED")
        return run_id

    def _version(self, model: str, run_id: str, mirrored: Mirrored) -> None:
        if not self._client.search_registered_models(f"name = '{model}'"):
            self._client.create_registered_model(model)
        if self._shown(model, mirrored.version) is None:
            tags = {DIGEST_TAG: mirrored.digest, "mainspring.version": str(mirrored.version)}
            source = f"runs:/{run_id}"
            if mirrored.onnx:
                self._log_model(run_id, mirrored)
                source += f"/{MODEL_FOLDER}"
            self._client.create_model_version(model, source, run_id, tags=tags)

    def _log_model(self, run_id: str, mirrored: Mirrored) -> None:
        """Log the graph as MLflow's ONNX flavour, so that `mlflow models serve` can answer with it."""
        with tempfile.TemporaryDirectory(prefix="mainspring-") as folder:
            place = Path(folder) / MODEL_FOLDER
            place.mkdir()
            (place / "model.onnx").write_bytes(mirrored.onnx)
            (place / "MLmodel").write_text(described(run_id), "utf-8")
            (place / "requirements.txt").write_text("onnxruntime\n", "utf-8")
            self._client.log_artifacts(run_id, str(place), MODEL_FOLDER)

    def _shown(self, model: str, version: int) -> str | None:
        """Return MLflow's own number of one of our versions, or None."""
        for found in self._client.search_model_versions(f"name = '{model}'"):
            if found.tags.get("mainspring.version") == str(version):
                return str(found.version)
        return None


def described(run_id: str) -> str:
    """Return an MLmodel file (JSON, which is YAML) of the ONNX flavour and of the python_function that opens it."""
    return json.dumps({
        "artifact_path": MODEL_FOLDER,
        "flavors": {
            "onnx": {"data": "model.onnx", "providers": ["CPUExecutionProvider"]},
            "python_function": {"loader_module": "mlflow.onnx", "data": "model.onnx"},
        },
        "run_id": run_id,
    })  # fmt: skip


def safe_uri(uri: str) -> str:
    """Return a server's address without its user and password."""
    scheme, mark, rest = uri.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
