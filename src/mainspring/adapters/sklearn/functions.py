"""Find a user's training function. Runs in step processes only; the name comes from the project file.

Modules of the project are imported afresh for each training, so a kept worker never runs yesterday's code.
"""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mainspring.develop.errors import FunctionNotFound

_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_EXTRAS = {"torch": "torch", "onnxscript": "torch", "lightgbm": "boost", "xgboost": "boost"}


def missing_extra(error: Exception) -> str:
    """Return what installs the library that an import did not find, or "" where none of our extras has it."""
    absent = isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS
    return f"pip install 'mainspring[{_EXTRAS[str(error.name)]}]'" if absent else ""  # type: ignore[attr-defined]


@contextmanager
def imported(name: str, root: Path) -> Iterator[Callable[..., Any]]:
    """Give the function `package.module:name`, looked for in the project's root and its `src` folder first.

    Raises `FunctionNotFound` when it cannot be imported or is not a function. The search path is put back.
    """
    if not _NAME.fullmatch(name):
        raise FunctionNotFound(f"{name[:80]!r} names no function", fix="write training.function as package.module:name")
    before = list(sys.path)
    folders = [str(root / "src"), str(root)]
    _forget(root)
    sys.path[:0] = folders
    importlib.invalidate_caches()
    try:
        yield _load(name)
    finally:
        _forget(root)
        sys.path[:] = [path for path in sys.path if path not in folders or path in before]


def _load(name: str) -> Callable[..., Any]:
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise FunctionNotFound(
            f"module {module_name} cannot be imported: {type(error).__name__}: {error}",
            fix=missing_extra(error)
            or "it must import from the project's folder or its src folder; check training.function",
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        names = ", ".join(sorted(key for key, value in vars(module).items() if callable(value) and key[0] != "_")[:8])
        raise FunctionNotFound(f"{module_name} has no function {function_name!r}", fix=f"it has: {names or 'none'}")
    return function  # type: ignore[no-any-return]


def _forget(root: Path) -> None:
    inside = root.resolve()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or not str(file).startswith(str(inside)):  # most of a thousand modules; paths are slow
            continue
        if name.partition(".")[0] not in ("mainspring", "__main__") and _is_source(Path(file), inside):
            del sys.modules[name]


def _is_source(file: Path, root: Path) -> bool:
    if not file.is_relative_to(root):
        return False
    parts = file.relative_to(root).parts
    return "site-packages" not in parts and not parts[0].startswith(".") and parts[0] not in ("tests", "venv")
