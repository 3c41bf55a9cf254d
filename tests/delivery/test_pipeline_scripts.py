"""The scripts of a rendered release, run in bash as its jobs would: each from an empty checkout, against a bare remote.

Stores are folders and a database outside the checkouts, named by `environments.*.stores`; `.venv` is this tree's own
(installing is what `act` proves). Images are not built here: two names by digest stand for them.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML
from tests.tools import ROOT, quiet

from mainspring.project.new import create

pytestmark = pytest.mark.slow
SERVING, STEPS = (f"ghcr.io/ops/visits@sha256:{letter * 64}" for letter in "ab")
VENV = ROOT / ".venv"
CLUSTER = """\
delivery: {{repository: "https://git.example/ops/visits.git", registry: ghcr.io/ops/visits, ci: github}}

environments:
  local: {{}}
  dev: {{platform: deployment, stores: {stores}}}
  staging: {{platform: deployment, stores: {stores}}}
"""


def ran(*command: str, cwd: Path, env: Mapping[str, str] | None = None, code: int = 0) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=240, env={**quiet(), **(env or {})}
    )
    assert done.returncode == code, f"{command[-1][-300:]}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def git(cwd: Path, *words: str) -> str:
    return ran("git", "-c", "user.name=a", "-c", "user.email=a@b", *words, cwd=cwd)


def mainspring(cwd: Path, *words: str) -> str:
    return ran(str(VENV / "bin" / "mainspring"), *words, cwd=cwd)


class Remote:
    """A bare repository of a project, and fresh clones of it that run jobs."""

    def __init__(self, root: Path) -> None:
        self.root, self.bare, self.clones = root, root / "remote.git", 0
        self.key = ""

    def clone(self) -> Path:
        self.clones += 1
        folder = self.root / f"clone{self.clones}"
        git(self.root, "clone", "--quiet", str(self.bare), str(folder))
        (folder / ".venv").symlink_to(VENV, target_is_directory=True)
        (folder / ".git" / "info" / "exclude").write_text("/.venv\n/train.json\n/evidence/\n", "utf-8")
        return folder

    def job(self, flow: str, job: str, folder: Path, told: Mapping[str, str], code: int = 0) -> str:
        """Run the scripts of a job, its expressions replaced by `told`; return what they said."""
        document: Any = YAML(typ="safe").load((folder / ".github" / "workflows" / flow).read_text("utf-8"))
        script, env = "", {"GITHUB_OUTPUT": str(folder / ".git" / "output"), "HOME": str(self.root)}
        for step in document["jobs"][job]["steps"]:
            if "run" in step and not step["name"].startswith("Install"):
                env |= {name: told.get(value, value) for name, value in step.get("env", {}).items()}
                script += step["run"]
        assert not [value for value in env.values() if "${{" in value], env
        return ran("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script, cwd=folder, env=env, code=code)

    def show(self, path: str) -> str:
        return git(self.bare, "show", f"main:{path}")


def table(root: Path) -> None:
    """Two months of events whose outcome can be learnt."""
    random, rows = np.random.default_rng(0), 3_000
    seconds = np.sort(random.integers(0, 60 * 86_400, rows))
    amount = random.uniform(1, 1_000, rows)
    bad = random.random(rows) < 1 / (1 + np.exp(-(amount - 500) / 120))
    times = (np.datetime64("2024-01-01") + seconds.astype("timedelta64[s]")).astype(str)
    later = (np.datetime64("2024-01-01T02") + seconds.astype("timedelta64[s]")).astype(str)
    lines = [
        f"e{i},{times[i]}Z,{later[i]}Z,c{i % 9},{amount[i]:.2f},{float(bad[i]) * 5}" for i in range(rows)
    ]  # fmt: skip
    (root / "data").mkdir(exist_ok=True)
    (root / "data" / "events.csv").write_text(
        "id,asked_at,settled_at,customer,amount,loss\n" + "\n".join(lines) + "\n", "utf-8"
    )


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Remote:
    root = tmp_path_factory.mktemp("release")
    found, work = Remote(root), root / "visits"
    create(work, template="blank")
    outside = root / "outside"
    stores = json.dumps({
        "ledger": f"sqlite:///{outside}/ledger.db", "models": f"file://{outside}/models",
        "tables": f"file://{outside}/tables",
    })  # fmt: skip
    outside.mkdir()
    file = work / "mainspring.yaml"
    file.write_text(file.read_text("utf-8").partition("environments:")[0] + CLUSTER.format(stores=stores), "utf-8")
    table(work)
    (work / "ci").mkdir()
    copy = root / "events.csv"
    (work / "data" / "events.csv").rename(copy)
    (work / "ci" / "data.sh").write_text(f"set -eu\nmkdir -p data\ncp {copy} data/events.csv\n", "utf-8")
    mainspring(work, "keys", "create")
    for name in ("dev", "staging"):
        mainspring(work, "keys", "trust", name, ".mainspring/keys/signing.pub")
    mainspring(work, "render")
    found.key = (work / ".mainspring" / "keys" / "signing.pem").read_text("utf-8")
    git(root, "init", "--quiet", "--bare", "--initial-branch=main", str(found.bare))
    for words in (("init", "--quiet", "--initial-branch=main"), ("add", "--all"), ("commit", "--quiet", "-m", "start")):
        git(work, *words)
    git(work, "push", "--quiet", str(found.bare), "main")
    return found


def told(remote: Remote, digest: str = "") -> dict[str, str]:
    return {
        "${{ github.run_id }}": str(remote.clones), "${{ secrets.MAINSPRING_SIGNING_KEY }}": remote.key,
        "${{ secrets.DATA_CREDENTIALS }}": "", "${{ steps.app.outputs.token || github.token }}": "t0ken",
        "${{ needs.train.outputs.digest }}": digest, "${{ needs.images.outputs.serving }}": SERVING,
        "${{ needs.images.outputs.steps }}": STEPS,
    }  # fmt: skip


def trained(remote: Remote) -> dict[str, Any]:
    folder = remote.clone()
    remote.job("release.yml", "train", folder, told(remote))
    found: dict[str, Any] = json.loads((folder / "train.json").read_text("utf-8"))
    assert [path.name for path in (folder / ".mainspring" / "keys").iterdir()] == ["signing.pub"]
    assert (folder / ".git" / "output").read_text("utf-8") == f"DIGEST={found['digest']}\n"
    return found


def evidence(folder: Path) -> None:
    (folder / "evidence").mkdir()
    (folder / "evidence" / "serving.cdx.json").write_text('{"bomFormat": "CycloneDX", "specVersion": "1.6"}', "utf-8")
    (folder / "evidence" / "serving.trivy.json").write_text('{"SchemaVersion": 2, "Results": []}', "utf-8")


def test_a_release_from_empty_checkouts(remote: Remote) -> None:
    first = trained(remote)
    assert first["passed"] is True
    folder = remote.clone()
    evidence(folder)
    before = git(remote.bare, "rev-parse", "main").strip()
    remote.job("release.yml", "promote-dev", folder, told(remote, first["digest"]))

    assert first["digest"] in remote.show("environments/dev/release.yaml")
    assert f"image: {SERVING}" in remote.show("mainspring.yaml")
    assert git(remote.bare, "rev-list", "--count", f"{before}..main").strip() == "2"  # the release, then the images
    assert not (folder / ".git" / "push-token").exists()
    assert not (folder / ".git" / "askpass").exists()
    assert not (folder / ".mainspring" / "keys" / "signing.pem").exists()
    checkout = remote.clone()
    mainspring(checkout, "render", "--check")

    # the next training finds the champion by the stores, in a checkout that has never seen it
    code = checkout / "src" / "model" / "train.py"
    code.write_text(code.read_text("utf-8") + "\n# another digest of the code\n", "utf-8")
    git(checkout, "commit", "--quiet", "--all", "-m", "more")
    git(checkout, "push", "--quiet", "origin", "main")
    second = trained(remote)
    champion = next(reason for reason in second["reasons"] if reason["gate"].startswith("champion"))
    assert champion["passed"] is True
    assert "no champion" not in champion["what"]

    # onwards by what is there, in a clone that starts behind: somebody pushed since
    folder = remote.clone()
    other = remote.clone()
    (other / "note.txt").write_text("meanwhile\n", "utf-8")
    git(other, "add", "note.txt")
    git(other, "commit", "--quiet", "-m", "meanwhile")
    git(other, "push", "--quiet", "origin", "main")
    remote.job("promote.yml", "promote-staging", folder, told(remote))
    assert first["digest"] in remote.show("environments/staging/release.yaml")
    assert remote.show("mainspring.yaml").count(f"image: {SERVING}") == 2
    assert remote.show("note.txt") == "meanwhile\n"

    # asked again, nothing changes
    head = git(remote.bare, "rev-parse", "main")
    remote.job("promote.yml", "promote-staging", remote.clone(), told(remote))
    assert git(remote.bare, "rev-parse", "main") == head

    # what was never judged is refused, and nothing is pushed
    folder = remote.clone()
    evidence(folder)
    remote.job("release.yml", "promote-dev", folder, told(remote, "sha256:" + "0" * 64), code=3)
    assert git(remote.bare, "rev-parse", "main") == head
