"""The retraining as Argo would run it, pod by pod from its YAML, makes the model that the local runner makes."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from ruamel.yaml import YAML
from tests import containers
from tests.conformance.conftest import postgres_url as postgres_url
from tests.conformance.test_log_sink_s3 import KEY, SECRET, free_ports, s3_server
from tests.flows.small_project import START
from tests.flows.workflow_engine import Cluster, Doc
from tests.flows.workflow_pods import Containers
from tests.unit.app.small_workspace import FILE, make_workspace

from mainspring.adapters.files.keys import Keys
from mainspring.adapters.objects.bucket import Bucket, StoreUnreachable
from mainspring.app.rendering import render_ports, subject_of
from mainspring.app.training import Trainer, asked_run, take_snapshot
from mainspring.app.workspace import open_workspace
from mainspring.flows.render import render
from mainspring.kernel.times import DAY, FixedClock

pytestmark = [pytest.mark.tools, pytest.mark.slow, pytest.mark.xdist_group("podman")]
TAG = "mainspring-test-steps:1"
PRODUCTION = """environments:
  local: {}
  production: {platform: deployment, scheduler: cronworkflow, data_claim: visits, IMAGEstores: {
    ledger: "secret://vault/ml/ledger#url", models: "s3://small/models", tables: "s3://small/tables"}}
"""
STEPS = ("fetch-data", "preprocess", "train-model", "validate-model", "register-model")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered project with its steps image built."""
    made = make_workspace(tmp_path_factory.mktemp("equivalence") / "project", 3_000)
    code = made / "src" / "small" / "train.py"
    counts = '    with COUNTER.open("a") as file:\n        file.write("fit\\n")\n'
    assert counts in code.read_text("utf-8")  # a pod's root cannot be written to
    code.write_text(code.read_text("utf-8").replace(counts, ""), "utf-8")
    write(made, "")
    write(made, f"steps_image: {containers.build(made, 'steps.Dockerfile', TAG)}, ")
    return made


def write(root: Path, image: str) -> None:
    text = FILE.replace("environments: {local: {}}\n", PRODUCTION.replace("IMAGE", image))
    (root / "mainspring.yaml").write_text(text, "utf-8")
    render(subject_of(open_workspace(root)), render_ports(root), force=True)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, postgres_url: str) -> Iterator[dict[str, str]]:
    """What the Secret of the stores holds: a real S3 and a real PostgreSQL."""
    folder, ports = tmp_path_factory.mktemp("stores"), free_ports(4)
    found = {
        "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true", "AWS_ENDPOINT": f"http://127.0.0.1:{ports[0]}", "LEDGER_URL": postgres_url,
    }  # fmt: skip
    with s3_server(folder / "s3", ports), pytest.MonkeyPatch.context() as patch:
        for name, value in found.items():
            patch.setenv(name, value)
        _answers(time.monotonic() + 60)
        yield found


def _answers(end: float) -> None:
    """Wait until the store takes an object."""
    while True:
        try:
            Bucket("s3://small/ready", retries=0).put("ready", b"")
        except StoreUnreachable:
            assert time.monotonic() < end, "the S3 server does not answer"
            time.sleep(0.1)
        else:
            return


@pytest.fixture
def cluster(root: Path, stores: dict[str, str], tmp_path: Path) -> Cluster:
    """A namespace with its own signing key, and the data on a claim."""
    keys = Keys(tmp_path / "state", tmp_path)
    signing = {"signing.pem": keys.signing_key().decode()}
    shutil.copytree(root / "data", tmp_path / "data")
    os.chmod(tmp_path, 0o755)
    socket = Path(parse_qs(urlsplit(stores["LEDGER_URL"]).query)["host"][0])
    socket.chmod(0o711)
    return Containers(
        folder=tmp_path,
        sockets=[socket],
        secrets={"small-stores": stores, "small-signing": signing},
        claims={"visits": tmp_path / "data"},
    )


def retrain(root: Path) -> Doc:
    text = (root / "workflows" / "production.yaml").read_text("utf-8")
    (found,) = [
        dict(document) for document in YAML(typ="safe", pure=True).load_all(text)
        if document["metadata"]["name"] == "small-retrain"
    ]  # fmt: skip
    return found


def test_pod_by_pod_from_the_yaml_the_same_model_is_made(root: Path, cluster: Cluster, stores: dict[str, str]) -> None:
    here = open_workspace(root, clock=FixedClock(START + 60 * DAY))
    take_snapshot(here)
    with Trainer(here, mirror=False) as trainer:
        local = trainer.train(asked_run(trainer, here, at=0, settings=(), reason="here"))
    assert local.verdict.passed

    assert cluster.submit(retrain(root), "retrain-a1") == "Succeeded", cluster.tries[-3:]
    assert cluster.codes() == [(name, 0) for name in ("begin", *STEPS, "release", "end")]
    assert cluster.outcome("register-model")["digest"] == local.digest
    there = open_workspace(root, environment="production")
    told = [(event.body["step"], event.body["reused"]) for event in there.ledger.read(kind="step.finished")]
    assert told == [(step, False) for step in STEPS]
    assert [event.kind for event in there.ledger.read(run="retrain-a1")][-2:] == ["gate.passed", "run.finished"]
    assert there.models.has(local.digest)

    # a refused candidate leaves with 3, is not tried again, and the workflow ends well
    before = len(cluster.tries)
    assert cluster.submit(retrain(root), "retrain-a2", set="native=true") == "Succeeded", cluster.tries[-3:]
    assert cluster.codes()[before:] == [
        *((name, 0) for name in ("begin", *STEPS[:-1])), ("register-model", 3), ("release", 0), ("end", 0),
    ]  # fmt: skip
    assert cluster.outcome("fetch-data")["reused"] is True
    assert cluster.outcome("release")["why"] == "its gates refused it"
    assert there.ledger.read(kind="run.failed") == []
    there.ledger.close()  # type: ignore[attr-defined]

    # the user's mistake leaves with 2 and is not tried again; a store that is away leaves with 75 and is
    before = len(cluster.tries)
    assert cluster.submit(retrain(root), "retrain-a3", set="nonsense") == "Failed"
    assert cluster.codes()[before:] == [("begin", 2), ("end", 0)]
    before = len(cluster.tries)
    cluster.secrets = {**cluster.secrets, "small-stores": {**stores, "LEDGER_URL": "postgresql://u@127.0.0.1:9/x"}}
    short = retrain(root)
    for template in short["spec"]["templates"][1:]:
        template["retryStrategy"]["limit"] = 1 if template["name"] == "begin" else 0  # the pauses are left out anyway
    assert cluster.submit(short, "retrain-a4") == "Failed"
    assert cluster.codes()[before:] == [("begin", 75), ("begin", 75), ("end", 75)]
