"""What a new cluster needs to deploy by itself: Argo CD from its chart, the project's applications, a changed password.

The chart's version stands here alone; it was found in public repositories and was not fetched. Argo CD's first admin
password lies in a Secret that everybody with access to it can read: show it once, sign in, rotate or delete it. Its
server makes a new one when it starts without (Argo CD FAQ, "I forgot the admin password"), so that no password and no
hash ever stands on a command line. The chart's values keep the server inside the cluster.
"""

import json
import re
from collections.abc import Sequence

from mainspring.deliver.clusters.plan import Command, Plan
from mainspring.deliver.clusters.wanted import InvalidCluster
from mainspring.deliver.render.argocd import NAMESPACE

REPOSITORY = "https://argoproj.github.io/argo-helm"
CHART, VERSION = "argo-cd", "9.5.21"
_SECRET, _STORED, _SERVER = "argocd-initial-admin-secret", "argocd-secret", "deployment/argocd-server"
_APPLIED = (
    "argocd/platform/project.yaml", "argocd/platform.yaml", "security/namespaces.yaml", "argocd/project.yaml",
    "argocd/argocd-app.yaml", "argocd/root.yaml",
)  # fmt: skip
_CONTEXT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9@._:/-]{0,250}[A-Za-z0-9])?")
_VERSION = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}")
_REACH = "see that kubectl reaches the cluster: kubectl get nodes"


def bootstrap(rendered: Sequence[str], *, context: str = "", version: str = "") -> Plan:
    """Return the plan that installs Argo CD and hands it the project's applications.

    rendered: paths of the rendered files. context: of the kubeconfig; "" for the current one. version: of the chart.
    """
    version = version or VERSION
    if not _VERSION.fullmatch(version):
        raise InvalidCluster(f"{version[:40]!r} is no version of a chart", fix=f"give one such as {VERSION}")
    found = [path for path in _APPLIED if path in rendered]
    if "argocd/argocd-app.yaml" not in found:
        raise InvalidCluster(
            "the project has no Argo CD applications",
            fix="add delivery.repository and an environment that runs in a cluster, then mainspring render",
        )
    chosen = ("--kube-context", _checked(context)) if context else ()
    install = (
        "helm", "upgrade", "--install", "argocd", CHART, "--repo", REPOSITORY, "--version", version,
        "--namespace", NAMESPACE, "--create-namespace", "--set", "server.service.type=ClusterIP",
        "--set", "dex.enabled=false", "--wait", "--timeout", "10m", *chosen,
    )  # fmt: skip
    applied = [
        Command(
            argv=(*_kubectl(context), "apply", "--server-side", "--filename", path), what=f"apply {path}", fix=_REACH
        )
        for path in found
    ]
    return Plan(commands=[Command(argv=install, what=f"install Argo CD (chart {version})", fix=_REACH), *applied])


def show_admin(context: str = "") -> Plan:
    """Return the plan that prints the first admin password."""
    template = 'go-template={{.data.password | base64decode}}{{"\\n"}}'
    argv = (*_argo(context), "get", "secret", _SECRET, "--output", template)
    gone = "it may have been deleted, as it should be; make a new one: mainspring cluster admin rotate"
    return Plan(commands=[Command(argv=argv, what="show the first admin password", fix=gone)])


def rotate_admin(context: str = "") -> Plan:
    """Return the plan that has Argo CD forget its admin password and make another, and prints that."""
    patch = json.dumps({"data": {"admin.password": None, "admin.passwordMtime": None}}, separators=(",", ":"))
    argo = _argo(context)
    return Plan(commands=[
        Command(argv=(*argo, "patch", "secret", _STORED, "--type", "merge", "--patch", patch),
                what="forget the admin password", fix=_REACH),
        *delete_admin(context).commands,
        Command(argv=(*argo, "rollout", "restart", _SERVER), what="start the server again", fix=_REACH),
        Command(argv=(*argo, "rollout", "status", _SERVER, "--timeout", "5m"), what="wait for it",
                fix="see why it does not start: kubectl -n argocd describe deployment argocd-server"),
        *show_admin(context).commands,
    ])  # fmt: skip


def delete_admin(context: str = "") -> Plan:
    """Return the plan that deletes the Secret with the first admin password; the password itself stays valid."""
    argv = (*_argo(context), "delete", "secret", _SECRET, "--ignore-not-found")
    return Plan(commands=[Command(argv=argv, what="delete the Secret with the first password", fix=_REACH)])


def _argo(context: str) -> tuple[str, ...]:
    return (*_kubectl(context), "--namespace", NAMESPACE)


def _kubectl(context: str) -> tuple[str, ...]:
    return ("kubectl", *(("--context", _checked(context)) if context else ()))


def _checked(context: str) -> str:
    if not _CONTEXT.fullmatch(context):
        raise InvalidCluster(f"{context[:60]!r} names no context", fix="see kubectl config get-contexts")
    return context
