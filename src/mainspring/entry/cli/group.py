"""The lazy command group and what holds for every command: errors, exit codes, pipes, interrupts.

Exit codes: 0 done, 1 a failed run, 2 the user's mistake, 3 a refused or rolled-back release, 75 try again,
130 interrupted, 143 and 129 ended by SIGTERM and SIGHUP.
"""

import errno
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from types import FrameType
from typing import Any

import click

from mainspring import __version__
from mainspring.entry.cli.commands import COMMANDS
from mainspring.kernel.errors import MainspringError

_INTERRUPTED = 130
_ENDING = ("SIGTERM", "SIGHUP", "SIGBREAK")  # a manager of services, a terminal that closed, a console that closed
_PIPE_CLOSED = 0
_DEBUG = "MAINSPRING_DEBUG"
_NO_ROOM = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EROFS)


class Ended(KeyboardInterrupt):
    """Somebody asked the process to end; it goes the way of Ctrl-C, so that what it started ends too. Exit code."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only when it is called."""

    def __init__(self, *, lazy: Mapping[str, tuple[str, str]], **settings: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(**settings)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None for an unknown name."""
        if cmd_name not in self.lazy:
            return None
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{attribute} is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:  # fmt: skip
        """Find the command that `args` name; suggest the nearest for a misspelt one."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in self.lazy:
            near = get_close_matches(name, self.lazy, n=1)
            hint = f"did you mean `{near[0]}`?" if near else "see mainspring --help"
            raise click.UsageError(f"no command is called {name!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their lines from the table: no module is imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.lazy[name][1]) for name in self.list_commands(ctx)])


@click.command(
    cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="One file describes a model's life; mainspring keeps it running.",
)  # fmt: skip
@click.option(
    "-C", "--project", "folder", type=click.Path(), default=".", metavar="DIR",
    help="Folder of the project, instead of this one.",
)  # fmt: skip
@click.version_option(__version__, "--version", message="mainspring %(version)s")
@click.pass_context
def group(ctx: click.Context, folder: str) -> None:
    """Remember where the project is; commands read it with `here`."""
    ctx.obj = folder


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the command's code."""
    for name in _ENDING:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # `nohup` has it ignored
            signal.signal(number, _end)
    sys.exit(run(arguments))


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends at once
    raise Ended(128 + number)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; every failure is told in words on stderr."""
    _open_closed()
    stdout = sys.stdout
    try:
        result = group.main(
            args=None if arguments is None else list(arguments), prog_name="mainspring", standalone_mode=False
        )
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):
        if sys.exc_info()[0] is SystemExit and sys.stdout is stdout:
            raise  # click replaces stdout and exits when the pipe is closed; any other exit is meant
        _close_stdout()
        return _PIPE_CLOSED
    except (KeyboardInterrupt, click.Abort) as error:
        print("interrupted", file=sys.stderr)
        why = error.__cause__ or error  # click wraps what it meets
        return int(why.args[0]) if isinstance(why, Ended) else _INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the outermost shell reports whatever is left
        return _report(error)
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _report(error: Exception) -> int:
    """Tell a failure on stderr and return its exit code."""
    if isinstance(error, click.exceptions.Exit):
        return int(error.exit_code)
    if os.environ.get(_DEBUG):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, click.ClickException):
        error.show(file=sys.stderr)
        return int(error.exit_code)
    if isinstance(error, MainspringError):
        print(error, file=sys.stderr)
        return error.exit_code
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        where = f" ({error.filename})" if error.filename else ""
        print(f"cannot write{where}: {error.strerror}", file=sys.stderr)
        print("  fix: make room, then run it again: what was done stays done", file=sys.stderr)
        if error.filename is None and not sys.stdout.isatty():
            _close_stdout()  # it may be the result that could not be written
        return 1
    first = (str(error).splitlines() or [""])[0][:300]
    print(f"unexpected {type(error).__name__}: {first}", file=sys.stderr)
    if not os.environ.get(_DEBUG):
        print("  fix: run with MAINSPRING_DEBUG=1 to see where, and report it", file=sys.stderr)
    return 1


def _open_closed() -> None:
    """Give a process that was started without stdout or stderr a place where words go."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - it lives as long as we do


def _close_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush stays quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
