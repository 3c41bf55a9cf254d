"""Check a read document against the models: every mistake with its path, and what is left when the bad parts go.

One bad feature must not hide another section's mistake. So the parts that failed are taken out and the rest is
checked again; `Checked.known` still holds the names of what was taken out, for others may refer to it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from mainspring.project.fields import shown
from mainspring.project.gate_models import KINDS
from mainspring.project.mistakes import Mistake, Path, path_text
from mainspring.project.models import ProjectFile
from mainspring.project.reader import Document, broken
from mainspring.project.schema import keys_at, wanted_at

_COLLECTIONS: tuple[Path, ...] = (
    ("data", "sources"),
    ("data", "expectations"),
    ("features",),
    ("gates",),
    ("environments",),
)
_TYPES = (
    "string_type", "int_type", "float_type", "bool_type", "tuple_type", "dict_type", "model_type",
    "model_attributes_type", "int_from_float", "project_form",
)  # fmt: skip
_LIMITS = {
    "greater_than_equal": ("at least", "ge"), "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"), "less_than": ("below", "lt"),
}  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Checked:
    """What validation found.

    sections: validated top-level fields. mistakes: what was wrong. known: names a collection, bad ones included.
    gates: places in the file of the gates that are right.
    """

    sections: dict[str, Any] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    known: dict[str, tuple[str, ...]] = field(default_factory=dict)
    gates: tuple[int, ...] = ()

    @property
    def whole(self) -> bool:
        """Tell whether every section is right."""
        return not self.mistakes and len(self.sections) == len(ProjectFile.model_fields)


def check_models(document: Document, hidden: Iterable[Path] = ()) -> Checked:
    """Validate `document.value`; values at `hidden` paths are never shown and their other mistakes left out."""
    value = document.value
    checked = Checked()
    if not isinstance(value, dict):
        if not document.mistakes:
            what, fix = "the file is not a mapping of sections", "start from `mainspring init`"
            checked.mistakes.append(Mistake(path=(), line=1, what=what, code="project.type", fix=fix))
        return checked
    checked.known = {
        "sources": _names(value, "data", "sources"), "features": _names(value, "features"),
        "environments": _names(value, "environments"),
    }  # fmt: skip
    errors = _errors(value)
    silent = {mistake.path for mistake in document.mistakes} | set(hidden)
    checked.mistakes = _unique(_mistake(error, document) for error in errors if not _quiet(error, value, silent))
    checked.sections = _usable(value, errors)
    bad = {path[1] for path in (_where(error, value) for error in errors) if path[:1] == ("gates",) and len(path) > 1}
    gates = value.get("gates")
    checked.gates = tuple(index for index in range(len(gates) if isinstance(gates, tuple) else 0) if index not in bad)
    return checked


def _errors(value: Mapping[str, Any]) -> list[ErrorDetails]:
    try:
        ProjectFile.model_validate(value)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def _usable(value: Mapping[str, Any], errors: list[ErrorDetails]) -> dict[str, Any]:
    """Return the sections that are right once every part with an error is left out."""
    rest: dict[str, Any] = dict(value)
    for path in sorted(
        {_part(_where(error, value)) for error in errors}, key=lambda p: tuple(map(str, p)), reverse=True
    ):
        _remove(rest, path)
    sections: dict[str, Any] = {}
    for name, info in ProjectFile.model_fields.items():
        if name not in rest:
            if not info.is_required() and name not in value:
                sections[name] = info.get_default(call_default_factory=True)
            continue
        try:
            sections[name] = _adapter(name).validate_python(rest[name])
        except ValidationError:
            continue
    return sections


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    info = ProjectFile.model_fields[name]
    return TypeAdapter[Any](info.rebuild_annotation())


def _part(path: Path) -> Path:
    """Return the smallest part that can be left out to be rid of an error at `path`."""
    for collection in _COLLECTIONS:
        if path[: len(collection)] == collection and len(path) > len(collection):
            return path[: len(collection) + 1]
    return path[:1]


def _remove(rest: dict[str, Any], path: Path) -> None:
    here: Any = rest
    for step in path[:-1]:
        inner = here.get(step)
        if not isinstance(inner, dict | tuple):
            return
        here[step] = dict(inner) if isinstance(inner, dict) else dict(enumerate(inner))
        here = here[step]
    if path:
        here.pop(path[-1], None)
    if path[:1] == ("gates",) and isinstance(rest.get("gates"), dict):
        rest["gates"] = tuple(rest["gates"][index] for index in sorted(rest["gates"]))


def _where(error: ErrorDetails, value: Any) -> Path:  # noqa: ANN401 - any document
    """Return the document path of an error: tags of either-or fields are no part of it."""
    path: list[str | int] = []
    here = value
    for index, step in enumerate(error["loc"]):
        last = index == len(error["loc"]) - 1
        if _holds(here, step):
            here = here[step]
        elif not (last and error["type"] == "missing"):
            continue
        path.append(step)
    return tuple(path)


def _holds(here: Any, step: str | int) -> bool:  # noqa: ANN401 - any document
    if isinstance(here, dict):
        return step in here
    return isinstance(here, tuple) and isinstance(step, int) and step < len(here)


def _quiet(error: ErrorDetails, value: Any, silent: set[Path]) -> bool:  # noqa: ANN401 - any document
    if broken(error.get("input")):
        return True
    path = _where(error, value)
    return error["type"] != "missing" and any(path[: len(known)] == known for known in silent if known)


def _mistake(error: ErrorDetails, document: Document) -> Mistake:
    path = _where(error, document.value)
    what, code, fix = _told(error, path)
    return Mistake(path=path, line=document.locate(path), what=what, code=code, fix=fix)


def _told(error: ErrorDetails, path: Path) -> tuple[str, str, str]:
    """Return (what, code, fix) of one validation error."""
    kind, context = error["type"], error.get("ctx", {})
    given = error.get("input")
    if kind == "project_mistake":
        return context["what"], context["code"], context["fix"]
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "missing":
        return f"{path[-1]} is missing", "project.missing", f"add `{path[-1]}`"
    if kind == "project_gate":
        return _no_gate(given)
    if kind in _TYPES:
        return _wrong(given, wanted_at(path))
    return _value(kind, context, given)


def _value(kind: str, context: Mapping[str, Any], given: object) -> tuple[str, str, str]:
    if kind == "literal_error":
        return _choice(str(context["expected"]), given)
    if kind in _LIMITS:
        word, bound = _LIMITS[kind]
        return f"{shown(given)} is out of range", "project.value", f"write a number {word} {context[bound]:g}"
    if kind == "too_short":
        return "nothing is listed", "project.value", f"list at least {context['min_length']}"
    if kind == "string_too_long":
        return f"{shown(given)} is too long", "project.value", f"write at most {context['max_length']} characters"
    return f"{shown(given)} cannot be", "project.value", "see docs/project-file.md for what may stand here"


def _no_gate(given: object) -> tuple[str, str, str]:
    keys = list(given) if isinstance(given, dict) else []
    near = get_close_matches(str(keys[0]), KINDS, n=1) if len(keys) == 1 else []
    fix = f"did you mean `{near[0]}`?" if near else f"write one of {', '.join(KINDS)} as `- latency: {{p99: 5ms}}`"
    return f"{shown(given)} is not one gate", "project.value", fix


def _wrong(given: object, wanted: str) -> tuple[str, str, str]:
    what = "has no value" if given is None else f"{shown(given)} has the wrong type"
    return what, "project.type", f"write {wanted}"


def _choice(expected: str, given: object) -> tuple[str, str, str]:
    choices = [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]
    near = get_close_matches(str(given), choices, n=1)
    fix = f"did you mean `{near[0]}`? " if near else ""
    return f"{shown(given)} is not a choice here", "project.value", f"{fix}write one of: {', '.join(choices)}"


def _unknown_key(path: Path) -> tuple[str, str, str]:
    choices = sorted(keys_at(path[:-1]))
    near = get_close_matches(str(path[-1]), choices, n=1, cutoff=0.6)
    fix = f"did you mean `{near[0]}`?" if near else f"use one of: {', '.join(choices)}"
    return f"there is no key {shown(path[-1])} in {path_text(path[:-1]) or 'a project file'}", "project.unknown", fix


def _unique(mistakes: Iterable[Mistake]) -> list[Mistake]:
    first: dict[Path, Mistake] = {}
    for mistake in mistakes:
        first.setdefault(mistake.path, mistake)
    return list(first.values())


def _names(value: Any, *path: str) -> tuple[str, ...]:  # noqa: ANN401 - any document
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return tuple(value) if isinstance(value, dict) else ()
