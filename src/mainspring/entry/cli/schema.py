"""`mainspring schema`: the project file's JSON schema, for editors."""

import click

from mainspring.entry.cli import present


@click.command()
def schema() -> None:
    """Print the JSON schema of mainspring.yaml.

    Save it as mainspring.schema.json beside the project file; the file's first line then makes editors complete and
    check it: # yaml-language-server: $schema=mainspring.schema.json
    """
    from mainspring.project.schema import project_schema

    present.emit(project_schema())
