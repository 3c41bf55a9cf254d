"""`mainspring render`: the files that a cluster and its pipelines need, from the project file."""

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option

if TYPE_CHECKING:
    from mainspring.flows.render import Tree

_SHOWN = 4000


@click.command()
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 1 and name what is stale or edited.")
@click.option("--diff", "only_diff", is_flag=True, help="Write nothing; show how files would change.")
@click.option("--force", is_flag=True, help="Overwrite files that were edited by hand.")
@json_option
def render(*, only_check: bool, only_diff: bool, force: bool, as_json: bool) -> None:
    """Write the files of every environment that runs in a cluster: charts, GitOps, workflows, monitoring, security."""
    from mainspring.app.rendering import check_settled, render_ports, subject_of
    from mainspring.app.workspace import open_workspace
    from mainspring.flows.render import RenderRefused, compare, expected, write

    workspace = open_workspace(here())
    subject, ports = subject_of(workspace), render_ports(workspace.project.root)
    wanted = expected(subject, ports)
    if only_diff:
        _show_all(wanted, ports.tree)
        return
    if not only_check:
        check_settled(here())
    found = compare(wanted, ports.tree) if only_check else write(subject, wanted, ports.tree, force=force)
    lists = {"missing": found.missing, "stale": found.stale, "edited": found.edited, "extra": found.extra}
    if as_json:
        present.emit(
            {"files": len(wanted), "clean": found.clean, **{name: list(paths) for name, paths in lists.items()}}
        )
    elif only_check:
        for name, paths in lists.items():
            for path in paths:
                present.say(f"{name:8} {path}")
    if only_check and not found.clean:
        count = sum(len(paths) for paths in lists.values())
        raise RenderRefused(f"{count} of {len(wanted)} rendered files differ", fix="run mainspring render and commit")
    if not as_json:
        changed = sum(len(paths) for paths in lists.values())
        present.say(f"{len(wanted)} files" + (" are as rendered" if only_check else f" rendered, {changed} changed"))
        if not subject.places:
            present.say(_LOCAL_ONLY)


_LOCAL_ONLY = """no environment of the project file runs in a cluster; add one, for example
  environments: {local: {}, staging: {platform: deployment, replicas: 2}}"""


def _show_all(wanted: Mapping[str, bytes], tree: "Tree") -> None:
    from mainspring.flows.render import compare

    found = compare(wanted, tree)
    for path in (*found.missing, *found.stale, *found.edited, *found.extra):
        _show(path, tree.read(path), wanted.get(path))


def _show(path: str, old: bytes | None, new: bytes | None) -> None:
    lines = [(data or b"").decode("utf-8", "replace").splitlines(keepends=True) for data in (old, new)]
    present.say("".join(difflib.unified_diff(lines[0], lines[1], f"a/{path}", f"b/{path}"))[:_SHOWN].rstrip())
