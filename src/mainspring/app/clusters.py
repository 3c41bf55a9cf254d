"""Wiring of clusters: plans made from a project and options, shown or run."""

from collections.abc import Callable
from pathlib import Path

from mainspring.app.rendering import render_ports, subject_of
from mainspring.app.workspace import open_workspace
from mainspring.deliver.clusters.bootstrap import bootstrap
from mainspring.deliver.clusters.plan import Plan
from mainspring.deliver.render.tree import rendered
from mainspring.flows.provision import ProvisionPorts, provision
from mainspring.kernel.errors import NotFound


def bootstrap_plan(root: Path, *, context: str, version: str) -> tuple[Plan, Path]:
    """Return the plan that starts Argo CD with a project's applications, and the folder that it runs in."""
    workspace = open_workspace(root)
    root = workspace.project.root
    plan = bootstrap(tuple(rendered(subject_of(workspace))), context=context, version=version)
    for path in (command.argv[-1] for command in plan.commands[1:]):
        if not (root / path).is_file():
            raise NotFound(f"{path} is not rendered yet", fix="mainspring render, and commit")
    return plan, root


def run_plan(plan: Plan, folder: Path, *, quiet: bool, progress: Callable[[str], None]) -> int:
    """Run a plan in `folder`; return how many commands ran. quiet: keep stdout free."""
    from mainspring.adapters.commands.run import Runner

    if not folder.is_dir():
        raise NotFound(f"{folder} is not a folder", fix="give an existing folder with -C")
    ports = render_ports(folder)
    runner = Runner(folder, quiet=quiet)
    return provision(plan, ProvisionPorts(runner=runner, tree=ports.tree, dump=ports.dump, progress=progress))


def files_of(plan: Plan, folder: Path) -> dict[str, str]:
    """Return the text of every file that a plan writes."""
    dump = render_ports(folder).dump
    return {path: dump(content) for path, content in plan.files.items()}
