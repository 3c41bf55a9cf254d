"""Is what the project file names there: the files of its sources, the function that trains? Nothing is imported."""

import ast
from collections.abc import Iterator
from pathlib import Path

from mainspring.project.load import Project
from mainspring.project.mistakes import InvalidProject, Mistake
from mainspring.project.mistakes import Path as DocumentPath


def check_presence(project: Project) -> None:
    """Raise InvalidProject with everything that the file names and that is not there."""
    mistakes = list(_absent(project))
    if mistakes:
        raise InvalidProject(project.file.name, mistakes)


def _absent(project: Project) -> Iterator[Mistake]:
    for source in project.settings.definitions.sources:
        if not (project.root / source.uri).is_file():
            path = ("data", "sources", source.name, "uri")
            yield _mistake(project, path, f"there is no file {source.uri}", "make it, or correct the path")
    what = _without_function(project)
    if what:
        fix = "write the function below src/, or correct the name"
        yield _mistake(project, ("training", "function"), what, fix)


def _mistake(project: Project, path: DocumentPath, what: str, fix: str) -> Mistake:
    return Mistake(path=path, line=project.locate(path), what=what, code="project.reference", fix=fix)


def _without_function(project: Project) -> str:
    """Return what is wrong with the training function's place, or ""."""
    module, _, name = project.settings.training.function.partition(":")
    relative = Path(*module.split("."))
    places = [base / tail for base in (project.root / "src", project.root) for tail in _files(relative)]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        return f"there is no module {module} below src/ or the project's folder"
    try:
        tree = ast.parse(file.read_bytes(), filename=file.name)
    except (SyntaxError, ValueError) as error:
        return f"{file.relative_to(project.root).as_posix()} is not Python: {error}"
    return "" if name in _names(tree) else f"{module} has no function {name}"


def _files(relative: Path) -> tuple[Path, Path]:
    return relative.with_suffix(".py"), relative / "__init__.py"


def _names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return names
