"""`mainspring cluster`: make a cluster, reach it, start Argo CD in it; commands are shown, and run when asked to."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option

if TYPE_CHECKING:
    from mainspring.deliver.clusters.plan import Plan
    from mainspring.deliver.clusters.wanted import Wanted

_F = TypeVar("_F", bound=Callable[..., Any])
_apply = click.option("--apply", "run_it", is_flag=True, help="Run the commands instead of showing them.")
_context = click.option("--context", default="", help="Context of the kubeconfig; default: the current one.")
_OPTIONS = (
    click.option(
        "--provider", required=True, type=click.Choice(["gke", "aks", "eks", "kind"]), help="Who runs the cluster."
    ),
    click.option("--name", required=True, help="Name of the cluster."),
    click.option("--zone", default="", help="GKE: zone of a zonal cluster, such as us-central1-c."),
    click.option("--region", default="", help="Region, such as us-west-2; AKS: location, such as eastus."),
    click.option("--project", default="", help="GCP project, Azure subscription or AWS profile."),
    click.option("--resource-group", default="", help="AKS: resource group; made if it is not there."),
)  # fmt: skip
_SIZES = (
    click.option("--node-group", default="", help="EKS, AKS: name of the first node group."),
    click.option("--nodes", default=0, help="Nodes of the first group; default 3, with kind 1."),
    click.option("--machine", default="", help="Machine type, such as e2-standard-4 or m6i.xlarge."),
    click.option("--kubernetes", default="", help="Version of Kubernetes, such as 1.33."),
    click.option("--ssh-key", default="", help="AKS: generate, none or a public key's path; EKS: such a path."),
    click.option("--node-image", default="", help="kind: kindest/node by digest."),
)  # fmt: skip


def _with(options: tuple[Callable[[Any], Any], ...]) -> Callable[[_F], _F]:
    def add(function: _F) -> _F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


@click.group()
def cluster() -> None:
    """Make a cluster, reach it, and start Argo CD in it. Commands are shown; --apply runs them."""


@cluster.command()
@_with(_OPTIONS)
@_with(_SIZES)
@_apply
@json_option
def create(*, run_it: bool, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - the options above
    """Make a cluster at GKE, AKS or EKS, or one of kind on this machine, with network policies enforced."""
    from mainspring.deliver.clusters.providers import create as plan_of

    _do(plan_of(_wanted(given)), here(), run_it=run_it, as_json=as_json)


@cluster.command()
@_with(_OPTIONS)
@_apply
@json_option
def credentials(*, run_it: bool, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - the options above
    """Let kubectl reach a cluster: its access goes into the kubeconfig."""
    from mainspring.deliver.clusters.providers import credentials as plan_of

    _do(plan_of(_wanted(given)), here(), run_it=run_it, as_json=as_json)


@cluster.command()
@click.option("--chart-version", default="", help="Version of Argo CD's chart; default: the one that is pinned.")
@_context
@_apply
@json_option
def bootstrap(*, chart_version: str, context: str, run_it: bool, as_json: bool) -> None:
    """Install Argo CD and hand it the project's applications."""
    from mainspring.app.clusters import bootstrap_plan

    plan, folder = bootstrap_plan(here(), context=context, version=chart_version)
    _do(plan, folder, run_it=run_it, as_json=as_json)


@cluster.command()
@click.argument("action", type=click.Choice(["show", "rotate", "delete"]))
@_context
@_apply
@json_option
def admin(*, action: str, context: str, run_it: bool, as_json: bool) -> None:
    """Show, rotate or delete Argo CD's first admin password."""
    from mainspring.deliver.clusters import bootstrap as rules

    plans = {"show": rules.show_admin, "rotate": rules.rotate_admin, "delete": rules.delete_admin}
    _do(plans[action](context), here(), run_it=run_it, as_json=as_json)


def _wanted(given: dict[str, Any]) -> "Wanted":
    from mainspring.deliver.clusters.wanted import Wanted

    return Wanted(**given)


def _do(plan: "Plan", folder: Path, *, run_it: bool, as_json: bool) -> None:
    from mainspring.app.clusters import files_of, run_plan

    if run_it:
        count = run_plan(plan, folder, quiet=as_json, progress=present.progress)
        if as_json:
            present.emit({"ran": count, **_document(plan, folder)})
        return
    if as_json:
        present.emit({"ran": 0, **_document(plan, folder)})
        return
    for path, text in files_of(plan, folder).items():
        present.say(f"# {path}\n{text}")
    for command in plan.commands:
        present.say(f"# {command.what}\n{command.shown()}")


def _document(plan: "Plan", folder: Path) -> dict[str, Any]:
    from mainspring.app.clusters import files_of

    commands = [{"argv": list(command.argv), "what": command.what} for command in plan.commands]
    return {"commands": commands, "files": files_of(plan, folder)}
