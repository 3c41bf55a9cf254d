"""Load a project: read strictly, check everything, say every mistake at once with its line.

Start at `load`. The file's folder is the project's root; nothing outside it is ever named.
"""

from dataclasses import dataclass
from pathlib import Path

from mainspring.kernel.digests import digest_bytes
from mainspring.kernel.errors import MainspringError
from mainspring.project.lower_sections import survey
from mainspring.project.mistakes import InvalidProject, Mistake
from mainspring.project.mistakes import Path as DocumentPath
from mainspring.project.reader import MAX_BYTES, Document, read_document
from mainspring.project.secrets import inline_secrets
from mainspring.project.settings import Settings
from mainspring.project.validate import Checked, check_models

FILE_NAME = "mainspring.yaml"


class NoProject(MainspringError):
    """There is no project file where one was looked for."""

    code = "project.none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project file that is right.

    root: the folder it governs. file: its path. digest: of its bytes, named by runs and rendered files.
    """

    root: Path
    file: Path
    digest: str
    document: Document
    settings: Settings

    def locate(self, path: DocumentPath) -> int:
        """Return the line of a path such as ("features", "weather", "by")."""
        return self.document.locate(path)


def load(path: Path) -> Project:
    """Return the project in `path` (a folder with mainspring.yaml, or the file).

    Raises NoProject, or InvalidProject with every mistake.
    """
    file = find(path)
    data = _bytes(file)
    document = read_document(data)
    secrets = tuple(inline_secrets(document.value))
    checked = check_models(document, hidden=secrets)
    settings, found = survey(checked)
    mistakes = [
        *document.mistakes, *checked.mistakes, *(_secret(path, document) for path in secrets),
        *_outside(checked, document, file.parent),
        *(_between(finding, document) for finding in found.mistakes),
    ]  # fmt: skip
    if mistakes or settings is None:
        raise InvalidProject(file.name, mistakes)
    return Project(root=file.parent, file=file, digest=digest_bytes(data), document=document, settings=settings)


def find(path: Path) -> Path:
    """Return the project file that `path` names; raise NoProject if there is none."""
    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        raise NoProject(
            f"there is no {FILE_NAME} in {path}", fix="go to a project, name it with -C, or mainspring init"
        )
    return file


def _bytes(file: Path) -> bytes:
    """Read one byte more than may be read, so that a huge file costs nothing."""
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise NoProject(f"{file.name} cannot be read: {error.strerror}", fix="check its permissions") from error


def _between(finding: tuple[DocumentPath, str, str, str], document: Document) -> Mistake:
    path, what, fix, code = finding
    return Mistake(path=path, line=document.locate(path), what=what, code=code, fix=fix)


def _secret(path: DocumentPath, document: Document) -> Mistake:
    fix = "put it in the environment and write secret://env/NAME; replace it if it was ever committed"
    what = "the value looks like a secret"
    return Mistake(path=path, line=document.locate(path), what=what, code="project.secret", fix=fix)


def _outside(checked: Checked, document: Document, root: Path) -> list[Mistake]:
    """Refuse sources whose file, through symbolic links, lies outside the project."""
    found = []
    data = checked.sections.get("data")
    for name, source in data.sources.items() if data is not None else ():
        real = (root / source.uri).resolve()
        if not real.is_relative_to(root.resolve()):
            path = ("data", "sources", name, "uri")
            what, fix = f"{source.uri!r} leaves the project through a symbolic link", "copy the file into the project"
            found.append(Mistake(path=path, line=document.locate(path), what=what, code="project.path", fix=fix))
    return found
