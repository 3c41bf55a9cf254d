"""Read strict YAML 1.2 into plain values with a line for every path.

Refused, because they hide what a file says: duplicate keys, tags, anchors, aliases, merge keys, directives, several
documents, tabs as indentation, other encodings than UTF-8, numbers that YAML 1.1 and 1.2 read differently.
Values are str, int, float, bool, None, dict and tuple. Works on parser events, so depth and size cost no stack.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from mainspring.project.mistakes import Mistake, Path, path_text

MAX_BYTES = 1_000_000
MAX_NODES = 10_000
MAX_DEPTH = 50
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_AMBIGUOUS = re.compile(r"[-+]?0[0-9_.]*[0-9]|0o[0-7]+|0x[0-9a-fA-F]+")
_WORDS = {"null": None, "~": None, "": None, "true": True, "false": False}
_BROKEN = object()


class Unreadable(Exception):
    """Reading stopped here; `mistake` says why."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.what)
        self.mistake = mistake


@dataclass(slots=True, kw_only=True)
class Document:
    """What a file says. value: the root. lines: 1-based line of each path's key. mistakes: found while reading."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def locate(self, path: Path) -> int:
        """Return the line of `path`, or of the nearest enclosing thing that is written in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def add(self, path: Path, line: int, what: str, code: str, fix: str) -> None:
        """Note a mistake and go on."""
        self.mistakes.append(Mistake(path=path, line=line, what=what, code=code, fix=fix))


@dataclass(slots=True, kw_only=True)
class _Open:
    """A mapping or sequence being read. key: the key whose value comes next."""

    path: Path
    items: dict[str, Any] | list[Any]
    key: str | None = None
    key_line: int = 0


def read_document(data: bytes) -> Document:
    """Return the document in `data`; its `mistakes` say what could not be read."""
    document = Document()
    try:
        text = _decoded(data)
        _Builder(document).build(text)
    except Unreadable as stop:
        document.mistakes.append(stop.mistake)
    return document


def _stop(line: int, what: str, fix: str, path: Path = ()) -> Unreadable:
    return Unreadable(Mistake(path=path, line=line, what=what, code="project.yaml", fix=fix))


def _decoded(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _stop(1, f"the file has {len(data):,} bytes; at most {MAX_BYTES:,} are read", "keep data in data files")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in data:
        raise _stop(1, "the file is UTF-16 or holds NUL bytes", "save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _stop(line, f"byte {error.start} (0x{data[error.start]:02x}) is not UTF-8", "save it as UTF-8") from None
    for number, row in enumerate(text.splitlines(), start=1):
        if "\t" in row[: len(row) - len(row.lstrip())]:
            raise _stop(number, "a tab indents this line", "indent with spaces")
    return text


class _Builder:
    """Turns parser events into values; one document, one pass."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.stack: list[_Open] = []
        self.nodes = 0
        self.documents = 0

    def build(self, text: str) -> None:
        """Read all of `text` into the document."""
        for event in self._events(text):
            line = event.start_mark.line + 1
            if isinstance(event, DocumentStartEvent):
                self._start(event, line)
            elif isinstance(event, CollectionEndEvent):
                self._close()
            elif isinstance(event, AliasEvent):
                raise _stop(
                    line, f"the alias *{event.anchor} repeats another part", "write the value out", self._path()
                )
            elif isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent):
                self._node(event, line)
        if self.document.value is None and not self.document.mistakes:
            raise _stop(1, "the file is empty", "start from `mainspring init`")

    def _events(self, text: str) -> Iterator[Any]:
        yaml = YAML(typ="safe", pure=True)
        try:
            yield from yaml.parse(text)
        except YAMLError as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            line = mark.line + 1 if mark else 1
            problem = str(getattr(error, "problem", None) or "characters that YAML does not allow").splitlines()[0]
            raise _stop(line, f"not YAML: {problem}", "quote text that holds : # { } [ ] , & * ! | > % @") from None

    def _start(self, event: Any, line: int) -> None:  # noqa: ANN401 - ruamel's events have no types
        self.documents += 1
        if self.documents > 1:
            raise _stop(line, "a second document starts here", "keep one document a file")
        if event.version or event.tags:
            raise _stop(line, "the file has a % directive", "remove it; project files are YAML 1.2")

    def _node(self, event: Any, line: int) -> None:  # noqa: ANN401 - ruamel's events have no types
        self.nodes += 1
        path = self._path()
        if self.nodes > MAX_NODES:
            raise _stop(line, f"the file has more than {MAX_NODES:,} values", "keep data in data files", path[:1])
        if event.anchor:
            raise _stop(line, f"the anchor &{event.anchor} marks a part to repeat", "write values out", path)
        if event.tag is not None:
            raise _stop(line, f"the tag {str(event.tag)[:60]} asks for a special type", "remove the tag", path)
        if isinstance(event, ScalarEvent):
            self._scalar(event, line)
            return
        if len(self.stack) >= MAX_DEPTH:
            raise _stop(line, f"nested deeper than {MAX_DEPTH} levels", "flatten it", path[:1])
        if self._wants_key():
            raise _stop(line, "a key is a list or a mapping", "use text as a key", path)
        self._mark(line)
        self.stack.append(_Open(path=path, items={} if isinstance(event, MappingStartEvent) else []))

    def _scalar(self, event: Any, line: int) -> None:  # noqa: ANN401 - ruamel's events have no types
        plain = event.style is None or event.style == ""
        if self._wants_key():
            self._key(event.value, line, plain=plain)
            return
        self._mark(line)
        self._put(self._resolved(event.value, line) if plain else event.value)

    def _key(self, text: str, line: int, *, plain: bool) -> None:
        top = self.stack[-1]
        path = (*top.path, text)
        if plain and text == "<<":
            raise _stop(line, "the merge key << copies another part", "write the keys out", top.path)
        if plain and (text in _WORDS or _FLOAT.fullmatch(text) or _AMBIGUOUS.fullmatch(text)):
            self.document.add(path, line, f"the key {text!r} is not text", "project.type", f'quote it: "{text}"')
        if text in top.items:
            first = self.document.lines.get(path, 1)
            self.document.add(
                path, line, f"{path_text(path)} is defined twice, first in line {first}", "project.duplicate",
                "remove one of the two",
            )  # fmt: skip
            path = (*top.path, f"{text} (again)")
        top.key, top.key_line = str(path[-1]), line

    def _resolved(self, text: str, line: int) -> Any:  # noqa: ANN401 - any scalar
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text) and len(text) <= 30:
            return int(text)
        if _NOT_FINITE.fullmatch(text) or (_FLOAT.fullmatch(text) and not math.isfinite(float(text))):
            self.document.add(
                self._path(), line, f"{text[:40]} is not a finite number", "project.value", "write a number"
            )
            return _BROKEN
        if _FLOAT.fullmatch(text):
            return float(text)
        if _AMBIGUOUS.fullmatch(text):
            fix = f'quote it ("{text[:40]}") if it is text; write a plain decimal number if it is one'
            self.document.add(
                self._path(), line, f"{text[:40]} is read differently by YAML tools", "project.value", fix
            )
            return _BROKEN
        return text

    def _wants_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1].items, dict) and self.stack[-1].key is None

    def _path(self) -> Path:
        if not self.stack:
            return ()
        top = self.stack[-1]
        if isinstance(top.items, list):
            return (*top.path, len(top.items))
        return top.path if top.key is None else (*top.path, top.key)

    def _mark(self, line: int) -> None:
        top = self.stack[-1] if self.stack else None
        keyed = top is not None and isinstance(top.items, dict)
        self.document.lines.setdefault(self._path(), top.key_line if top is not None and keyed else line)

    def _put(self, value: Any) -> None:  # noqa: ANN401 - any value
        if not self.stack:
            self.document.value = value
            return
        top = self.stack[-1]
        if isinstance(top.items, list):
            top.items.append(value)
        else:
            top.items[str(top.key)] = value
            top.key = None

    def _close(self) -> None:
        closed = self.stack.pop()
        items = closed.items
        if isinstance(items, dict):
            for key in [key for key in items if key.endswith(" (again)")]:
                del items[key]
        self._put(items if isinstance(items, dict) else tuple(items))


def broken(value: object) -> bool:
    """Tell whether `value` stands for a scalar that was refused while reading."""
    return value is _BROKEN
