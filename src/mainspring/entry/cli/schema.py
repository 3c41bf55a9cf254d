"""`mainspring schema`: the JSON schemas of the files that people write, for editors."""

import click

from mainspring.entry.cli import present


@click.command()
@click.argument("file", type=click.Choice(["project", "workspace"]), default="project")
def schema(*, file: str) -> None:
    """Print the JSON schema of mainspring.yaml, or of workspace.yaml.

    Save it as mainspring.schema.json beside the project file; the file's first line then makes editors complete and
    check it: # yaml-language-server: $schema=mainspring.schema.json
    """
    from mainspring.project.schema import project_schema
    from mainspring.project.workspace_file import workspace_schema

    present.emit(project_schema() if file == "project" else workspace_schema())
