"""Every command: its name, the module and attribute that hold it, and the line that `--help` shows."""

from collections.abc import Mapping

COMMANDS: Mapping[str, tuple[str, str]] = {
    "check": ("mainspring.entry.cli.check:check", "Check the project file, its code and its data."),
    "init": ("mainspring.entry.cli.init:init", "Write a new project from a template."),
    "schema": ("mainspring.entry.cli.schema:schema", "Print the JSON schema of the project file."),
    "step": ("mainspring.entry.cli.step:step", "Run one step of a run as a process."),
}
