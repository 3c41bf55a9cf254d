"""`workspace.yaml`: the projects that one server answers for. Read as strictly as a project file.

Each project keeps its own release files, log, models and online store in its own folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from mainspring.project.fields import Section, shown
from mainspring.project.load import NoProject
from mainspring.project.mistakes import InvalidProject, Mistake
from mainspring.project.reader import MAX_BYTES, Document, read_document

FILE_NAME = "workspace.yaml"
_MOST = 100
_FIX = "for example:\n    version: 1\n    projects: [flights, payments]"


class WorkspaceFile(Section):
    """The projects that share a server."""

    version: Literal[1] = Field(description="Version of this file's form.")
    projects: tuple[str, ...] = Field(
        min_length=1,
        max_length=_MOST,
        description="Folders of the projects, relative to this file and inside its folder.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceOf:
    """A workspace file that is right. root: its folder. projects: the projects' folders, in the file's order."""

    root: Path
    projects: Sequence[Path]


def is_workspace(root: Path) -> bool:
    """Tell whether a folder holds a workspace file."""
    return (root / FILE_NAME).is_file()


def load_workspace(root: Path) -> WorkspaceOf:
    """Return the workspace in a folder; raise `InvalidProject` with every mistake, `NoProject` without a file."""
    file = root / FILE_NAME
    try:
        with file.open("rb") as stream:
            document = read_document(stream.read(MAX_BYTES + 1))
    except OSError as error:
        raise NoProject(f"{FILE_NAME} cannot be read: {error.strerror}", fix="check the folder") from error
    mistakes, folders = list(document.mistakes), list[Path]()
    try:
        read = WorkspaceFile.model_validate(document.value)
    except ValidationError as error:
        mistakes += [_mistake(found, document) for found in error.errors(include_url=False)] if not mistakes else []
    else:
        folders = _folders(root.resolve(), read.projects, document, mistakes)
    if mistakes:
        raise InvalidProject(FILE_NAME, mistakes)
    return WorkspaceOf(root=root.resolve(), projects=tuple(folders))


@cache
def workspace_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of `workspace.yaml`."""
    schema = WorkspaceFile.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "mainspring workspace file"}


def _folders(root: Path, names: Sequence[str], document: Document, mistakes: list[Mistake]) -> list[Path]:
    """Return the folders that `names` mean; note those that leave the workspace, are absent or stand twice."""
    folders: list[Path] = []
    for place, name in enumerate(names):
        pure = PurePosixPath(name)
        folder = (root / pure).resolve()
        what, code, fix = "", "project.path", "name a folder inside this one, with /"
        if pure.is_absolute() or "\\" in name or ":" in name or not folder.is_relative_to(root) or folder == root:
            what = f"{shown(name)} is not a folder inside the workspace"
        elif not folder.is_dir():
            what, code, fix = (
                f"there is no folder {shown(name)}",
                "project.reference",
                "correct it, or make the project",
            )
        elif folder in folders:
            what, code, fix = f"{shown(name)} stands twice", "project.duplicate", "name each project once"
        if what:
            path = ("projects", place)
            mistakes.append(Mistake(path=path, line=document.locate(path), what=what, code=code, fix=fix))
        folders.append(folder)
    return folders


def _mistake(error: ErrorDetails, document: Document) -> Mistake:
    path = tuple(error["loc"])
    codes = {"extra_forbidden": "project.unknown", "missing": "project.missing"}
    code = codes.get(error["type"], "project.type" if error["type"].endswith("_type") else "project.value")
    return Mistake(path=path, line=document.locate(path), what=error["msg"], code=code, fix=_FIX)
