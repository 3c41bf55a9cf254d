"""One closed, typed expression language with two back-ends that agree: SQL for tables, numpy for a request.

`parse` reads text, `infer` types it against columns, `to_sql` and `evaluate` are the back-ends. A test proves that they
agree on nulls, division by zero, integers, zones and strings. The grammar table is in docs/features.md.
"""

from mainspring.data.expressions.arrays import evaluate
from mainspring.data.expressions.functions import FUNCTIONS, ColumnType, UnknownColumn, infer, nearest
from mainspring.data.expressions.sql import quoted, text_literal, to_sql
from mainspring.data.expressions.syntax import parse
from mainspring.data.expressions.tree import Expression, InvalidExpression

__all__ = [
    "FUNCTIONS",
    "ColumnType",
    "Expression",
    "InvalidExpression",
    "UnknownColumn",
    "evaluate",
    "infer",
    "nearest",
    "parse",
    "quoted",
    "text_literal",
    "to_sql",
]
