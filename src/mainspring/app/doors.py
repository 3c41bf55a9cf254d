"""Wiring of what an environment asks of who enters it."""

from dataclasses import replace

from mainspring.app.workspace import LOCAL, Workspace
from mainspring.deliver.promotion import Entrance, entrance
from mainspring.flows.entering import Door, Request
from mainspring.kernel.errors import NotFound
from mainspring.kernel.ids import checked_name


def entrance_of(workspace: Workspace, environment: str) -> Entrance:
    """Return what an environment asks of who enters; `NotFound` for one that the project file does not name."""
    environments = workspace.settings.environments
    found = environments.get(checked_name(environment, "environment"))
    if environment == LOCAL:
        return Entrance(environment=environment)
    if found is None:
        raise NotFound(
            f"the project file has no environment {environment!r}", fix=f"use one of: {', '.join(environments)}"
        )
    earlier = entrance(tuple(environments), environment)
    soak = environments[earlier].soak if earlier else 0
    return Entrance(
        environment=environment, approvals=found.approvals, freezes=found.freezes, earlier=earlier, soak=soak
    )


def door_of(workspace: Workspace, request: Request) -> Door:
    """Return what judges entries into the workspace's environment."""
    asked = entrance_of(workspace, workspace.environment)
    environment = workspace.settings.environments[workspace.environment]
    return Door(
        entrance=asked, files=workspace.releases, keys=workspace.keys, models=workspace.models,
        earlier=lambda: workspace.at(asked.earlier).ledger,
        request=replace(request, image=environment.image, code=workspace.code[0]),
    )  # fmt: skip
