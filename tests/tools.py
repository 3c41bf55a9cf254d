"""Find a real tool for a test, and install it first where it is missing: `.ci/tools NAME`."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "BENTOML_DO_NOT_TRACK": "True"}


@cache
def command(name: str) -> str:
    """Return the path of a command that Debian packages, such as `curl`."""
    found = shutil.which(name)
    if found is None:
        _install(name)
        found = shutil.which(name)
    assert found is not None, f".ci/tools {name} did not give a command"
    return found


@cache
def environment(name: str) -> Path:
    """Return the folder of the environment that `requirements/tools/NAME.*` describes."""
    _install(name)
    return ROOT / ".venvs" / name


def python(name: str) -> str:
    """Return the Python of an environment."""
    return str(environment(name) / "bin" / "python")


def program(name: str, where: str = "delivery") -> str:
    """Return the path of a program that an environment carries, such as `helm` or `actionlint`."""
    return str(environment(where) / "bin" / name)


@cache
def containers() -> Mapping[str, str]:
    """Return the environment to run `podman` in; the base image `python:3.11-slim` is there."""
    _install("python-image")
    return {**quiet(), "CONTAINERS_CONF": str(ROOT / ".venvs" / "containers.conf")}


def quiet() -> Mapping[str, str]:
    """Return this process's environment without what would reach a tool's own environment, or have it call home."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COVERAGE", "PYTEST"))}
    return {**kept, **_QUIET}


def _install(name: str) -> None:
    done = subprocess.run([str(ROOT / ".ci" / "tools"), name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f".ci/tools {name}: {done.stderr[-2000:]}"
