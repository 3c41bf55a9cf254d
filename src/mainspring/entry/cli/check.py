"""`mainspring check`: is everything that the project file says right, and there?"""

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here, json_option


@click.command()
@click.option("--file-only", is_flag=True, help="Check the file alone, not whether code and data are there.")
@json_option
def check(*, file_only: bool, as_json: bool) -> None:
    """Check the project file, its code and its data; name every mistake with its line."""
    from mainspring.app.checking import check_features
    from mainspring.project.load import load
    from mainspring.project.mistakes import InvalidProject
    from mainspring.project.presence import check_presence

    try:
        project = load(here())
        if not file_only:
            check_presence(project)
            check_features(project)
    except InvalidProject as error:
        if as_json:
            present.emit({"ok": False, "file": error.file, "mistakes": error.to_json()})
        raise
    definitions = project.settings.definitions
    counts = {"sources": len(definitions.sources), "features": len(definitions.feature_names())}
    counts["gates"] = len(project.settings.gates)
    if as_json:
        present.emit({"ok": True, "project": project.settings.name, "digest": project.digest, **counts})
        return
    words = ", ".join(f"{count} {name if count != 1 else name[:-1]}" for name, count in counts.items())
    present.say(f"{project.file.name} is right: {project.settings.name}, {words}")
