"""Write what a cluster needs, and tell what became stale: collect, head, compare, write.

A file is *stale* when the project file now renders it otherwise, *edited* when somebody changed it by hand since it was
rendered. Edited files are never overwritten unasked. `rendered.json` remembers what was written, so that a file that
is no longer rendered can be removed. Start at `render`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mainspring.deliver.render.content import Content, Json, Objects
from mainspring.deliver.render.subject import Subject
from mainspring.deliver.render.tree import rendered
from mainspring.kernel.digests import digest_bytes
from mainspring.kernel.errors import MainspringError

INDEX = "rendered.json"
INDEX_SCHEMA = 1


class RenderRefused(MainspringError):
    """Rendered files were edited by hand, or are stale."""

    code = "render.stale"
    exit_code = 1


class Tree(Protocol):
    """The project's folder: files by path with forward slashes."""

    def read(self, path: str) -> bytes | None:
        """Return the file's bytes, or None; refuse what is no plain file below the folder."""

    def write(self, path: str, data: bytes) -> None:
        """Write one file in one step."""

    def remove(self, path: str) -> None:
        """Remove one file, and folders that became empty."""


class Dump(Protocol):
    """Turns documents into YAML."""

    def __call__(self, documents: Objects, /) -> str:
        """Return the same text for the same documents everywhere; texts stay texts under YAML 1.1 and 1.2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderPorts:
    """What rendering needs from outside. texts: files that ship with the package, path -> content."""

    tree: Tree
    dump: Dump
    texts: Mapping[str, Content] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How the folder differs from what would be rendered. Paths, sorted.

    missing: not there. stale: rendered otherwise now. edited: changed by hand. extra: rendered once, no longer.
    """

    missing: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Tell whether the folder holds exactly what would be rendered."""
        return not (self.missing or self.stale or self.edited or self.extra)


def render(subject: Subject, ports: RenderPorts, *, force: bool = False) -> Difference:
    """Write every rendered file, as `write` does."""
    return write(subject, expected(subject, ports), ports.tree, force=force)


def write(subject: Subject, wanted: Mapping[str, bytes], tree: Tree, *, force: bool = False) -> Difference:
    """Write the files that are `wanted` of a subject; return what changed.

    Raises `RenderRefused` for files edited by hand, unless `force`; nothing is written then.
    """
    found = compare(wanted, tree)
    if found.edited and not force:
        raise RenderRefused(
            f"edited by hand since it was rendered: {', '.join(found.edited[:5])}",
            fix="move the change into mainspring.yaml, or overwrite it with --force",
        )
    for path in (*found.missing, *found.stale, *found.edited, *found.extra):
        if path in wanted:
            tree.write(path, wanted[path])
        else:
            tree.remove(path)
    index = _index(subject, wanted)
    if tree.read(INDEX) != index:
        tree.write(INDEX, index)
    return found


def expected(subject: Subject, ports: RenderPorts) -> dict[str, bytes]:
    """Return the bytes of every file that would be rendered, by path."""
    contents = {**rendered(subject), **ports.texts}
    return {path: _bytes(content, subject, ports.dump) for path, content in sorted(contents.items())}


def compare(wanted: Mapping[str, bytes], tree: Tree) -> Difference:
    """Return how the folder differs from `wanted`."""
    known = _known(tree)
    missing: list[str] = []
    stale: list[str] = []
    edited: list[str] = []
    extra: list[str] = []
    for path, data in wanted.items():
        present = tree.read(path)
        if present is None:
            missing.append(path)
        elif present != data:
            (stale if known.get(path) == digest_bytes(present) else edited).append(path)
    for path in sorted(known.keys() - wanted.keys()):
        present = tree.read(path)
        if present is not None:
            (extra if known[path] == digest_bytes(present) else edited).append(path)
    return Difference(missing=tuple(missing), stale=tuple(stale), edited=tuple(edited), extra=tuple(extra))


def _bytes(content: Content, subject: Subject, dump: Dump) -> bytes:
    if isinstance(content, Json):
        return (json.dumps(content.document, indent=2, ensure_ascii=True, allow_nan=False) + "\n").encode()
    if isinstance(content, Objects):
        return (_head("#", subject) + dump(content)).encode()
    head = _head(content.comment, subject) if content.comment else ""
    if content.body.startswith("#!"):  # what runs the file stands first
        first, _, rest = content.body.partition("\n")
        return f"{first}\n{head}{rest}".encode()
    return (head + content.body).encode()


def _head(comment: str, subject: Subject) -> str:
    return f"{comment} Generated by mainspring render from mainspring.yaml {subject.digest}. Change that file.\n"


def _index(subject: Subject, wanted: Mapping[str, bytes]) -> bytes:
    document = {
        "schema": INDEX_SCHEMA, "project_file": subject.digest,
        "files": {path: digest_bytes(data) for path, data in wanted.items()},
    }  # fmt: skip
    return (json.dumps(document, indent=2) + "\n").encode()


def _known(tree: Tree) -> dict[str, str]:
    data = tree.read(INDEX)
    if data is None:
        return {}
    try:
        document: Any = json.loads(data)
        return {str(path): str(digest) for path, digest in document["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RenderRefused(
            f"{INDEX} cannot be read: {error}", fix="remove it and render again with --force"
        ) from error
