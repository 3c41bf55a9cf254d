"""What commands share: where the project is, and `--json`."""

from pathlib import Path

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


def here() -> Path:
    """Return the project's folder: that of `-C`, or this one."""
    root = click.get_current_context().find_root()
    return Path(root.obj or ".")
