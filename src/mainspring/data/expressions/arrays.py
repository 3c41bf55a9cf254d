"""The numpy back-end: one expression over whole columns, the same answer as SQL to the last bit.

Inside, a bool is a float64 of 1, 0 or NaN for null, a time is datetime64[us] with NaT, a string an object array with
None. A number that is not finite is null.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mainspring.data.expressions import zones
from mainspring.data.expressions.sql import UPPER
from mainspring.data.expressions.tree import Call, Column, Expression, Literal, Node
from mainspring.stats.columns import Array, Columns, is_null, length

_LOWER = str.maketrans(UPPER, UPPER.lower())


def evaluate(expression: Expression, columns: Columns, rows: int | None = None) -> Array:
    """Return the value of `expression` a row: float64 for numbers and bools, else object or datetime64[us].

    columns: `ask.<name>` ones with their prefix; an int64 array used as a time holds UTC microseconds.
    rows: the number of rows; needed only when no column is given.
    """
    return _value(expression.root, columns, length(columns) if rows is None else rows)


def as_time(values: Array) -> Array:
    """Return datetime64[us]; integers are UTC microseconds, all-null columns of another type are NaT."""
    if values.dtype.kind in "Mui":
        return values.astype("datetime64[us]")
    return np.full(len(values), np.datetime64("NaT"), dtype="datetime64[us]")


def _value(node: Node, columns: Columns, rows: int) -> Array:
    if isinstance(node, Column):
        return _normal(columns[node.name])
    if isinstance(node, Literal):
        return _constant(node.value, rows)
    if node.function in _CALENDAR:
        return _calendar(node, columns, rows)
    arguments = [_value(argument, columns, rows) for argument in node.arguments]
    return ARRAYS[node.function](arguments)


def _normal(values: Array) -> Array:
    """Bring a stored column to the inner form: floats without infinities, times kept, bools as floats."""
    if values.dtype.kind == "f":
        return _finite(values.astype(np.float64))
    if values.dtype.kind == "b":
        return values.astype(np.float64)
    return values.astype("datetime64[us]") if values.dtype.kind == "M" else values


def _constant(value: float | str | bool | None, rows: int) -> Array:
    if isinstance(value, str):
        return np.full(rows, value, dtype=object)
    return np.full(rows, np.nan if value is None else float(value))


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.nan)


def _alike(values: Sequence[Array]) -> list[Array]:
    """Give null literals (all NaN) the type of their neighbours."""
    kinds = {value.dtype.kind for value in values}
    if "O" in kinds:
        return [value if value.dtype.kind == "O" else np.full(len(value), None, dtype=object) for value in values]
    return [as_time(value) for value in values] if kinds & set("M") else [_numbers(value) for value in values]


def _numbers(values: Array) -> Array:
    return values.astype(np.float64) if values.dtype.kind in "fiub" else np.full(len(values), np.nan)


def _arithmetic(operation: Callable[[Array, Array], Array]) -> Callable[[list[Array]], Array]:
    def apply(arguments: list[Array]) -> Array:
        left, right = (_numbers(argument) for argument in arguments)
        with np.errstate(all="ignore"):
            return _finite(operation(left, right))

    return apply


def _comparison(operation: Callable[[Any, Any], Any]) -> Callable[[list[Array]], Array]:
    def apply(arguments: list[Array]) -> Array:
        left, right = _alike(arguments)
        found = np.full(len(left), np.nan)
        known = ~(_missing(left) | _missing(right))
        found[known] = np.asarray(operation(left[known], right[known]), dtype=np.float64)
        return found

    return apply


def _missing(values: Array) -> Array:
    return np.isnat(values) if values.dtype.kind == "M" else is_null(values)


def _and(arguments: list[Array]) -> Array:
    left, right = (_numbers(argument) for argument in arguments)
    unknown = np.isnan(left) | np.isnan(right)
    return np.where((left == 0) | (right == 0), 0.0, np.where(unknown, np.nan, 1.0))


def _not(arguments: list[Array]) -> Array:
    return 1.0 - _numbers(arguments[0])


def _or(arguments: list[Array]) -> Array:
    return _not([_and([_not([argument]) for argument in arguments])])


def _calendar(node: Call, columns: Columns, rows: int) -> Array:
    times = as_time(_value(node.arguments[0], columns, rows))
    if len(node.arguments) > 1 and isinstance(zone := node.arguments[1], Literal):
        times = zones.local(times, str(zone.value))
    return _CALENDAR[node.function](times)


def _minutes_between(arguments: list[Array]) -> Array:
    start, end = (as_time(argument) for argument in arguments)
    minutes = (end.astype(np.int64) - start.astype(np.int64)).astype(np.float64) / 60_000_000.0
    return np.where(np.isnat(start) | np.isnat(end), np.nan, minutes)


def _lower(arguments: list[Array]) -> Array:
    return _texts([arguments[0]], lambda values: values[0].translate(_LOWER))


def _concat(arguments: list[Array]) -> Array:
    return _texts(arguments, "".join)


def _texts(arguments: Sequence[Array], join: Callable[[Sequence[str]], str]) -> Array:
    found = np.empty(len(arguments[0]), dtype=object)
    texts = [value if value.dtype == object else np.full(len(value), None, dtype=object) for value in arguments]
    for row, values in enumerate(zip(*texts, strict=True)):
        found[row] = None if any(value is None for value in values) else join(values)
    return found


def _coalesce(arguments: list[Array]) -> Array:
    first, *others = _alike(arguments)
    found = first.copy()
    for other in others:
        missing = _missing(found)
        found[missing] = other[missing]
    return found


def _if(arguments: list[Array]) -> Array:
    yes, no = _alike(arguments[1:])
    return np.where(_numbers(arguments[0]) == 1.0, yes, no)


_CALENDAR: Mapping[str, Callable[[Array], Array]] = {
    "hour": zones.hour,
    "weekday": zones.weekday,
    "month": zones.month,
    "year": zones.year,
    "day_of_year": zones.day_of_year,
}
ARRAYS: Mapping[str, Callable[[list[Array]], Array]] = {
    "+": _arithmetic(np.add),
    "-": _arithmetic(np.subtract),
    "*": _arithmetic(np.multiply),
    "/": _arithmetic(np.divide),
    "=": _comparison(operator.eq),
    "!=": _comparison(operator.ne),
    "<": _comparison(operator.lt),
    "<=": _comparison(operator.le),
    ">": _comparison(operator.gt),
    ">=": _comparison(operator.ge),
    "and": _and,
    "or": _or,
    "not": _not,
    "is null": lambda arguments: _missing(arguments[0]).astype(np.float64),
    "negate": lambda arguments: -_numbers(arguments[0]),
    "minutes_between": _minutes_between,
    "abs": lambda arguments: np.abs(_numbers(arguments[0])),
    "floor": lambda arguments: np.floor(_numbers(arguments[0])),
    "lower": _lower,
    "concat": _concat,
    "coalesce": _coalesce,
    "if": _if,
}
