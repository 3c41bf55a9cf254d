"""`mainspring init`: a new project from a template."""

import subprocess
from pathlib import Path

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option
from mainspring.kernel.errors import RunFailed


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--template", default="flights", show_default=True, help="Template to start from.")
@click.option("--name", default="", help="Name of the project; else that of its folder.")
@click.option("--git", "with_git", is_flag=True, help="Also make it a git repository.")
@json_option
def init(*, folder: Path, template: str, name: str, with_git: bool, as_json: bool) -> None:
    """Write a new project to DIR, which must be new or empty."""
    from mainspring.project.new import create

    target = here() / folder
    files = create(target, template=template, name=name)
    if with_git:
        _git_init(target)
    if as_json:
        present.emit({"folder": str(target), "files": files})
        return
    present.say(f"wrote {len(files)} files to {folder}")
    present.say(f"next: cd {folder}, edit mainspring.yaml, mainspring check")


def _git_init(target: Path) -> None:
    try:
        done = subprocess.run(
            ["git", "init", "--quiet", "--initial-branch=main"],  # noqa: S607 - git from the path
            cwd=target, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise RunFailed("git is not installed; the project was written", fix="install git") from error
    if done.returncode:
        raise RunFailed(f"git init: {done.stderr.strip()[:200]}", fix="run git init yourself")
