"""Wiring of what pipelines need: which secrets to set, and new images brought into an environment."""

from pathlib import Path

from mainspring.app.rendering import render_ports, subject_of
from mainspring.app.workspace import open_workspace
from mainspring.deliver.render.needs import Need, needs
from mainspring.flows.render import render
from mainspring.kernel.errors import MainspringError, NotFound
from mainspring.kernel.files import write_atomic
from mainspring.project.edit import set_values
from mainspring.project.load import find, load


class NoPipelines(MainspringError):
    """The project file asks for no pipelines."""

    code = "ci.none"


def needed(root: Path) -> tuple[str, tuple[Need, ...]]:
    """Return the provider and what must be set there; raise `NoPipelines` where the project file names none."""
    subject = subject_of(open_workspace(root))
    found = needs(subject)
    if not found:
        raise NoPipelines(
            "the project file asks for no pipelines",
            fix="add delivery: {ci: github, registry: ...} and an environment whose platform is not local",
        )
    return subject.ci, found


def images_of(root: Path, environment: str) -> dict[str, str]:
    """Return the images of an environment by the project file's keys; `NotFound` where it has none."""
    found = open_workspace(root).settings.environments.get(environment)
    named = {"image": found.image, "steps_image": found.steps_image} if found else {}
    if not any(named.values()):
        raise NotFound(f"{environment} names no images", fix="release there first")
    return {key: value for key, value in named.items() if value}


def bring_images(root: Path, environment: str, images: dict[str, str]) -> bool:
    """Set images of an environment in the project file by key, and render again; return whether anything changed.

    The file is written only if it is right afterwards; a file that was edited by hand stops the rendering.
    """
    file = find(open_workspace(root).project.root)
    before = file.read_text(encoding="utf-8")
    after = set_values(before, ("environments", environment), images)
    if after == before:
        return False
    write_atomic(file, after.encode("utf-8"), private=False)
    try:
        load(file)
        workspace = open_workspace(file.parent)
        render(subject_of(workspace), render_ports(workspace.project.root))
    except BaseException:
        write_atomic(file, before.encode("utf-8"), private=False)
        raise
    return True
