"""Run programs of the PATH in a folder. Their output is the caller's, or goes to stderr where stdout is for JSON."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from mainspring.kernel.errors import NotFound

_MADE_BY: Mapping[str, str] = {
    "gcloud": "the Google Cloud CLI, with its component gke-gcloud-auth-plugin", "az": "the Azure CLI",
    "aws": "the AWS CLI", "eksctl": "eksctl", "kind": "kind", "kubectl": "kubectl", "helm": "Helm 3.14 or newer",
}  # fmt: skip


class CommandMissing(NotFound):
    """A program that is to be run is not on the PATH."""

    code = "command.missing"


class Runner:
    """Runs programs in `folder`. quiet: send what they print to stderr."""

    def __init__(self, folder: Path, *, quiet: bool = False) -> None:
        self._folder, self._quiet = folder, quiet

    def find(self, program: str) -> None:
        """Raise `CommandMissing` if the program is not on the PATH."""
        self._place(program)

    def run(self, argv: tuple[str, ...]) -> int:
        """Run argv[0] from the PATH with the rest as its arguments; return its exit code."""
        done = subprocess.run(
            [self._place(argv[0]), *argv[1:]], cwd=self._folder, stdin=subprocess.DEVNULL,
            stdout=sys.stderr if self._quiet else None, check=False,
        )  # fmt: skip
        return done.returncode

    def _place(self, program: str) -> str:
        found = shutil.which(program)  # on Windows also .cmd, as gcloud and az are
        if found is None:
            made_by = _MADE_BY.get(program, program)
            raise CommandMissing(
                f"{program} is not on the PATH", fix=f"install {made_by}, or run the commands elsewhere"
            )
        return found
