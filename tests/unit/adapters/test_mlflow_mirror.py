"""The MLflow mirror on its embedded database."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.app.small_workspace import make_workspace, opened

from mainspring.adapters.mlflow.database import make_database
from mainspring.adapters.mlflow.mirror import MlflowMirror, tracking_uri
from mainspring.adapters.mlflow.versions import fetch
from mainspring.app.releases import show_aliases
from mainspring.deliver.release import Challenger, Champion, Release
from mainspring.develop.errors import MirrorFailed
from mainspring.develop.ports import Mirrored

DIGEST = "sha256:" + "a" * 64


def _mirrored(run_id: str = "r1", version: int = 1) -> Mirrored:
    return Mirrored(
        run=run_id,
        model="flights",
        digest=DIGEST,
        version=version,
        params={"holdout": "14d"},
        metrics={"log_loss": 0.5},
        files={"evidence.json": b"{}"},
        tags={"mainspring.run": run_id, "mainspring.digest": DIGEST},
    )


@pytest.mark.filterwarnings("default")
def test_recording_twice_shows_one_run_one_version_and_an_alias_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mirror = MlflowMirror(tracking_uri(tmp_path), tmp_path / "artifacts")
    mirror.record(_mirrored())
    assert mirror.sync([_mirrored(), _mirrored("r2", 2)]) == 2
    mirror.set_alias("flights", "champion", 2)

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri(tmp_path), tracking_uri(tmp_path))
    experiment = client.get_experiment_by_name("flights")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.tags["mainspring.run"] for run in runs) == ["r1", "r2"]
    assert runs[0].data.metrics == {"log_loss": 0.5}
    assert runs[0].data.params == {"holdout": "14d"}
    assert [item.path for item in client.list_artifacts(runs[0].info.run_id)] == ["evidence.json"]
    versions = client.search_model_versions("name = 'flights'")
    assert {version.tags["mainspring.digest"] for version in versions} == {DIGEST}
    assert client.get_model_version_by_alias("flights", "champion").tags["mainspring.version"] == "2"
    with pytest.raises(MirrorFailed, match="not mirrored"):
        mirror.set_alias("flights", "champion", 9)
    mirror.set_alias("flights", "challenger", 1)
    for _ in range(2):
        mirror.drop_alias("flights", "challenger")
        assert set(client.get_registered_model("flights").aliases) == {"champion"}


@pytest.mark.filterwarnings("default")
def test_the_aliases_show_a_release_and_no_challenger_once_its_trial_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    workspace, said = opened(make_workspace(tmp_path / "project", rows=20)), list[str]()
    uri = tracking_uri(workspace.paths.state)
    MlflowMirror(uri, tmp_path / "artifacts").sync(_mirrored(f"r{number}", number) for number in (1, 2))

    from mlflow import MlflowClient

    client, first, second = MlflowClient(uri, uri), DIGEST, "sha256:" + "b" * 64
    alone = Release(model="flights", champion=Champion(version=1, digest=first))
    trial = replace(alone, challenger=Challenger(version=2, digest=second, weight=5))
    won = Release(model="flights", champion=Champion(version=2, digest=second))
    for release, expected in (
        (trial, {"champion": 1, "challenger": 2}), (alone, {"champion": 1}),
        (trial, {"champion": 1, "challenger": 2}), (won, {"champion": 2}),
    ):  # fmt: skip
        show_aliases(workspace, release, said.append)
        assert client.get_registered_model("flights").aliases == expected
    assert said == []


@pytest.mark.filterwarnings("default")
def test_a_server_that_cannot_be_written_is_a_told_failure_without_the_password(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    mirror = MlflowMirror(f"sqlite:///{(blocked / 'mlflow.db').as_posix()}", tmp_path)
    with pytest.raises(MirrorFailed, match="cannot be written"):
        mirror.record(_mirrored())


def test_the_environment_may_name_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert tracking_uri(tmp_path) == "http://mlflow:5000"


@pytest.mark.filterwarnings("default")
def test_the_embedded_database_is_made_once_and_is_the_one_that_mlflow_makes(tmp_path: Path) -> None:
    from mlflow.store.db.utils import _get_latest_schema_revision

    uri = tracking_uri(tmp_path / "state")
    assert make_database(uri)
    assert not make_database(uri)  # it is there
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["mlflow.db"]
    assert (tmp_path / "state" / "mlflow.db").stat().st_mode & 0o077 == 0
    newest = _get_latest_schema_revision()  # type: ignore[no-untyped-call]
    with closing(sqlite3.connect(tmp_path / "state" / "mlflow.db")) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [(newest,)]


@pytest.mark.parametrize("uri", ["http://mlflow:5000", "sqlite:///:memory:", "sqlite:////x/a.db?mode=ro"])
def test_only_a_plain_embedded_database_is_made(uri: str) -> None:
    assert not make_database(uri)


def test_a_place_that_cannot_be_written_is_left_to_mlflow(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not make_database(f"sqlite:///{(tmp_path / 'file' / 'mlflow.db').as_posix()}")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.filterwarnings("default")
def test_a_version_carries_the_graph_as_mlflows_onnx_flavour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = tracking_uri(tmp_path)
    mirror = MlflowMirror(uri, tmp_path / "artifacts")
    mirror.record(replace(_mirrored(), onnx=b"graph"))
    mirror.record(replace(_mirrored(), onnx=b"graph"))
    mirror.set_alias("flights", "champion", 1)
    found = fetch("models:/flights@champion", uri)
    assert (found.form, found.data, found.inputs) == ("onnx", b"graph", None)
