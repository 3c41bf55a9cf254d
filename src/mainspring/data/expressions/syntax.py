"""Read expression text into a small tree: a hand-written scanner and one function a precedence level.

Bounded: at most `MAX_LENGTH` characters and `MAX_DEPTH` levels, so a hostile project file cannot exhaust the stack.
Start at `parse`. Every refusal shows the text with a caret under the place.

Precedence, loosest first: `or`, `and`, `not`, comparison and `is [not] null`, `+ -`, `* /`, unary `-`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mainspring.data.expressions.tree import Call, Column, Expression, InvalidExpression, Literal, Node, refuse

MAX_LENGTH = 2_000
MAX_DEPTH = 50
_LARGEST_INTEGER = 2**53
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<text>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")+")
    |(?P<name>[^\W\d]\w*)
    |(?P<sign><=|>=|<>|!=|==|[-+*/=<>(),.]))""",
    re.VERBOSE,
)
_SAME = {"==": "=", "<>": "!="}
_COMPARISONS = frozenset(("=", "!=", "<", "<=", ">", ">="))
_SPLIT = "split it into several derived columns"
_WORDS = frozenset(("and", "or", "not", "is", "null", "true", "false"))


def parse(text: str) -> Expression:
    """Return the tree of `text`, or raise `InvalidExpression`."""
    if len(text) > MAX_LENGTH:
        raise InvalidExpression(
            f"an expression of {len(text):,} characters is too long", fix=f"keep it within {MAX_LENGTH:,} characters"
        )
    reader = _Reader(text)
    root = reader.either()
    if reader.kind != "end":
        raise reader.refuse("unexpected " + reader.shown(), "join the parts with an operator, or close a bracket")
    if _depth(root) > MAX_DEPTH:
        raise InvalidExpression(f"more than {MAX_DEPTH} levels of nesting in {text[:60]!r}", fix=_SPLIT)
    return Expression(text=text, root=root)


def _depth(root: Node) -> int:
    """Return the height of a tree; a loop, for a chain of operators may be as deep as the text is long."""
    deepest, waiting = 0, [(root, 1)]
    while waiting:
        node, depth = waiting.pop()
        deepest = max(deepest, depth)
        if isinstance(node, Call):
            waiting.extend((argument, depth + 1) for argument in node.arguments)
    return deepest


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def _scan(text: str) -> Iterator[_Token]:
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if not found or found.lastgroup is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise refuse(text, at, f"unexpected {text[at]!r}", "use names, numbers, 'text', operators and brackets")
        yield _Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup))
        at = found.end()
    yield _Token("end", "", len(text))


class _Reader:
    """A cursor over the tokens; one method a precedence level."""

    def __init__(self, text: str) -> None:
        self._text, self._tokens = text, list(_scan(text))
        self._next, self._depth = 0, 0

    @property
    def kind(self) -> str:
        return self._tokens[self._next].kind

    @property
    def at(self) -> int:
        return self._tokens[self._next].at

    def shown(self) -> str:
        return repr(self._tokens[self._next].text[:40]) if self.kind != "end" else "end of the expression"

    def refuse(self, what: str, fix: str) -> InvalidExpression:
        return refuse(self._text, self.at, what, fix)

    def _word(self) -> str:
        """Return the current keyword or sign in its one spelling, else ""."""
        token = self._tokens[self._next]
        if token.kind == "sign":
            return _SAME.get(token.text, token.text)
        return token.text.lower() if token.kind == "name" and token.text.lower() in _WORDS else ""

    def _advance(self) -> _Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _expect(self, sign: str) -> None:
        if self._word() != sign:
            raise self.refuse(f"expected {sign!r}, found {self.shown()}", f"write {sign!r} here")
        self._advance()

    def _chain(self, signs: frozenset[str], part: Callable[[], Node]) -> Node:
        left = part()
        while (word := self._word()) in signs:
            at = self._advance().at
            left = Call(function=word, arguments=(left, part()), at=at)
        return left

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.refuse(f"more than {MAX_DEPTH} levels of nesting", _SPLIT)

    def either(self) -> Node:
        self._enter()
        found = self._chain(frozenset(("or",)), self.both)
        self._depth -= 1
        return found

    def both(self) -> Node:
        return self._chain(frozenset(("and",)), self.negation)

    def negation(self) -> Node:
        if self._word() != "not":
            return self.comparison()
        return self._prefixed("not", self.negation)

    def _prefixed(self, function: str, operand: Callable[[], Node]) -> Node:
        self._enter()
        at = self._advance().at
        node = Call(function=function, arguments=(operand(),), at=at)
        self._depth -= 1
        return node

    def comparison(self) -> Node:
        left = self.sum()
        if self._word() == "is":
            return self._null_test(left)
        if self._word() in _COMPARISONS:
            at, word = self.at, self._word()
            self._advance()
            left = Call(function=word, arguments=(left, self.sum()), at=at)
            if self._word() in _COMPARISONS:
                raise self.refuse("comparisons cannot be chained", "join two comparisons with and")
        return left

    def _null_test(self, left: Node) -> Node:
        at = self._advance().at
        inverted = self._word() == "not"
        if inverted:
            self._advance()
        if self._word() != "null":
            raise self.refuse(f"expected null, found {self.shown()}", "write: is null, or: is not null")
        self._advance()
        test = Call(function="is null", arguments=(left,), at=at)
        return Call(function="not", arguments=(test,), at=at) if inverted else test

    def sum(self) -> Node:
        return self._chain(frozenset("+-"), self.product)

    def product(self) -> Node:
        return self._chain(frozenset("*/"), self.sign)

    def sign(self) -> Node:
        return self._prefixed("negate", self.sign) if self._word() == "-" else self.atom()

    def atom(self) -> Node:
        if self._word() == "(":
            self._advance()
            inside = self.either()
            self._expect(")")
            return inside
        if self.kind in ("number", "text") or self._word() in ("true", "false", "null"):
            return self._literal()
        if self.kind == "quoted" or (self.kind == "name" and not self._word()):
            return self._named()
        raise self.refuse(
            f"expected a value, found {self.shown()}", "put a column, a number, 'text' or a function here"
        )

    def _literal(self) -> Node:
        word = self._word()
        if word:
            return Literal(value={"true": True, "false": False, "null": None}[word], at=self._advance().at)
        if self.kind == "text":
            token = self._advance()
            return Literal(value=token.text[1:-1].replace("''", "'"), at=token.at)
        number = float(self._tokens[self._next].text)
        if number == float("inf") or (number.is_integer() and number > _LARGEST_INTEGER):
            raise self.refuse(f"{self.shown()} is too large", "numbers are doubles: stay within 2**53 (9.0e15)")
        return Literal(value=number, at=self._advance().at)

    def _named(self) -> Node:
        token = self._advance()
        name = token.text[1:-1].replace('""', '"') if token.kind == "quoted" else token.text
        if token.kind == "name" and self._word() == "(":
            return Call(function=name.lower(), arguments=self._arguments(), at=token.at)
        if self._word() == ".":
            return self._ask_column(token, name)
        return Column(name=name, at=token.at)

    def _ask_column(self, token: _Token, name: str) -> Node:
        if name != "ask":
            raise self.refuse(f"{name!r} is not a table", "only the ask's row has a prefix: ask.<column>")
        self._advance()
        if self.kind not in ("name", "quoted"):
            raise self.refuse(f"expected a column, found {self.shown()}", "write ask.<column>")
        column = self._advance()
        inner = column.text[1:-1].replace('""', '"') if column.kind == "quoted" else column.text
        return Column(name=f"ask.{inner}", at=token.at)

    def _arguments(self) -> tuple[Node, ...]:
        self._expect("(")
        found: list[Node] = []
        while self._word() != ")":
            found.append(self.either())
            if self._word() == ",":
                self._advance()
            elif self._word() != ")":
                raise self.refuse(f"expected ',' or ')', found {self.shown()}", "close the bracket")
        self._expect(")")
        return tuple(found)
