"""The text of a release file: strict YAML 1.2 in, and edits that keep the comments of whoever wrote there."""

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from mainspring.deliver.documents import InvalidRelease
from mainspring.kernel.scalars import retyped

_MAX_BYTES = 1 << 20
_FIX = "restore it: mainspring rollback, or edit it by hand and commit"


def parse(data: bytes) -> object:
    """Return the plain document in a release file; refuse duplicates, anchors, tags and more than one document."""
    if len(data) > _MAX_BYTES:
        raise InvalidRelease(f"the release file has {len(data)} bytes", fix=_FIX)
    try:
        text = data.decode("utf-8")
        _refuse_tricks(text)
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, UnicodeDecodeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InvalidRelease(f"the release file is not plain YAML: {reason}", fix=_FIX) from error


def render(document: Mapping[str, Any], environment: str, old: bytes | None) -> bytes:
    """Return the file's new text: the old text edited, or a new one with a header."""
    yaml = _round_trip()
    start = _editable(yaml, old)
    _merge(start, document)
    out = io.StringIO()
    if old is None:
        out.write(f"# What serves in {environment}, as committed; mainspring promote and rollback edit it.\n")
    yaml.dump(start, out)
    return out.getvalue().encode("utf-8")


def _round_trip() -> YAML:
    yaml = YAML(typ="rt", pure=True)
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _editable(yaml: YAML, old: bytes | None) -> CommentedMap:
    if old is None:
        return CommentedMap()
    try:
        parse(old)
        found = yaml.load(old.decode("utf-8"))
    except InvalidRelease:
        return CommentedMap()
    return found if isinstance(found, CommentedMap) else CommentedMap()


def _merge(target: CommentedMap, source: Mapping[str, Any]) -> None:
    for key in [key for key in target if key not in source]:
        del target[key]
    for key, value in source.items():
        if isinstance(value, Mapping):
            if not isinstance(target.get(key), CommentedMap):
                target[key] = CommentedMap()
            _merge(target[key], value)
        elif target.get(key) != value or (isinstance(value, str) and retyped(value)):
            target[key] = _plain(value)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value
    """Return a value as it shall be written: quoted where Helm, which reads YAML 1.1, would take it for another."""
    if isinstance(value, str) and retyped(value):
        return DoubleQuotedScalarString(value)
    return _flow(value) if isinstance(value, list) else value


def _flow(values: list[Any]) -> CommentedSeq:
    found = CommentedSeq(values)
    found.fa.set_flow_style()
    return found


def _refuse_tricks(text: str) -> None:
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) or getattr(event, "tag", None):
            raise ValueError("anchors, aliases and tags are not allowed")
