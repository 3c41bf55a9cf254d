"""Score, watch, retrain and what an alert does, from the rendered YAML, each pod a process in an empty folder.

They meet in a real S3 server, a real PostgreSQL and a bare repository, as pods would; only the containers are missing,
which `test_workflow_equivalence` has. Their clocks show the end of the data.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.conformance.conftest import postgres_url as postgres_url
from tests.flows.small_project import START
from tests.flows.test_workflow_equivalence import stores as stores
from tests.flows.workflow_engine import Cluster, Doc, triggered
from tests.flows.workflow_pods import Processes
from tests.unit.app.small_workspace import FILE, make_workspace

from mainspring.adapters.files.keys import Keys
from mainspring.adapters.frames.parquet import ParquetFrames
from mainspring.adapters.memory.ledger import Ledger as MemoryLedger
from mainspring.adapters.objects.bucket import Bucket
from mainspring.adapters.yaml.dump import dump
from mainspring.app.clock import SystemClock
from mainspring.app.releases import promote_version
from mainspring.app.rendering import render_ports, subject_of
from mainspring.app.scoring import Batch, score_batch
from mainspring.app.searching import search
from mainspring.app.training import Trainer, asked_run, take_snapshot
from mainspring.app.watching import bring_log, watch_once
from mainspring.app.workspace import Workspace, open_workspace
from mainspring.deliver.render import workflows
from mainspring.deliver.render.content import Objects
from mainspring.flows.render import render
from mainspring.kernel.events import Draft, Event
from mainspring.kernel.times import DAY, FixedClock, format_time
from mainspring.security.keys import public_of

pytestmark = [pytest.mark.tools, pytest.mark.slow, pytest.mark.xdist_group("processes")]
ADDRESS = "https://git.example/ops/small.git"
LOG = "s3://small/logs"
LATE = SystemClock().now() - (START + 60 * DAY)
PRODUCTION = f"""delivery: {{repository: "{ADDRESS}", registry: registry.example/ops/small}}
environments:
  local: {{}}
  production: {{platform: deployment, scheduler: cronworkflow, data_claim: visits, stores: {{
    ledger: "secret://vault/ml/ledger#url", models: "s3://small/models", tables: "s3://small/tables"}}}}
"""
PAYLOAD: Doc = {  # as Alertmanager posts it; the live test shows the same to `triggered`
    "receiver": "small-production/small-retrain/retrain", "status": "firing", "version": "4", "truncatedAlerts": 0,
    "groupKey": "{}:{alertname=\"MainspringOutputDrift\"}", "groupLabels": {"alertname": "MainspringOutputDrift"},
    "commonLabels": {"alertname": "MainspringOutputDrift", "environment": "production"}, "commonAnnotations": {},
    "externalURL": "http://alertmanager:9093", "alerts": [],
}  # fmt: skip


def rendered(root: Path, kind: str, name: str) -> Doc:
    text = (root / "workflows" / "production.yaml").read_text("utf-8")
    (found,) = [
        dict(document) for document in YAML(typ="safe", pure=True).load_all(text)
        if (document["kind"], document["metadata"]["name"]) == (kind, name)
    ]  # fmt: skip
    return found


def git(folder: Path, *words: str) -> str:
    named = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    return subprocess.run(
        ["git", *named, "-C", str(folder), *words], check=True, capture_output=True, text=True
    ).stdout  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, stores: dict[str, str]) -> Path:
    """A rendered project in a repository, whose first version answers in production."""
    made = make_workspace(tmp_path_factory.mktemp("pods") / "project", 6_000)
    text = FILE.replace("environments: {local: {}}\n", PRODUCTION)
    text = text.replace(
        "retraining: {when: [output_drift, quality], persist: 2 of 3, cooldown: 2d, min_new_labels: 500",
        "retraining: {when: [output_drift, quality], every: 30d, cooldown: 2d, min_new_labels: 0",
    )
    text = text.replace("holdout: 10d}", "holdout: 10d, search: {space: {max_iter: {low: 2, high: 40}}, trials: 2}}")
    (made / "mainspring.yaml").write_text(text, "utf-8")
    place = made / "environments" / "production"
    place.mkdir(parents=True)
    (place / "serving.yaml").write_text(f"log: {{sinks: [{{to: {LOG}}}]}}\n", "utf-8")
    keys = Keys(made / ".mainspring", made)
    keys.trust("production", public_of(keys.signing_key()))
    render(subject_of(open_workspace(made)), render_ports(made), force=True)
    git(made, "add", "-A")
    git(made, "commit", "-qm", "start")
    here = production(made, FixedClock(START + 20 * DAY))
    take_snapshot(here)
    with Trainer(here, mirror=False) as trainer:
        first = trainer.train(asked_run(trainer, here, at=START + 50 * DAY, settings=(), reason="first"))
    promote_version(here, first.version, at_once=True, reason="first")
    closed(here)
    git(made, "clone", "-q", "--bare", ".", str(made.parent / "bare.git"))
    return made


def production(root: Path, clock: FixedClock | None = None) -> Workspace:
    return open_workspace(root, environment="production", clock=clock or FixedClock(START + 60 * DAY))


def moment() -> str:
    """Return what the pods' clocks show."""
    return format_time(SystemClock().now() - LATE)


def closed(workspace: Workspace) -> None:
    workspace.ledger.close()  # type: ignore[attr-defined]
    workspace.versions.close()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def cluster(root: Path, stores: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "watch").mkdir()
    trust = {path.name: path.read_text() for path in (root / "environments" / "production" / "trust").iterdir()}
    pem = (root / ".mainspring" / "keys" / "signing.pem").read_text()
    return Processes(
        folder=folder,
        image=root,
        secrets={
            "small-stores": stores, "small-signing": {"signing.pem": pem},
            "small-git": {"username": "bot", "token": "t0ken"},
        },
        maps={
            "small-trust": trust, "small-git": rendered(root, "ConfigMap", "small-git")["data"],
            "small-release": {"release.yaml": git(root, "show", "main:environments/production/release.yaml")},
        },
        claims={"visits": root / "data", "small-watch": folder / "watch"},
        templates={name: rendered(root, "WorkflowTemplate", name) for name in ("small-retrain", "small-watch")},
        git={ADDRESS: root.parent / "bare.git"},
        late_ns=1000 * LATE,
    )  # fmt: skip


def answers(url: str, folder: Path) -> dict[str, list[Any]]:
    """Return the columns of all parts below an address, in order."""
    bucket, parts = Bucket(url), []
    for name in sorted(bucket.names("")):
        if name.endswith(".parquet"):
            place = folder / name.replace("/", "_")
            bucket.get_file(name, place)
            parts.append(ParquetFrames(keep=0).read(place))
    return {name: [value for part in parts for value in part[name].tolist()] for name in parts[0]}


@pytest.fixture(scope="module")
def scored(root: Path, cluster: Cluster) -> str:
    """The address of the answers of three periods that were scored by a pod each; their logs are in the sink."""
    days = [format_time(START + day * DAY)[:10] for day in (52, 54, 57, 60)]
    periods = [{"from": start, "to": end} for start, end in pairwise(days)]
    template = rendered(root, "WorkflowTemplate", "small-score")
    assert cluster.submit(template, "score-a1", periods=json.dumps(periods)) == "Succeeded", cluster.tries[-1]
    assert cluster.codes()[-3:] == [("period", 0)] * 3
    return "s3://small/tables/scores/score-a1"


def test_periods_scored_apart_are_what_is_scored_at_once(root: Path, scored: str, tmp_path: Path) -> None:
    apart = answers(scored, tmp_path)
    here = production(root)
    whole = score_batch(here, Batch(out=tmp_path / "out", start=START + 52 * DAY, end=START + 60 * DAY))
    closed(here)
    table = ParquetFrames(keep=0).read(tmp_path / "out" / "part-00000.parquet")
    assert whole.rows == len(apart["key"]) > 400
    for name in ("key", "score", "version", "asked_at"):
        assert apart[name] == table[name].tolist(), name
    assert len({*apart["prediction_id"], *table["prediction_id"]}) == 2 * whole.rows  # an id is one answer's


@dataclass(frozen=True)
class Looked:
    """A look in pods, and the training that it asked for. before: a copy of the ledger. began: by the pods' clocks."""

    before: MemoryLedger
    began: str
    codes: list[tuple[str, int]]
    written: list[Event]
    released: Doc


@pytest.fixture(scope="module")
def looked(root: Path, cluster: Cluster, scored: str) -> Looked:
    """Run what the schedule runs, once the log is there."""
    assert scored
    schedule = rendered(root, "CronWorkflow", "small-watch")["spec"]["workflowSpec"]
    looks = rendered(root, "WorkflowTemplate", schedule["workflowTemplateRef"]["name"])
    there, before = production(root), MemoryLedger()
    for event in there.ledger.read():
        draft = Draft(kind=event.kind, subject=event.subject, actor=event.actor, run=event.run, cause=event.cause,
                      body=event.body)  # fmt: skip
        before.append([draft], at=event.at)
    assert before.head() == there.ledger.head()
    first, began = len(cluster.tries), moment()
    assert cluster.submit(looks, "watch-1", began) == "Succeeded", cluster.tries[-2:]
    written = there.ledger.read(after=before.head()[0])
    closed(there)
    return Looked(before, began, cluster.codes()[first:], written, cluster.outcome("release"))


def test_a_look_from_a_clone_is_the_local_look_and_what_it_asks_for_is_trained_once(
    root: Path, cluster: Cluster, looked: Looked, tmp_path: Path
) -> None:
    steps = ("fetch-data", "preprocess", "train-model", "validate-model", "register-model")
    assert looked.codes == [(name, 0) for name in ("watch", "begin", *steps, "release", "end")]
    written, copied, before = looked.written, looked.before, production(root)

    # the same look here, on a copy of the ledger, at the same moment
    shutil.copytree(root, tmp_path / "local", ignore=shutil.ignore_patterns("predictions", "log"))
    local = production(tmp_path / "local", FixedClock(written[0].at))
    closed(local)
    local.__dict__["ledger"] = copied
    assert bring_log(local, LOG) > 0
    here = watch_once(local, ask=tmp_path / "ask")
    mine = copied.read(after=copied.head()[0] - 2)
    assert here.ingested.rows > 400
    assert [(event.kind, event.subject, event.body) for event in written[:2]] == [
        (event.kind, event.subject, event.body) for event in mine
    ]
    assert [event.kind for event in mine] == ["window.judged", "retrain.started"]
    assert (tmp_path / "ask" / "cause").read_text() == ",".join(str(event.seq) for event in written[:2])

    # what it asked for was trained and is on trial
    run = "watch-1"
    (started,) = before.ledger.read(kind="run.started", run=run)
    assert started.body["reason"].startswith("training: scheduled every 30d")
    assert started.cause == tuple(event.seq for event in written[:2])
    assert before.ledger.read(kind="run.finished", run=run)[0].body["passed"] is True
    assert looked.released["began"] is True
    assert "challenger" in git(root.parent / "bare.git", "show", "main:environments/production/release.yaml")

    # an alert comes while that trial goes on: one pod asks, no other is made
    binding = rendered(root, "WorkflowEventBinding", "small-drift")
    assert triggered(binding, "small-drift", {**PAYLOAD, "status": "resolved"}) is None
    assert triggered(binding, "other-drift", PAYLOAD) is None
    asked = triggered(binding, "small-drift", PAYLOAD)
    assert asked == {"reason": "alert MainspringOutputDrift", "trigger": "alert"}
    retrain = rendered(root, "WorkflowTemplate", binding["spec"]["submit"]["workflowTemplateRef"]["name"])
    for name, since, why in (("alert-1", moment(), "running"), ("alert-2", looked.began, "answered")):
        first = len(cluster.tries)
        assert cluster.submit(retrain, name, since, **asked) == "Succeeded"
        assert cluster.codes()[first:] == [("begin", 0), ("end", 0)]
        (told,) = before.ledger.read(run=name)
        assert (told.kind, told.body["blocked_by"], told.body["trigger"]) == ("retrain.declined", why, "alert")
    closed(before)


def test_a_search_tries_in_pods_what_it_tries_here_and_trains_with_the_best(
    root: Path, cluster: Cluster, looked: Looked
) -> None:
    assert looked.codes
    template, first = rendered(root, "WorkflowTemplate", "small-search"), len(cluster.tries)
    assert cluster.submit(template, "search-a1", moment()) == "Succeeded", cluster.tries[-2:]
    trial = ("fetch-data", "preprocess", "train-model", "validate-model")
    pods = ("search", *trial, *trial, "choose", "begin", *trial, "register-model", "release", "end")
    assert [name for name, code in cluster.codes()[first:] if code in (0, 3)] == list(pods)
    there = production(root)
    (told,) = there.ledger.read(kind="search.finished")
    tried = {one["params"]["max_iter"]: one["log_loss"] for one in told.body["trials"]}
    best = min(tried, key=lambda value: tried[value])
    assert len(tried) == 2
    assert told.body["params"] == {"max_iter": best}
    assert cluster.outcome("choose")["best"] == {"max_iter": best}
    assert told.body["until"] == START + 50 * DAY + (there.stores.runs().load("search-a1").at - START - 60 * DAY)
    assert there.stores.runs().load("search-a1").training.params == {"max_iter": best}
    assert there.ledger.read(kind="run.finished", run="search-a1")
    assert {event.run for event in there.ledger.read(kind="run.started")} >= {"search-a1"}
    assert not there.ledger.read(kind="run.started", run="search-a1-search-t0")  # a trial is no training
    closed(there)

    here = open_workspace(root, clock=FixedClock(START + 60 * DAY))  # stores of its own
    take_snapshot(here)
    with Trainer(here, mirror=False) as trainer:
        whole = asked_run(trainer, here, at=0, settings=(), reason="here")
        assert search(here, trainer, whole, lambda _: None) == {"max_iter": best}
    (mine,) = here.ledger.read(kind="search.finished")
    assert {one["params"]["max_iter"]: one["log_loss"] for one in mine.body["trials"]} == tried


def test_a_plain_cron_job_looks_too(root: Path, cluster: Cluster, looked: Looked, tmp_path: Path) -> None:
    assert looked.codes
    project = subject_of(open_workspace(root))
    plain = replace(project, places=tuple(replace(place, scheduler="cronjob") for place in project.places))
    content = workflows.files(plain)["workflows/production.yaml"]
    assert isinstance(content, Objects)
    documents = YAML(typ="safe", pure=True).load_all(dump(content))
    (job,) = [document["spec"]["jobTemplate"]["spec"] for document in documents if document["kind"] == "CronJob"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    there = production(root)
    before = there.ledger.head()[0]
    code, said, _ = cluster.attempt({**pod, "container": container}, {}, tmp_path / "pod")
    assert code == 0, said
    assert said.startswith("0 new rows in 0 requests\nrollout: hold: held")  # the claim knows what was taken in
    assert {event.kind for event in there.ledger.read(after=before)} <= {"rollout.judged", "release.advanced"}
    closed(there)
