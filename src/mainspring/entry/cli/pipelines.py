"""`mainspring ci`: what to set at the provider of the pipelines, and what they bring back into the project."""

from typing import TYPE_CHECKING

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option

if TYPE_CHECKING:
    from mainspring.deliver.render.needs import Need


@click.group()
def ci() -> None:
    """List what pipelines need; bring the images that they built into an environment."""


@ci.command()
@json_option
def secrets(as_json: bool) -> None:
    """List the secrets, variables and environments to set at the provider: where each is used, how to make it."""
    from mainspring.app.pipelines import needed

    provider, found = needed(here())
    if as_json:
        present.emit({"provider": provider, "needs": [_document(need) for need in found]})
        return
    for need in found:
        where = f" in {', '.join(need.environments)}" if need.environments else ""
        present.say(f"{need.name}: {need.kind}{where}{'' if need.required else ', if wanted'}")
        present.say(f"  used by {', '.join(need.used)}")
        present.say(f"  {need.make}")


@ci.command()
@click.option("--env", "environment", required=True, help="Environment that is to run the images.")
@click.option("--serving", default="", metavar="IMAGE", help="Serving image, by digest.")
@click.option("--steps", default="", metavar="IMAGE", help="Image of the training steps, by digest.")
@click.option("--from", "before", default="", metavar="ENV", help="Take the images that another environment runs.")
@json_option
def images(*, environment: str, serving: str, steps: str, before: str, as_json: bool) -> None:
    """Set the images of an environment in the project file, comments kept, and render again. Commit what changed."""
    from mainspring.app.pipelines import bring_images, images_of

    given = {key: value for key, value in (("image", serving), ("steps_image", steps)) if value}
    if bool(before) == bool(given):
        raise click.UsageError("give --serving, --steps or both, or --from alone")
    given = given or images_of(here(), before)
    changed = bring_images(here(), environment, given)
    if as_json:
        present.emit({"environment": environment, "changed": changed, **given})
    else:
        present.say(f"{environment}: {'images set, files rendered' if changed else 'runs these images already'}")


def _document(need: "Need") -> dict[str, object]:
    return {
        "name": need.name, "kind": need.kind, "environments": list(need.environments), "required": need.required,
        "used": list(need.used), "make": need.make,
    }  # fmt: skip
