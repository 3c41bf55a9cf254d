"""Change single values of a project file and nothing else of its text: comments, order and style stay.

The change is made where the parser says that the value stands, and counts only if the file then says what it said
before, but for that value. Used by pipelines, which bring in image digests without any text tool.
"""

from collections.abc import Mapping

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node

from mainspring.kernel.errors import InvalidValue, NotFound
from mainspring.project.reader import read_document


def set_values(text: str, path: tuple[str, ...], values: Mapping[str, str]) -> str:
    """Return `text` with keys of the mapping at `path` set to plain texts; a key that is not there is put first.

    Raises `NotFound` where there is no such mapping, `InvalidValue` for a value that would need quotes.
    """
    for key, value in values.items():
        wanted = _with(read_document(text.encode()).value, path, key, value)
        text = _set(text, path, key, value)
        if read_document(text.encode()).value != wanted:
            raise InvalidValue(f"{'.'.join((*path, key))} cannot be set to {value[:80]!r}", fix="edit the file by hand")
    return text


def _set(text: str, path: tuple[str, ...], key: str, value: str) -> str:
    mapping = _mapping(text, path)
    for named, old in mapping.value:
        if named.value == key:
            return text[: old.start_mark.index] + value + text[old.end_mark.index :]
    if not mapping.value:
        return f"{text[: mapping.start_mark.index]}{{{key}: {value}}}{text[mapping.end_mark.index :]}"
    at = mapping.value[0][0].start_mark
    gap = ", " if mapping.flow_style else "\n" + " " * at.column
    return f"{text[: at.index]}{key}: {value}{gap}{text[at.index :]}"


def _mapping(text: str, path: tuple[str, ...]) -> MappingNode:
    node: Node | None = YAML(typ="safe", pure=True).compose(text)
    for part in path:
        items = node.value if isinstance(node, MappingNode) else []
        node = next((item for key, item in items if key.value == part), None)
    if not isinstance(node, MappingNode):
        raise NotFound(f"the project file has no {'.'.join(path)}", fix="add it, or correct the name")
    return node


def _with(value: object, path: tuple[str, ...], key: str, to: str) -> object:
    """Return the document's value with one text in it."""
    items = dict(value) if isinstance(value, dict) else {}
    if not path:
        return {**items, key: to}
    return {**items, path[0]: _with(items.get(path[0]), path[1:], key, to)}
