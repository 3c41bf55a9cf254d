"""`mainspring import`: a model that exists becomes a version of the project."""

from pathlib import Path
from typing import Any

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option

_file = click.Path(path_type=Path, dir_okay=False)


@click.command("import")
@click.argument("source")
@click.option("--inputs", "schema", type=_file, help="JSON that names the model's columns, in the graph's order.")
@click.option("--sample", type=_file, help="CSV or JSON rows, kept in the contract and scored at every load.")
@click.option(
    "--reference", type=_file,
    help="CSV or Parquet rows with `asked_at`, from which the usual is learnt; without them no drift is watched.",
)  # fmt: skip
@click.option("--output", default="", help="The graph's output that holds the probabilities.")
@click.option("--positive", default="", metavar="CLASS", help="The class whose probability is the score.")
@click.option("--tracking-uri", default="", metavar="URI", help="Tracking server of models:/...; default: ours.")
@click.option("--reason", default="adopted", show_default=True, help="Why, for the ledger.")
@json_option
def import_model(source: str, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - the fields of `Wanted`
    """Adopt SOURCE, an ONNX file or models:/NAME/VERSION (or models:/NAME@ALIAS), as a version of this project.

    The artifact is audited, its graph gets a contract with a recorded sample, and the result is signed and numbered.
    `mainspring promote` brings it into an environment as its first champion. Pickles are never opened.
    """
    from mainspring.app.importing import Wanted
    from mainspring.app.importing import import_model as adopt
    from mainspring.app.workspace import open_workspace

    found = adopt(open_workspace(here()), Wanted(source=source, **options))
    if found.unmirrored:
        present.progress(f"warning: {found.unmirrored}")
    if as_json:
        inputs = [{"name": item.name, "kind": item.kind} for item in found.inputs]
        present.emit(
            {"version": found.version, "digest": found.digest, "inputs": inputs, "sample_scores": list(found.scores),
             "not_features": list(found.unknown), "event": found.event.seq}
        )  # fmt: skip
        return
    present.say(f"version {found.version} ({present.short(found.digest)}): {len(found.inputs)} inputs")
    shown = ", ".join(f"{score:.4f}" for score in found.scores[:5])
    present.say(f"recorded sample of {len(found.scores)} rows, scored now: {shown}")
    if found.unknown:
        names = ", ".join(found.unknown[:5]) + (" ..." if len(found.unknown) > len(found.unknown[:5]) else "")
        present.say(f"no features of this project, so clients send them: {names}")
    present.say(f"serve it: mainspring promote {found.version}")
