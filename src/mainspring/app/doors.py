"""Wiring of what an environment asks of who enters it."""

from collections.abc import Mapping
from dataclasses import replace

from mainspring.app.workspace import LOCAL, Workspace
from mainspring.deliver.promotion import Entrance, entrance
from mainspring.flows.entering import Door, Request
from mainspring.kernel.errors import NotFound
from mainspring.kernel.ids import checked_name
from mainspring.project.settings import Environment


def entrance_of(workspace: Workspace, environment: str) -> Entrance:
    """Return what an environment asks of who enters; `NotFound` for one that the project file does not name."""
    if checked_name(environment, "environment") == LOCAL:
        return Entrance(environment=environment)
    environments = workspace.settings.environments
    if environment not in environments:
        raise NotFound(
            f"the project file has no environment {environment!r}", fix=f"use one of: {', '.join(environments)}"
        )
    return entrance_in(environments, environment)


def entrance_in(environments: Mapping[str, Environment], name: str) -> Entrance:
    """Return what one of the project file's environments asks of who enters."""
    found, earlier = environments[name], entrance(tuple(environments), name)
    soak = environments[earlier].soak if earlier else 0
    return Entrance(environment=name, approvals=found.approvals, freezes=found.freezes, earlier=earlier, soak=soak)


def door_of(workspace: Workspace, request: Request) -> Door:
    """Return what judges entries into the workspace's environment."""
    asked = entrance_of(workspace, workspace.environment)
    environment = workspace.settings.environments[workspace.environment]
    return Door(
        entrance=asked, files=workspace.releases, keys=workspace.keys, models=workspace.models,
        earlier=lambda: workspace.at(asked.earlier).ledger,
        request=replace(request, image=environment.image, code=workspace.code[0]),
    )  # fmt: skip
