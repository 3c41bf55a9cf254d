"""Build the compiled tree evaluator into the wheel where a C compiler is there; else the wheel is pure Python.

It is one C file against CPython's limited API, so one binary serves every Python from 3.11 on. Without it the server
scores with onnxruntime, gives the same answers, and says so when it loads a model. `MAINSPRING_NO_EXTENSION=1` builds a
pure wheel; CC and CFLAGS choose another compiler and add options, as for any extension of Python.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by itself: python hatch_build.py
    BuildHookInterface = object

FOLDER = Path("src/mainspring/adapters/onnx")
SOURCE = FOLDER / "_trees.c"
WINDOWS = sys.platform == "win32"
BINARY = FOLDER / ("_trees.pyd" if WINDOWS else "_trees.abi3.so")
ABI = "cp311-abi3"
_LONGEST_S = 120


def compiled(root: Path, target: Path) -> str:
    """Compile the evaluator of the project in `root` into `target`; return why that failed, or ""."""
    if os.environ.get("MAINSPRING_NO_EXTENSION"):
        return "MAINSPRING_NO_EXTENSION is set"
    with tempfile.TemporaryDirectory() as folder:  # never a half-written library where Python would load it
        made = Path(folder) / target.name
        try:
            (_with_setuptools if WINDOWS else _with_cc)(root / SOURCE, made)
            shutil.copy2(made, beside := target.with_name(f"{target.name}.tmp"))
            beside.replace(target)
        except Exception as error:  # noqa: BLE001 - whatever it is, a pure wheel serves too
            return f"{type(error).__name__}: {error}"[:500]
    return ""


def _with_cc(source: Path, target: Path) -> None:
    """Call CC, or cc: Python's own record names the compiler of the machine that Python was built on."""
    words = shlex.split(os.environ.get("CC", "")) or ["cc"]
    link = ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
    flags = ["-std=c99", "-O3", "-fPIC", *shlex.split(os.environ.get("CFLAGS", ""))]
    flags += shlex.split(os.environ.get("ARCHFLAGS", ""))  # of macOS: for which processors
    include = f"-I{sysconfig.get_path('include')}"
    command = [*words, *flags, include, *link, str(source), "-o", str(target), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{words[0]}: {(done.stderr or done.stdout).strip()[-400:]}")


def _with_setuptools(source: Path, target: Path) -> None:
    """Let setuptools find Microsoft's compiler."""
    from setuptools import Distribution, Extension  # type: ignore[import-not-found,import-untyped,unused-ignore]

    extension = Extension("_trees", [str(source)], py_limited_api=True)
    command: Any = Distribution({"name": "mainspring", "ext_modules": [extension]}).get_command_obj("build_ext")
    command.build_lib, command.build_temp = str(target.parent), str(target.parent / "objects")
    command.ensure_finalized()
    command.run()


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc,valid-type,unused-ignore]
    """What hatchling calls before it writes a wheel; an editable install keeps the binary beside its source."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and mark the wheel as made for this platform if that worked."""
        root = Path(self.root)
        why = compiled(root, root / BINARY)
        if why:
            if version == "editable":
                (root / BINARY).unlink(missing_ok=True)  # an old one would go on answering
            print(f"mainspring: pure Python, scoring trees with onnxruntime: {why}", file=sys.stderr)
            return
        if version != "editable":
            build_data["artifacts"].append(BINARY.as_posix())
            build_data["pure_python"] = False
            build_data["tag"] = f"{ABI}-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    failure = compiled(here, here / BINARY)
    print(failure or f"built {BINARY}", file=sys.stderr)
