"""The SQL back-end: one expression to one DuckDB expression, every name and literal quoted.

Numbers are DOUBLE, and a number that is not finite is NULL, so x / 0 is NULL. A result that is used twice is bound once
by a one-element list, for repeated text would grow with the power of the depth.
"""

from collections.abc import Callable, Mapping

from mainspring.data.expressions.tree import Call, Column, Expression, Literal, Node

UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PARTS = {"hour": "hour", "weekday": "isodow", "month": "month", "year": "year", "day_of_year": "doy"}


def to_sql(expression: Expression, column_sql: Mapping[str, str]) -> str:
    """Return DuckDB SQL; `column_sql` maps each column (`ask.<name>` ones with prefix) to trusted, typed SQL.

    A number column's SQL must be a DOUBLE that is finite or NULL, a string's VARCHAR, a time's TIMESTAMP in UTC.
    """
    return _sql(expression.root, column_sql)


def quoted(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """Return `text` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def _sql(node: Node, columns: Mapping[str, str]) -> str:
    if isinstance(node, Column):
        return columns[node.name]
    if isinstance(node, Literal):
        return _literal(node.value)
    if node.function in _PARTS:
        return _calendar(node, columns)
    arguments = [_sql(argument, columns) for argument in node.arguments]
    if node.function in "+-*/":
        return _finite(f"({arguments[0]} {node.function} {arguments[1]})", leaves=not _has_calls(node))
    return SQL[node.function](arguments)


def _literal(value: float | str | bool | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return text_literal(value)
    return f"CAST('{value!r}' AS DOUBLE)"


def _has_calls(node: Call) -> bool:
    return any(isinstance(argument, Call) for argument in node.arguments)


def _finite(sql: str, *, leaves: bool) -> str:
    if leaves:
        return f"CASE WHEN isfinite({sql}) THEN {sql} END"
    return f"list_transform([{sql}], lambda v: CASE WHEN isfinite(v) THEN v END)[1]"


def _calendar(node: Call, columns: Mapping[str, str]) -> str:
    time = f"CAST({_sql(node.arguments[0], columns)} AS TIMESTAMP)"
    if len(node.arguments) > 1:
        time = f"timezone({_sql(node.arguments[1], columns)}, timezone('UTC', {time}))"
    part = f"CAST(extract({_PARTS[node.function]} FROM {time}) AS DOUBLE)"
    return f"({part} - 1)" if node.function == "weekday" else part


def _infix(word: str) -> Callable[[list[str]], str]:
    return lambda a: "(" + f" {word} ".join(a) + ")"


SQL: Mapping[str, Callable[[list[str]], str]] = {
    **{word: _infix(word) for word in ("=", "!=", "<", "<=", ">", ">=", "and", "or")},
    "not": lambda a: f"(NOT {a[0]})",
    "is null": lambda a: f"({a[0]} IS NULL)",
    "negate": lambda a: f"(- {a[0]})",
    "minutes_between": lambda a: f"(CAST(epoch_us({a[1]}) - epoch_us({a[0]}) AS DOUBLE) / 60000000.0::DOUBLE)",
    "abs": lambda a: f"abs({a[0]})",
    "floor": lambda a: f"floor({a[0]})",
    "lower": lambda a: f"translate({a[0]}, '{UPPER}', '{UPPER.lower()}')",
    "concat": _infix("||"),
    "coalesce": lambda a: f"coalesce({', '.join(a)})",
    "if": lambda a: f"CASE WHEN {a[0]} THEN {a[1]} ELSE {a[2]} END",
}
