"""A plan: commands as argument lists, in order, and the files that they read."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mainspring.deliver.render.content import Objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command. argv: the program and its arguments; no shell ever reads them. what: what it does, for people.

    fix: what to do when it fails.
    """

    argv: tuple[str, ...]
    what: str
    fix: str

    def shown(self) -> str:
        """Return the command as somebody would type it into a POSIX shell."""
        return shlex.join(self.argv)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run, in order. files: path below the project's folder -> content, written first."""

    commands: Sequence[Command]
    files: Mapping[str, Objects] = field(default_factory=dict)
