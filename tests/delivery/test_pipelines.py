"""Rendered pipelines before their own tools: schemas, linters, an auditor, and `act`, which runs their scripts.

`act` runs the `run:` steps of ci.yml on this machine in a clone of a project. A stub stands for what needs a download
(setup-python) and, for speed, `pip` is uv: it reads the same locks and checks the same hashes. What needs a registry,
an identity provider or a container engine (release.yml from its images on) is linted and not run.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from tests.tools import ROOT, command, program, quiet
from tests.unit.deliver.render_subject import place
from tests.unit.deliver.test_render_github import project

from mainspring.adapters.files.tree import Tree
from mainspring.adapters.yaml.dump import dump
from mainspring.adapters.yaml.read import read_text
from mainspring.deliver.render import pipeline
from mainspring.deliver.render.pins import ACTIONS
from mainspring.deliver.render.subject import Subject
from mainspring.entry.cli.group import run
from mainspring.flows.render import RenderPorts, render
from mainspring.project.new import create

pytestmark = pytest.mark.tools
GITLAB = "registry.gitlab.example/ops/flight-delay"
DATA = """\
set -eu
mkdir -p data
python3 -c '
import random
random.seed(1)
print("id,asked_at,settled_at,customer,amount,loss")
for i in range(300):
    day = f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}T{i % 24:02d}:00:00Z"
    print(f"e{i},{day},{day},c{i % 7},{random.randint(1, 1000)}.5,{random.choice([0, 0, 3])}.0")
' > data/events.csv
"""
CLUSTER = """\
delivery: {repository: "https://git.example/ops/visits.git", registry: ghcr.io/ops/visits, ci: github}

environments:
  local: {}
  dev: {platform: deployment}
"""
PYTHON3 = """\
#!/bin/sh
# python3 -m venv FOLDER, with uv as its pip
set -eu
test "$1 $2" = "-m venv" || exec {python} "$@"
{python} -m uv venv --quiet --python {python} "$3"
printf '#!/bin/sh\\nexec {python} -m uv "pip" "$@" --python "$(dirname "$0")/python"\\n' > "$3/bin/pip"
chmod 755 "$3/bin/pip"
"""


def ran(*words: str, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        words, cwd=cwd, capture_output=True, text=True, check=False, timeout=240, env={**quiet(), **(env or {})}
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(words[:3])}: {said[-4000:]}"
    return said


def rendered(of: Subject, folder: Path) -> Path:
    render(of, RenderPorts(tree=Tree(folder), dump=dump))
    return folder


def workflows(folder: Path) -> Sequence[str]:
    return [str(path) for path in sorted((folder / ".github" / "workflows").iterdir())]


VARIANTS = {
    "token": project(),
    "dockerhub": project(login="dockerhub", registry="docker.io/ops/flight-delay"),
    "registry": project(registry="registry.example:5000/ops/flight-delay"),
    "schedules": project(
        places=(place("dev", "deployment"), place("staging", "kserve", schedule="30 4 * * *")),
    ),
}


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_workflows_pass_their_schema_the_linters_and_the_auditor(variant: str, tmp_path: Path) -> None:
    found = workflows(rendered(VARIANTS[variant], tmp_path))
    assert len(found) == 4
    schema = ("--builtin-schema", "vendor.github-workflows")
    assert "ok" in ran(program("check-jsonschema"), *schema, *found, cwd=tmp_path)
    assert ran(program("actionlint"), "-oneline", *found, cwd=tmp_path) == ""
    for path in found:
        said = ran(program("jactionlint"), path, cwd=tmp_path)
        assert [line for line in said.splitlines() if not line.startswith("note: shellcheck")] == []
    said = ran(program("zizmor"), "--offline", "--format", "plain", "--no-progress", *found, cwd=tmp_path)
    assert "no inputs collected" not in said
    assert "No findings to report" in said
    assert all(f"completed {path}" in said for path in found)


def test_what_is_scored_are_pods_with_their_policies_before_anything_was_built_or_released(tmp_path: Path) -> None:
    of = project(places=(place("dev_1", "rollouts", image=""), place("live", "seldon", seldon="v2", replicas=(1, 4))))
    rendered(of, tmp_path)
    (tmp_path / "docker").write_text("#!/bin/sh\ncat >> scored.yaml\necho --- >> scored.yaml\n", "utf-8")
    (tmp_path / "docker").chmod(0o755)
    path = f"{tmp_path}:{Path(program('helm')).parent}:{os.environ['PATH']}"
    values = {"PROJECT": of.name, "MODEL": of.model, "ENVIRONMENTS": "dev_1 live", "PATH": path,
              "KUBE_SCORE_IMAGE": f"kube-score@sha256:{'0' * 64}"}  # fmt: skip
    ran("sh", "-euc", pipeline.SCORE, cwd=tmp_path, env=values)
    made = read_text("scored.yaml", "kubernetes", (tmp_path / "scored.yaml").read_text("utf-8"))
    found = {(d["metadata"]["namespace"], d["kind"], d["metadata"]["name"]) for _, d in made.objects()}
    for space in ("flight-delay-dev-1", "flight-delay-live"):
        wanted = {"Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget"}
        assert wanted <= {kind for where, kind, _ in found if where == space}


def test_the_linters_would_have_told(tmp_path: Path) -> None:
    """They are not asleep: a workflow with one fault each is refused by all four."""
    bad = tmp_path / "bad.yml"
    bad.write_text("""\
name: bad
on: {pull_request_target: {}}
permissions: {}
jobs:
  one:
    runs-on: ubuntu-99.99
    steps:
      - uses: actions/checkout@v3
      - run: echo "${{ github.event.pull_request.title }}"
""", "utf-8")  # fmt: skip
    for words in (
        ("actionlint",), ("jactionlint",), ("zizmor", "--offline", "--format", "plain", "--no-progress"),
    ):  # fmt: skip
        done = subprocess.run([program(words[0]), *words[1:], str(bad)], capture_output=True, check=False)
        assert done.returncode != 0, words
    bad.write_text("on: push\njobs: {one: {stepz: []}}\n", "utf-8")
    schema = [program("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", str(bad)]
    assert subprocess.run(schema, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("login", ["token", "dockerhub"])
def test_the_gitlab_pipeline_and_the_compose_file_pass_their_schemas(login: str, tmp_path: Path) -> None:
    folder = rendered(project(ci="gitlab", login=login, registry=GITLAB), tmp_path)
    check = program("check-jsonschema")
    ran(check, "--builtin-schema", "vendor.gitlab-ci", ".gitlab-ci.yml", cwd=folder)
    ran(check, "--builtin-schema", "vendor.compose-spec", "compose.yaml", cwd=folder)
    ran(command("promtool"), "check", "config", "--syntax-only", "compose/prometheus.yml", cwd=folder)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with rendered files and the wheel of this tree, committed; its data is not."""
    root = tmp_path_factory.mktemp("pipelines") / "visits"
    create(root, template="blank")
    file = root / "mainspring.yaml"
    file.write_text(file.read_text("utf-8").partition("environments:")[0] + CLUSTER, "utf-8")
    (root / "ci").mkdir()
    (root / "ci" / "data.sh").write_text(DATA, "utf-8")
    (root / "tests").mkdir()
    (root / "tests" / "test_model.py").write_text(
        "import model\n\n\ndef test_it_is_there():\n    assert model.__path__\n", "utf-8"
    )
    assert run(["-C", str(root), "render"]) == 0
    python = str(ROOT / ".venv" / "bin" / "python")
    ran(
        python, "-m", "uv", "build", "--quiet", "--wheel", "--out-dir", str(root / "ml-api/wheels"), str(ROOT), cwd=root
    )
    (root / "ml-api" / "wheels" / ".gitignore").unlink(missing_ok=True)
    for words in (("init", "--quiet", "--initial-branch=main"), ("add", "--all"), ("commit", "--quiet", "-m", "start")):
        ran("git", "-c", "user.name=a", "-c", "user.email=a@b", *words, cwd=root)
    return root


def test_act_runs_every_script_of_ci(repository: Path, tmp_path: Path) -> None:
    clone, stub, shims = tmp_path / "clone", tmp_path / "stub", tmp_path / "bin"
    ran("git", "clone", "--quiet", str(repository), str(clone), cwd=tmp_path)
    for folder in (stub, shims):
        folder.mkdir()
    (stub / "action.yml").write_text(
        "name: stub\ndescription: for an action that needs a download\n"
        "inputs: {python-version: {description: which, required: false}}\n"
        'runs: {using: composite, steps: [{run: "true", shell: bash}]}\n',
        "utf-8",
    )
    (shims / "python3").write_text(PYTHON3.format(python=ROOT / ".venv" / "bin" / "python"), "utf-8")
    (shims / "python3").chmod(0o755)
    commit = ACTIONS["actions/setup-python"][0]
    cache = ran(str(ROOT / ".venv" / "bin" / "python"), "-m", "uv", "cache", "dir", cwd=tmp_path).strip()
    said = ran(
        program("act"), "push", "-W", ".github/workflows/ci.yml", "-P", "ubuntu-24.04=-self-hosted", "--pull=false",
        "--local-repository", f"actions/setup-python@{commit}={stub}", cwd=clone,
        env={"PATH": f"{shims}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path),
             "UV_CACHE_DIR": cache},
    )  # fmt: skip
    for step in (
        "Install the linter", "Lint", "Install", "Bring the data", "Test", "Check the project and its policy",
        "Check that rendered files are current",
    ):  # fmt: skip
        assert f"Success - Main {step} " in said, step
    assert "1 passed" in said
    assert "files are as rendered" in said
    assert "Job failed" not in said
