"""Read an aggregate call of a window view: `count(*)`, `count(x)`, `sum(x)`, `avg(x)` (or `mean`), `share(condition)`.

Inside a call the target's name stands for its expression, so `avg(late)` needs no column `late`.
"""

import re
from dataclasses import dataclass, replace

from mainspring.data.expressions import Expression, InvalidExpression, parse
from mainspring.data.expressions.tree import Call, Column, Node

_CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*\((.*)\)\s*", re.DOTALL)
_FUNCTIONS = {"count": "count", "sum": "sum", "avg": "avg", "mean": "avg", "share": "share"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """One aggregate of a window: `function` is count, sum, avg or share; `expression` None counts rows."""

    name: str
    function: str
    expression: Expression | None

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns it reads."""
        return self.expression.columns if self.expression else ()


def read_aggregate(name: str, text: str, target: tuple[str, Expression] | None) -> Aggregate:
    """Return the aggregate `text` means; `target` is the name and expression of a target of the same source.

    Raises `InvalidExpression`.
    """
    found = _CALL.fullmatch(text)
    if not found or found[1].lower() not in _FUNCTIONS:
        raise InvalidExpression(
            f"{text[:80]!r} is not an aggregate", fix="write count(*), count(x), sum(x), avg(x) or share(condition)"
        )
    function, inside = _FUNCTIONS[found[1].lower()], found[2]
    if inside.strip() == "*":
        if function != "count":
            raise InvalidExpression(f"{text[:80]!r} has nothing to add up", fix=f"name a column: {found[1]}(x)")
        return Aggregate(name=name, function=function, expression=None)
    expression = parse(inside)
    return Aggregate(name=name, function=function, expression=_with_target(expression, target))


def _with_target(expression: Expression, target: tuple[str, Expression] | None) -> Expression:
    if target is None or target[0] not in expression.columns:
        return expression
    return replace(expression, root=_substitute(expression.root, target[0], target[1].root))


def _substitute(node: Node, name: str, put: Node) -> Node:
    if isinstance(node, Column) and node.name == name:
        return put
    if isinstance(node, Call):
        return replace(node, arguments=tuple(_substitute(argument, name, put) for argument in node.arguments))
    return node
