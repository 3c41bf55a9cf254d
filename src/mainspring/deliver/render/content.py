"""What a rendered file is made of, before it becomes bytes. Objects are dumped, so no text is ever pasted into YAML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Objects:
    """A YAML file of one or more documents."""

    documents: Sequence[Document]


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON file. It has no comments, so its origin stands only in the index of rendered files."""

    document: Document


@dataclass(frozen=True, slots=True)
class Text:
    """A file in a language of its own. comment: how a comment line starts there ("" where there is none)."""

    body: str
    comment: str = "#"


Content = Objects | Json | Text
Files = Mapping[str, Content]
"""Path with forward slashes, below the project's folder -> content."""


def one(document: Document) -> Objects:
    """Return a YAML file of a single document."""
    return Objects((document,))
