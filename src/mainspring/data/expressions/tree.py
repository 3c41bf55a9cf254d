"""The tree of an expression: constants, columns and calls; and the error that shows a place in its text."""

from collections.abc import Iterator
from dataclasses import dataclass

from mainspring.kernel.errors import MainspringError


class InvalidExpression(MainspringError):
    """An expression that cannot be read or does not fit the types of its columns; `what` shows the place."""

    code = "expression.invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """A constant: float, str, bool, or None for `null`."""

    value: float | str | bool | None
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column by name; `ask.<name>` reads the ask's row and keeps its prefix in `name`."""

    name: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function or operator of the closed table (`functions.FUNCTIONS`) applied to arguments."""

    function: str
    arguments: "tuple[Node, ...]"
    at: int


Node = Literal | Column | Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A parsed expression: its text and its tree."""

    text: str
    root: Node

    @property
    def columns(self) -> tuple[str, ...]:
        """Return every column name that is read, `ask.` ones included."""
        return tuple(dict.fromkeys(node.name for node in walk(self.root) if isinstance(node, Column)))

    @property
    def row_columns(self) -> tuple[str, ...]:
        """Return the columns read from the row itself."""
        return tuple(name for name in self.columns if not name.startswith("ask."))

    @property
    def ask_columns(self) -> tuple[str, ...]:
        """Return the columns read from the ask's row, without the prefix `ask.`."""
        return tuple(name.removeprefix("ask.") for name in self.columns if name.startswith("ask."))


def walk(node: Node) -> Iterator[Node]:
    """Yield `node` and everything below it, left to right."""
    yield node
    if isinstance(node, Call):
        for argument in node.arguments:
            yield from walk(argument)


def refuse(text: str, at: int, what: str, fix: str) -> InvalidExpression:
    """Return the error for a fault at character `at` of `text`, with the place under a caret."""
    start = max(0, at - 60)
    shown = text[start : at + 40].replace("\n", " ")
    return InvalidExpression(f"{what} at character {at + 1}\n    {shown}\n    {' ' * (at - start)}^", fix=fix)
