"""`mainspring check`: is everything that the project file says right, and there; is every file of the tree safe?"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option

if TYPE_CHECKING:
    from mainspring.app.checking import Report


@click.command()
@click.argument("tree", required=False, type=click.Path(path_type=Path))
@click.option(
    "--file-only", is_flag=True, help="Check the project file alone: no code, data, rendered files or policy."
)
@click.option("--history", is_flag=True, help="Look for credentials in every commit, also where they were removed.")
@click.option("--since", default="", metavar="REV", help="For --history: leave out what REV and older commits hold.")
@click.option("--sarif", type=click.Path(path_type=Path), help="Also write the policy findings to this file as SARIF.")
@json_option
def check(*, tree: Path | None, file_only: bool, history: bool, since: str, sarif: Path | None, as_json: bool) -> None:
    """Check the project file, its code and data, rendered files, and the safety of manifests, workflows and scripts.

    With TREE (a folder or a file, of anybody's), only the policy lint runs there. Exit 2 when something is wrong.
    """
    from mainspring.app.checking import check_history, check_policy, check_project
    from mainspring.project.mistakes import InvalidProject

    if history:
        _tell(check_history(here() if tree is None else tree, since), sarif, as_json)
        return
    if tree is not None:
        _tell(check_policy(tree), sarif, as_json)
        return
    try:
        report = check_project(here(), file_only=file_only)
    except InvalidProject as error:
        if as_json:
            present.emit({"ok": False, "file": error.file, "mistakes": error.to_json()})
        raise
    _tell(report, sarif, as_json)


def _tell(report: "Report", sarif: Path | None, as_json: bool) -> None:
    from mainspring.kernel.files import write_atomic

    if sarif is not None:
        write_atomic(sarif, json.dumps(report.sarif(), indent=2).encode(), private=False, durable=False)
    if as_json:
        present.emit(report.to_json())
    else:
        for finding in report.findings:
            present.say(str(finding))
        for path in report.stale:
            present.say(f"{path}: differs from what mainspring render writes [render.stale]\n  fix: mainspring render")
        present.say(report.summary())
    report.require()
