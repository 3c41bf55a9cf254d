"""Write a new project from a template: all of it, or nothing."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from difflib import get_close_matches
from json import dumps
from pathlib import Path

from mainspring.kernel.errors import MainspringError
from mainspring.kernel.files import replace
from mainspring.kernel.ids import checked_name
from mainspring.project.load import FILE_NAME
from mainspring.project.schema import HINT, project_schema

TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"^project: .*$", re.MULTILINE)
_IGNORED = ".mainspring/\n__pycache__/\n"
_SKIPPED = ("__pycache__", ".mypy_cache", ".ruff_cache")


class NotEmpty(MainspringError):
    """A new project's folder already holds something."""

    code = "project.not_empty"


class NoTemplate(MainspringError):
    """No template of that name."""

    code = "project.no_template"


def templates() -> tuple[str, ...]:
    """Return the names of the templates."""
    return tuple(sorted(path.parent.name for path in TEMPLATES.glob(f"*/{FILE_NAME}")))


def create(target: Path, *, template: str = "flights", name: str = "") -> list[str]:
    """Write a project called `name` (else as its folder) to `target`; return its files' paths within it.

    The folder may exist if it is empty. Raises NotEmpty, NoTemplate or InvalidValue and leaves everything as it was.
    """
    target = target.absolute()
    name = checked_name(name or _named_after(target), "project")
    if template not in templates():
        near = get_close_matches(template, templates(), n=1) or templates()
        raise NoTemplate(f"no template is called {template!r}", fix=f"use one of: {', '.join(near)}")
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise NotEmpty(f"{target.name} is not an empty folder", fix="name a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    try:
        _write(beside, TEMPLATES / template, name)
        beside.chmod(0o755)
        if target.is_dir():
            target.rmdir()
        replace(beside, target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return sorted(path.relative_to(target).as_posix() for path in _files(target))


def _named_after(target: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", target.name.lower()).strip("-")


def _write(place: Path, template: Path, name: str) -> None:
    for source in _files(template):
        copy = place / source.relative_to(template)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    file = place / FILE_NAME
    text = _NAME.sub(f"project: {name}", file.read_text(encoding="utf-8"), count=1)
    file.write_text(text if text.startswith(HINT) else HINT + text, encoding="utf-8", newline="\n")
    schema = dumps(project_schema(), indent=2, ensure_ascii=True) + "\n"
    (place / "mainspring.schema.json").write_text(schema, encoding="utf-8", newline="\n")
    ignored = place / ".gitignore"
    if not ignored.exists():
        ignored.write_text(_IGNORED, encoding="utf-8", newline="\n")


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not any(part in _SKIPPED for part in path.parts):
            yield path
