"""From a project to the settings that the layers take; `lower_sections` does it, a function a section."""

from mainspring.data.checks import Problem, find_problems
from mainspring.data.views import Types
from mainspring.project.load import Project
from mainspring.project.mistakes import InvalidProject, Mistake
from mainspring.project.settings import Settings


def lower(project: Project, types: Types | None = None) -> Settings:
    """Return the project's settings; with column types (source -> column -> type) also judge what needs them."""
    if types is not None:
        problems = tuple(find_problems(project.settings.definitions, types))
        if problems:
            raise InvalidProject(project.file.name, [_placed(problem, project) for problem in problems])
    return project.settings


def _placed(problem: Problem, project: Project) -> Mistake:
    path = tuple(problem.path.split("."))
    return Mistake(path=path, line=project.locate(path), what=problem.what, code=problem.code, fix=problem.fix)
