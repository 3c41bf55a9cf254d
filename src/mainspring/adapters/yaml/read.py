"""Read a repository's files for the policy lint: YAML with the line of every value, and scripts as text.

Bounded: what is too large or too many is told, not read. Nothing is executed; tags build nothing.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode  # type: ignore[import-untyped]

from mainspring.kernel.errors import InvalidValue
from mainspring.security.lint.sources import Kind, Source
from mainspring.security.lint.sources import Path as Place

MAX_FILES = 5_000
MAX_BYTES = 2 << 20
_MAX_DEPTH = 100
_MAX_VALUES = 200_000
_LONGEST_INTEGER = 15  # digits that a float still holds
_SKIPPED = {".git", ".mainspring", ".venv", "venv", "node_modules", "__pycache__", ".venvs", "site-packages"}
_YAML = {".yaml", ".yml"}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml composes twelve times as fast; it builds nothing
_COMPOSE = re.compile(r"(docker-|podman-)?compose([.-][a-z0-9_.-]+)?\.ya?ml")
_PIPELINES = {".gitlab-ci.yml", ".gitlab-ci.yaml", "action.yml", "action.yaml"}


def read_tree(root: Path) -> list[Source]:
    """Return every file below `root` that the lint has rules for, by path. A single file may be named as well."""
    if root.is_file():
        return [_read(root, root.name)] if kind_of(root) else []
    if not root.is_dir():
        raise InvalidValue(f"{root} is neither a file nor a folder", fix="name what to check")
    found: list[Source] = []
    for path in _files(root):
        if len(found) >= MAX_FILES:
            raise InvalidValue(f"more than {MAX_FILES} files to check", fix="name a smaller folder")
        found.append(_read(path, path.relative_to(root).as_posix()))
    return found


def kind_of(path: Path) -> Kind | None:
    """Return how a file is read, or None for one that the lint does not know."""
    name = path.name.lower()
    if name.startswith("dockerfile") or name.endswith((".dockerfile", "containerfile")):
        return "dockerfile"
    if path.suffix in _YAML:
        pipeline = path.name in _PIPELINES or path.parent.as_posix().endswith(".github/workflows")
        if _COMPOSE.fullmatch(name):
            return "compose"
        return "workflow" if pipeline else "kubernetes"
    if path.suffix == ".sh":
        return "script"
    return "prose" if path.suffix == ".md" else None


def _files(root: Path) -> Iterator[Path]:
    pending = [root]
    while pending:
        folder = pending.pop()
        for path in sorted(folder.iterdir()):
            if path.is_symlink():
                continue
            if path.is_dir():
                if path.name not in _SKIPPED and not _is_chart_templates(path):
                    pending.append(path)
            elif kind_of(path) and path.is_file():  # a pipe would never end
                yield path


def _is_chart_templates(path: Path) -> bool:
    """Tell whether a folder holds a chart's templates: they are judged once rendered, for they are no YAML yet."""
    return path.name == "templates" and (path.parent / "Chart.yaml").is_file()


def _read(path: Path, name: str) -> Source:
    kind = kind_of(path) or "prose"
    if path.stat().st_size > MAX_BYTES:
        return Source(path=name, kind=kind, text="", failed=f"more than {MAX_BYTES} bytes")
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        return Source(path=name, kind=kind, text="", failed=f"not UTF-8 text: {type(error).__name__}")
    return read_text(name, kind, text)


def read_text(name: str, kind: Kind, text: str) -> Source:
    """Return one file's text as the lint sees it."""
    if kind not in ("kubernetes", "workflow", "compose"):
        return Source(path=name, kind=kind, text=text)
    documents: list[Any] = []
    lines: dict[tuple[int, Place], int] = {}
    try:
        for node in yaml.compose_all(text, Loader=_LOADER):
            reader = _Reader()
            whole = reader.plain(node, 0)
            for document, inner in _opened(whole, node):
                _place(inner, (), len(documents), lines)
                documents.append(document)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:160]
        return Source(path=name, kind=kind, text=text, failed=reason or type(error).__name__)
    return Source(path=name, kind=kind, text=text, documents=documents, lines=lines)


class _Reader:
    """Turns nodes into plain values; counts them, for an alias may stand for many."""

    def __init__(self) -> None:
        self._left = _MAX_VALUES

    def plain(self, node: Node | None, depth: int) -> Any:  # noqa: ANN401 - any YAML value
        """Return the value: scalars by the core schema's few types, everything else as text."""
        self._left -= 1
        if depth > _MAX_DEPTH or self._left < 0:
            raise ValueError(f"nested more than {_MAX_DEPTH} deep, or more than {_MAX_VALUES} values")
        if isinstance(node, SequenceNode):
            return [self.plain(item, depth + 1) for item in node.value]
        if isinstance(node, MappingNode):
            return self._mapping(node, depth)
        return _scalar(node) if isinstance(node, ScalarNode) else None

    def _mapping(self, node: MappingNode, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in node.value:
            name = str(key.value)
            if name in found:
                raise ValueError(f"line {key.start_mark.line + 1}: the key {name[:60]!r} is given twice")
            found[name] = self.plain(item, depth + 1)
        return found


_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


def _scalar(node: ScalarNode) -> Any:  # noqa: ANN401 - any YAML scalar
    if not node.style:  # plain
        text = str(node.value)
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        if text.lstrip("-").isdigit() and len(text) <= _LONGEST_INTEGER:
            return int(text)
    return str(node.value)


def _opened(document: Any, node: Node | None) -> Iterator[tuple[Any, Node | None]]:  # noqa: ANN401 - any YAML value
    """Yield (value, node) of a document, or of each item of a Kubernetes List."""
    if isinstance(document, dict) and document.get("kind") == "List" and isinstance(node, MappingNode):
        items = next((item for key, item in node.value if key.value == "items"), None)
        if isinstance(items, SequenceNode):
            yield from zip(document["items"], items.value, strict=True)
            return
    yield document, node


def _place(node: Node | None, path: Place, document: int, lines: dict[tuple[int, Place], int]) -> None:
    if node is None:
        return
    lines.setdefault((document, path), node.start_mark.line + 1)
    if isinstance(node, MappingNode):
        for key, item in node.value:
            here = (*path, str(key.value))
            lines[document, here] = key.start_mark.line + 1
            _place(item, here, document, lines)
    elif isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            _place(item, (*path, index), document, lines)
