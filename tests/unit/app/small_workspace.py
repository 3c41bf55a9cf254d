"""A project with its file, data and a repository; models are registered by hand, nothing is fitted."""

from pathlib import Path

from tests.flows.small_project import START, make_project

from mainspring.adapters.git.repository import init_repository
from mainspring.app.workspace import Workspace, open_workspace
from mainspring.deliver.ports import GATE
from mainspring.deliver.registry import Registry, register
from mainspring.kernel.digests import canonical_json
from mainspring.kernel.times import DAY, FixedClock

NAME = "small"
FILE = """
version: 1
project: small
description: Does a visit go badly? Asked when it starts.
owner: tests
data:
  sources:
    visits:
      uri: data/visits.parquet
      key: id
      event_time: starts
      known_at: {starts: [kind, size], ends: others}
ask: {from: visits, key: id, at: starts}
features:
  visit: {from: visits, columns: [kind, size], derive: {hour: hour(starts)}}
  lately: {from: visits, by: kind, window: 7d, refresh: 1h, aggregate: {bad_share: avg(bad)}}
target: {name: bad, from: visits, expression: outcome >= 1, kind: binary}
training: {function: "small.train:fit", window: all, holdout: 10d}
gates:
  - champion: {metric: log_loss, margin: 0.02, confidence: 0.95}
  - floor: {metric: roc_auc, at_least: 0.55}
release: {canary: {steps: [5, 100], hold: 6h, min_requests: 50, abort: {error_rate: 1%, quality: worse}}}
monitoring: {every: 6h, window: 7d, label_delay: 12h, drift: {measure: psi, above: usual, false_discovery: 0.05},
  quality: {metric: log_loss}}
retraining: {when: [output_drift, quality], persist: 2 of 3, cooldown: 2d, min_new_labels: 500,
  budget: {runs: 6 per 30d}}
environments: {local: {}}
"""


def make_workspace(root: Path, rows: int = 400) -> Path:
    make_project(root, rows)
    (root / "mainspring.yaml").write_text(FILE, "utf-8")
    (root / ".gitignore").write_text(".mainspring/\ndata/\nsrc/fits.txt\n", "utf-8")
    init_repository(root)
    return root


def opened(root: Path) -> Workspace:
    return open_workspace(root, clock=FixedClock(START + 60 * DAY))


def add_model(root: Path, number: int, *, passed: bool = True) -> str:
    """Register a model of a few bytes, judged as told; return its digest."""
    workspace = opened(root)
    ports = Registry(models=workspace.models, keys=workspace.keys, versions=workspace.versions)
    digest = register(NAME, {"contract.json": b"%d" % number}, ports).digest
    workspace.models.attest(digest, GATE, canonical_json({"passed": passed}))
    return digest
