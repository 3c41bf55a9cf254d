"""The command line: a command parses, calls one function of app or flows, and presents what it returns.

`COMMANDS` (in `commands`) is the table of them: adding a command is one line there. A command's module is imported
only when it is called, so `mainspring --help` costs little more than Python itself.
"""

from mainspring.entry.cli.group import main

__all__ = ["main"]
