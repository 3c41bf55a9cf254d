"""The closed table of operators and functions, with the rule that types them.

To add one: a line here, one in `sql.SQL` and one in `arrays.ARRAYS`; the agreement test then covers it.
Start at `FUNCTIONS`; `infer` applies it to a whole expression.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal as Choice

from mainspring.data.expressions.tree import Call, Column, Expression, Literal, Node, refuse
from mainspring.data.expressions.zones import is_zone
from mainspring.kernel.errors import MainspringError

ColumnType = Choice["number", "string", "time", "bool"]
Inferred = Choice["number", "string", "time", "bool", "null"]
MAX_ARGUMENTS = 64


class UnknownColumn(MainspringError):
    """A column that no table in reach has."""

    code = "column.unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """How a function is called.

    takes: the type of each argument; "same" stands for one type shared by all "same" arguments.
    gives: the result's type, or "same". repeats: the last argument may occur again.
    zone: an IANA zone literal may follow.
    """

    takes: tuple[str, ...]
    gives: str
    repeats: bool = False
    zone: bool = False


_ARITHMETIC = Signature(takes=("number", "number"), gives="number")
_COMPARISON = Signature(takes=("same", "same"), gives="bool")
_LOGIC = Signature(takes=("bool", "bool"), gives="bool")
_CALENDAR = Signature(takes=("time",), gives="number", zone=True)
FUNCTIONS: Mapping[str, Signature] = {
    **dict.fromkeys(("+", "-", "*", "/"), _ARITHMETIC),
    **dict.fromkeys(("=", "!=", "<", "<=", ">", ">="), _COMPARISON),
    **dict.fromkeys(("and", "or"), _LOGIC),
    "not": Signature(takes=("bool",), gives="bool"),
    "is null": Signature(takes=("same",), gives="bool"),
    "negate": Signature(takes=("number",), gives="number"),
    **dict.fromkeys(("hour", "weekday", "month", "year", "day_of_year"), _CALENDAR),
    "minutes_between": Signature(takes=("time", "time"), gives="number"),
    "abs": Signature(takes=("number",), gives="number"),
    "floor": Signature(takes=("number",), gives="number"),
    "lower": Signature(takes=("string",), gives="string"),
    "concat": Signature(takes=("string", "string"), gives="string", repeats=True),
    "coalesce": Signature(takes=("same", "same"), gives="same", repeats=True),
    "if": Signature(takes=("bool", "same", "same"), gives="same"),
}
CALLABLE = tuple(name for name in FUNCTIONS if name.replace("_", "").isalpha() and name not in ("and", "or", "not"))


def infer(expression: Expression, types: Mapping[str, ColumnType]) -> ColumnType:
    """Return the type of `expression` over columns of `types` (`ask.<column>` ones with their prefix).

    Raises `UnknownColumn` or `InvalidExpression`.
    """
    found = _infer(expression.root, types, expression.text)
    if found == "null":
        raise refuse(expression.text, 0, "the expression is always null", "read a column")
    return found


def nearest(name: str, names: Sequence[str]) -> str:
    """Return a hint: the closest of `names`, or all of them if none is close."""
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]}?"
    shown = ", ".join(sorted(names)[:20])
    return f"use one of: {shown}" if shown else "there are none to use"


def _infer(node: Node, types: Mapping[str, ColumnType], text: str) -> Inferred:
    if isinstance(node, Literal):
        return _literal_type(node)
    if isinstance(node, Column):
        if node.name not in types:
            raise UnknownColumn(f"unknown column {node.name} in {text[:80]!r}", fix=nearest(node.name, list(types)))
        return types[node.name]
    if node.function not in CALLABLE and node.function not in FUNCTIONS:
        raise refuse(text, node.at, f"unknown function {node.function}", nearest(node.function, CALLABLE))
    return _check_call(node, FUNCTIONS[node.function], types, text)


def _literal_type(node: Literal) -> Inferred:
    if node.value is None:
        return "null"
    if isinstance(node.value, bool):
        return "bool"
    return "string" if isinstance(node.value, str) else "number"


def _check_call(node: Call, signature: Signature, types: Mapping[str, ColumnType], text: str) -> Inferred:
    arguments = _without_zone(node, signature, text)
    wanted = _spread(signature, len(arguments))
    if len(wanted) != len(arguments) or len(arguments) > MAX_ARGUMENTS:
        count = f"{len(signature.takes)} or more" if signature.repeats else str(len(signature.takes))
        raise refuse(
            text, node.at, f"{node.function} takes {count} arguments, not {len(arguments)}", _usage(node.function)
        )
    shared: Inferred = "null"
    for argument, want in zip(arguments, wanted, strict=True):
        got = _infer(argument, types, text)
        expected = shared if want == "same" else want
        if "null" not in (got, expected) and got != expected:
            raise refuse(text, argument.at, f"{node.function} needs a {expected} here, not a {got}", _convert(expected))
        if want == "same" and got != "null":
            shared = got
    return shared if signature.gives == "same" else signature.gives  # type: ignore[return-value]


def _without_zone(node: Call, signature: Signature, text: str) -> tuple[Node, ...]:
    arguments = node.arguments
    if not signature.zone or len(arguments) != len(signature.takes) + 1:
        return arguments
    zone = arguments[-1]
    if not isinstance(zone, Literal) or not isinstance(zone.value, str) or not is_zone(zone.value):
        raise refuse(text, zone.at, "not a time zone", "write an IANA name in quotes, such as 'America/New_York'")
    return arguments[:-1]


def _spread(signature: Signature, count: int) -> tuple[str, ...]:
    if signature.repeats and count > len(signature.takes):
        return signature.takes + signature.takes[-1:] * (count - len(signature.takes))
    return signature.takes


def _usage(name: str) -> str:
    signature = FUNCTIONS[name]
    parts = [*signature.takes, *(["..."] if signature.repeats else []), *(["'Zone'"] if signature.zone else [])]
    return f"write {name}({', '.join(parts)})"


def _convert(expected: str) -> str:
    hints = {
        "bool": "compare it: for example x > 0",
        "number": "use a number column, or a function such as hour(t)",
        "time": "use a time column",
    }
    return hints.get(expected, f"use a {expected} column or literal")
