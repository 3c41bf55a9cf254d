"""Our cluster commands before the real command lines: `az`, `aws`, `kubectl` and `helm` parse them, offline.

Each is run as it is, without an account and with a cluster that nobody answers for: it takes every flag and value, and
then says that it cannot sign in or connect. A flag it does not know ends it earlier, in other words (the last test).
`gcloud`, `eksctl` and `kind` are not on our package indexes: their commands are recorded only (test_cli_clusters).
"""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.tools import environment, program, quiet

from mainspring.deliver.clusters import bootstrap as argo
from mainspring.deliver.clusters.plan import Plan
from mainspring.deliver.clusters.providers import create, credentials
from mainspring.deliver.clusters.wanted import Wanted

pytestmark = pytest.mark.tools
AKS = Wanted(provider="aks", name="m", resource_group="g", region="eastus", nodes=2, machine="Standard_D4s_v5",
             node_group="std", kubernetes="1.33", ssh_key="none")  # fmt: skip
EKS = Wanted(provider="eks", name="m", region="us-west-2", project="ops")
RENDERED = ("argocd/project.yaml", "argocd/argocd-app.yaml")
NOBODY = {
    "apiVersion": "v1", "kind": "Config", "current-context": "lab",
    "clusters": [{"name": "lab", "cluster": {"server": "http://127.0.0.1:9"}}],
    "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
    "users": [{"name": "lab", "user": {}}],
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "aws").write_text("[profile ops]\nregion = us-west-2\n", "utf-8")
    (tmp_path / "kube").write_text(json.dumps(NOBODY), "utf-8")
    for path in RENDERED:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text('{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}', "utf-8")
    return tmp_path


def said(argv: Sequence[str], home: Path) -> str:
    """Run a command with the real program; return what it says before it fails."""
    real = {
        "az": [str(environment("azure") / "bin" / "python"), "-m", "azure.cli"],
        "aws": [str(environment("awscli") / "bin" / "aws")],
    }.get(argv[0]) or [program(argv[0])]  # fmt: skip
    kept = {key: value for key, value in quiet().items() if not key.startswith(("AWS_", "AZURE_", "KUBE"))}
    alone = {
        "HOME": str(home), "AZURE_CONFIG_DIR": str(home / "azure"), "AZURE_CORE_COLLECT_TELEMETRY": "false",
        "AWS_CONFIG_FILE": str(home / "aws"), "AWS_EC2_METADATA_DISABLED": "true", "KUBECONFIG": str(home / "kube"),
    }  # fmt: skip
    done = subprocess.run(
        [*real, *argv[1:]], cwd=home, env={**kept, **alone}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode != 0, argv
    return done.stdout + done.stderr


def argvs(*plans: Plan) -> list[tuple[str, ...]]:
    return [command.argv for plan in plans for command in plan.commands]


@pytest.mark.parametrize("argv", argvs(create(AKS), credentials(AKS)), ids=lambda argv: " ".join(argv[:3]))
def test_az_takes_every_flag(argv: tuple[str, ...], home: Path) -> None:
    assert "Please run 'az login'" in said(argv, home)


def test_aws_takes_every_flag(home: Path) -> None:
    (argv,) = argvs(credentials(EKS))
    assert "Unable to locate credentials" in said(argv, home)


@pytest.mark.parametrize(
    "argv", argvs(argo.bootstrap(RENDERED, context="lab"), argo.rotate_admin("lab"), argo.delete_admin("lab")),
    ids=lambda argv: " ".join(argv[:6]),
)  # fmt: skip
def test_kubectl_and_helm_take_every_flag(argv: tuple[str, ...], home: Path) -> None:
    told = said(argv, home)
    assert "connect" in told
    assert "unknown" not in told


def test_the_template_prints_the_password(home: Path) -> None:
    """`kubectl` itself decodes it: no shell, no base64 program, the same on Windows."""
    template = argvs(argo.show_admin())[0][-1]
    argv = ("create", "secret", "generic", "x", "--from-literal=password=hunter2", "--dry-run=client", "-o", template)
    done = subprocess.run([program("kubectl"), *argv], cwd=home, capture_output=True, text=True, check=True)
    assert done.stdout == "hunter2\n"


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (argvs(create(AKS))[1], "unrecognized arguments: --foo"),
        (argvs(credentials(EKS))[0], "Unknown options: --foo"),
        (argvs(argo.delete_admin("lab"))[0], "unknown flag: --foo"),
        (argvs(argo.bootstrap(RENDERED))[0], "unknown flag: --foo"),
    ],
)
def test_a_flag_that_is_not_there_would_be_told(argv: tuple[str, ...], told: str, home: Path) -> None:
    assert told in said((*argv, "--foo"), home)
