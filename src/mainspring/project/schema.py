"""The project file's JSON schema: for editors, for the reference page and for `did you mean`."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from mainspring.project.mistakes import Path
from mainspring.project.models import ProjectFile

HINT = "# yaml-language-server: $schema=mainspring.schema.json\n"

_WORDS = {
    "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "array": "a list", "object": "a mapping", "null": "nothing",
}  # fmt: skip


@cache
def project_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of `mainspring.yaml`."""
    schema = ProjectFile.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "mainspring project file"}


def keys_at(path: Path) -> set[str]:
    """Return every key that may stand in the mapping at `path`."""
    return {key for place in _places(path) for form in _forms(place) for key in form.get("properties", {})}


def wanted_at(path: Path) -> str:
    """Return in words what may stand at `path`: `text such as 6h or a list`."""
    words = [_worded(form) for place in _places(path) for form in _forms(place) if "type" in form or "const" in form]
    return " or ".join(dict.fromkeys(words)) or "something else"


def _places(path: Path) -> list[Mapping[str, Any]]:
    places: list[Mapping[str, Any]] = [project_schema()]
    for step in path:
        places = [inner for place in places for inner in _inside(place, step)]
    return places


def _worded(form: Mapping[str, Any]) -> str:
    if "const" in form:
        return f"`{form['const']}`"
    word = _WORDS.get(str(form["type"]), str(form["type"]))
    example = form.get("examples", form.get("enum", ()))[:1]
    return f"{word} such as {example[0]}" if example else word


def _forms(place: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the plain schemas that a reference or an either-or stands for."""
    if "$ref" in place:
        yield from _forms(project_schema()["$defs"][place["$ref"].rsplit("/", 1)[1]])
    for choice in (*place.get("anyOf", ()), *place.get("oneOf", ())):
        yield from _forms(choice)
    yield place


def _inside(place: Mapping[str, Any], step: str | int) -> Iterator[Any]:
    for form in _forms(place):
        if isinstance(step, int):
            if "items" in form:
                yield form["items"]
        elif step in form.get("properties", {}):
            yield form["properties"][step]
        elif isinstance(form.get("additionalProperties"), dict):
            yield form["additionalProperties"]
        else:
            yield from form.get("patternProperties", {}).values()
