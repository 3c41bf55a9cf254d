"""Run a plan for a cluster, one command after another, and stop at the first that fails: what was done stays done.

Argument lists go to the programs as they are; no shell reads them. Files of the plan are written before anything runs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mainspring.deliver.clusters.plan import Command, Plan
from mainspring.flows.render import Dump, Tree
from mainspring.kernel.errors import MainspringError


class CommandFailed(MainspringError):
    """A program that was run for a cluster said no; what ran before it is done."""

    code = "command.failed"
    exit_code = 1


class Runner(Protocol):
    """Runs programs."""

    def find(self, program: str) -> None:
        """Raise an error that says how to come by the program, if it is not here."""

    def run(self, argv: tuple[str, ...]) -> int:
        """Run a program with these arguments, its output going to the caller's; return its exit code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionPorts:
    """What running a plan needs from outside. tree: the folder that the plan's files and commands are relative to."""

    runner: Runner
    tree: Tree
    dump: Dump
    progress: Callable[[str], None]


def provision(plan: Plan, ports: ProvisionPorts) -> int:
    """Run the plan; return how many commands ran. Raises `CommandFailed` with what is left to do.

    Every program is looked for first: a plan that cannot end is not begun.
    """
    for program in dict.fromkeys(command.argv[0] for command in plan.commands):
        ports.runner.find(program)
    for path, content in plan.files.items():
        ports.tree.write(path, ports.dump(content).encode("utf-8"))
        ports.progress(f"wrote {path}")
    for at, command in enumerate(plan.commands):
        ports.progress(f"{at + 1} of {len(plan.commands)}: {command.what}")
        code = ports.runner.run(command.argv)
        if code:
            raise _failed(command, code, plan, at)
    return len(plan.commands)


def _failed(command: Command, code: int, plan: Plan, at: int) -> CommandFailed:
    left = len(plan.commands) - at
    rest = f"; {at} done, {left} left, beginning with this one" if len(plan.commands) > 1 else ""
    return CommandFailed(f"{command.argv[0]} ended with {code} ({command.what}){rest}", fix=command.fix)
