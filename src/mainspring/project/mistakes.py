"""What is wrong with a project file: every mistake at once, each with its line, path, code and way out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from mainspring.kernel.errors import MainspringError

Path = tuple[str | int, ...]

CODES: Mapping[str, str] = {
    "project.yaml": "The file is not the plain YAML 1.2 that a project file may be.",
    "project.duplicate": "Something is defined twice: a key, a column or a feature.",
    "project.unknown": "A key that the project file does not have, often a misspelt one.",
    "project.missing": "A required key is absent.",
    "project.type": "A value has the wrong type; nothing is ever converted silently.",
    "project.value": "A value is of the right type but cannot be: out of range, misspelt or contradictory.",
    "project.name": "A name breaks the rules for names.",
    "project.path": "A path is absolute, leaves the project or is not a local file.",
    "project.secret": "A secret stands in the file; name it by a `secret://` reference.",
    "project.reference": "A section names something that no other section defines.",
    "project.unsupported": "A setting that this version does not have yet.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One mistake: where it is (`path` in the document, `line` in the file), what it is, how to put it right."""

    path: Path
    line: int
    what: str
    code: str
    fix: str

    def text(self, file: str) -> str:
        """Return `file:line: path: what [code]` and the fix on a second line."""
        where = f"{file}:{self.line}: " + (f"{path_text(self.path)}: " if self.path else "")
        what = "; ".join(line.strip() for line in self.what.splitlines() if line.strip(" ^"))
        return f"{where}{what} [{self.code}]\n  fix: {self.fix}"


class InvalidProject(MainspringError):
    """The project file has mistakes; `mistakes` holds all of them in file order."""

    code: ClassVar[str] = "project.invalid"

    def __init__(self, file: str, mistakes: Sequence[Mistake]) -> None:
        self.file = file
        self.mistakes = tuple(sorted(mistakes, key=lambda m: (m.line, tuple(map(str, m.path)))))
        count = len(self.mistakes)
        super().__init__(
            f"{file} has {count} mistake{'' if count == 1 else 's'}", fix="correct the lines named and run again"
        )

    def to_json(self) -> list[dict[str, str | int]]:
        """Return the mistakes as plain JSON, in file order."""
        return [
            {"line": m.line, "path": path_text(m.path), "what": m.what, "code": m.code, "fix": m.fix}
            for m in self.mistakes
        ]

    def __str__(self) -> str:
        return "\n".join(mistake.text(self.file) for mistake in self.mistakes)


def path_text(path: Path) -> str:
    """Return `features.weather.columns[1]` for a path, on one line whatever its keys hold."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
