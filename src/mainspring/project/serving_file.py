"""`environments/<env>/serving.yaml`: how the servers of one environment log. Committed beside the release file.

The server reads it as committed, when it starts, and never the project file. Every mistake is told at once, unknown
keys are refused and secrets are references. What no environment may log stands in the model's contract.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mainspring.project.mistakes import InvalidProject, Path
from mainspring.project.reader import Document, Unreadable, read_document
from mainspring.project.secrets import looks_secret

FILE = "serving.yaml"
SECRET = "secret://"  # noqa: S105 - how a reference begins
MAX_SINKS = 8
_SCHEMES = ("s3://", "gs://", "az://", "abfs://", "file:///", "http://", "https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkEntry:
    """A place beside the local log. to: its URL. authorization: a secret reference, for http(s), or ""."""

    to: str
    authorization: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingFile:
    """What the file says, or what holds without one.

    sample: share of requests logged. redact: columns that are never logged; `@key` for the ask keys. key_secret: secret
    reference by which keys become keyed hashes, or "". trust: types that a model which runs as Python may contain.
    """

    sample: float = 1.0
    redact: tuple[str, ...] = ()
    key_secret: str = ""
    sinks: tuple[SinkEntry, ...] = ()
    trust: tuple[str, ...] = ()


def read_serving_file(data: bytes, file: str = FILE) -> ServingFile:
    """Read a serving file; raises `InvalidProject` with every mistake."""
    try:
        document = read_document(data)
    except Unreadable as error:
        raise InvalidProject(file, [error.mistake]) from error
    reading = _Reading(document)
    whole = reading.mapping(document.value or {}, (), ("log", "trust"))
    log = whole.get("log") or {}
    found = reading.mapping(log, ("log",), ("sample", "redact", "key_secret", "sinks"))
    read = ServingFile(
        sample=reading.sample(found.get("sample", 1.0)), redact=reading.names(found.get("redact", ())),
        key_secret=reading.reference(found.get("key_secret", ""), ("log", "key_secret")),
        sinks=tuple(reading.sinks(found.get("sinks", ()))), trust=reading.types(whole.get("trust", ())),
    )  # fmt: skip
    if document.mistakes:
        raise InvalidProject(file, document.mistakes)
    return read


def checked_sink(url: str) -> str:
    """Return what is wrong with a sink's URL, or ""."""
    if not url.startswith(_SCHEMES) or len(url) > 500:
        return f"a log sink is a URL: {', '.join(_SCHEMES)}"
    if "@" in url.split("/")[2] or looks_secret(url):
        return "a secret stands in the URL; credentials come from the environment or a secret reference"
    return ""


class _Reading:
    """Reads values of one document and notes what is wrong with them."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def mapping(self, value: Any, path: Path, known: tuple[str, ...]) -> Mapping[str, Any]:  # noqa: ANN401
        """Return a mapping's known keys; note the others."""
        if not isinstance(value, dict):
            self._note(path, "this is not a mapping", "project.type", f"write {', '.join(known)} as keys")
            return {}
        for key in value:
            if key not in known:
                self._note((*path, key), f"{str(key)[:60]} is not known here", "project.unknown", f"use {known}")
        return {key: item for key, item in value.items() if key in known}

    def sample(self, value: Any) -> float:  # noqa: ANN401 - any value
        """Return a share above 0 and up to 1."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            self._note(("log", "sample"), "this is no share", "project.value", "write a number above 0 and up to 1")
            return 1.0
        return float(value)

    def names(self, value: Any) -> tuple[str, ...]:  # noqa: ANN401 - any value
        """Return a list of column names."""
        return self._each(value, ("log", "redact"), lambda item, _: isinstance(item, str) and 0 < len(item) < 200)

    def types(self, value: Any) -> tuple[str, ...]:  # noqa: ANN401 - any value
        """Return a list of type names."""
        return self._each(value, ("trust",), lambda item, _: isinstance(item, str) and 0 < len(item) < 300)

    def reference(self, value: Any, path: Path) -> str:  # noqa: ANN401 - any value
        """Return a secret reference, or "" where there is none."""
        if value == "" or (isinstance(value, str) and value.startswith(SECRET)):
            return str(value)
        self._note(path, "this is no secret reference", "project.secret", "write secret://env/NAME")
        return ""

    def sinks(self, value: Any) -> list[SinkEntry]:  # noqa: ANN401 - any value
        """Return the sinks; an entry is a URL or a mapping."""
        entries = self._each(value, ("log", "sinks"), lambda item, _: isinstance(item, str | dict))
        return [self._sink(entry, ("log", "sinks", place)) for place, entry in enumerate(entries[:MAX_SINKS])]

    def _sink(self, value: Any, path: Path) -> SinkEntry:  # noqa: ANN401 - a text or a mapping
        found = {"to": value} if isinstance(value, str) else self.mapping(value, path, ("to", "authorization"))
        url = found.get("to")
        wrong = checked_sink(url) if isinstance(url, str) else "a sink has no `to`"
        if wrong:
            self._note((*path, "to"), wrong, "project.value", "for example to: s3://bucket/path")
        authorization = self.reference(found.get("authorization", ""), (*path, "authorization"))
        if authorization and not str(url).startswith("http"):
            self._note((*path, "authorization"), "only http(s) sinks take it", "project.value", "remove it")
        return SinkEntry(to=str(url), authorization=authorization)

    def _each(self, value: Any, path: Path, fits: Callable[[Any, int], bool]) -> tuple[Any, ...]:  # noqa: ANN401
        if not isinstance(value, tuple):
            self._note(path, "this is not a list", "project.type", "write a list")
            return ()
        for place, item in enumerate(value):
            if not fits(item, place):
                self._note((*path, place), "this does not fit here", "project.type", "see docs/serving.md")
        if len(value) > (MAX_SINKS if path[-1] == "sinks" else 1_000):
            self._note(path, f"{len(value)} entries are too many", "project.value", "write fewer")
        return value

    def _note(self, path: Path, what: str, code: str, fix: str) -> None:
        self._document.add(path, self._document.locate(path), what, code, fix)
