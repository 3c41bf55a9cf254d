"""Full MLflow, in an environment of its own, opens on the database that the mirror wrote."""

import json
import subprocess
from pathlib import Path

import pytest
from tests import tools
from tests.unit.adapters.test_mlflow_mirror import _mirrored

from mainspring.adapters.mlflow.mirror import MlflowMirror, tracking_uri

SCRIPT = """
import json, sys
from mlflow import MlflowClient
client = MlflowClient(tracking_uri=sys.argv[1], registry_uri=sys.argv[1])
model = sys.argv[2]
experiment = client.get_experiment_by_name(model)
(run,) = client.search_runs([experiment.experiment_id])
champion = client.get_model_version_by_alias(model, "champion")
artifacts = [found.path for found in client.list_artifacts(run.info.run_id)]
print(json.dumps({"params": run.data.params, "metrics": run.data.metrics, "artifacts": artifacts,
                  "digest": champion.tags["mainspring.digest"]}))
"""


@pytest.mark.tools
@pytest.mark.slow
def test_full_mlflow_opens_on_what_the_mirror_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shown, uri = _mirrored(), tracking_uri(tmp_path)
    mirror = MlflowMirror(uri, tmp_path / "artifacts")
    mirror.record(shown)
    mirror.set_alias(shown.model, "champion", shown.version)
    argv = [tools.python("mlflow"), "-c", SCRIPT, uri, shown.model]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=tools.quiet())
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["digest"] == shown.digest
    assert found["params"] == dict(shown.params)
    assert found["metrics"] == pytest.approx(dict(shown.metrics))
    assert "evidence.json" in " ".join(found["artifacts"])
