"""Sources, snapshots and features: what is known of the world, and from when.

A *source* is a table with two times: when a row happened and when its values became known (`views.Source`). A
*snapshot* fixes sources by digest (`snapshots`), after *expectations* were judged (`expectations`). *Definitions*
(`views.Definitions`) say what a model is asked, what comes true and which *views* answer point in time;
`checks.check_definitions` refuses every way to read the future. Derived columns are *expressions*, one closed language
with an SQL and a numpy back-end.

`ports` says what this layer needs from outside: `TrainingSets`, `OnlineStore` and `SourceReader`. What every word means
is in docs/features.md.
"""

from mainspring.data.checks import InvalidDefinitions, Problem, check_definitions
from mainspring.data.expressions import Expression, InvalidExpression, UnknownColumn, evaluate, infer, parse, to_sql
from mainspring.data.ports import ALWAYS, ASK_VIEW, KEY_JOINT, NEVER, OnlineStore, TrainingSets
from mainspring.data.views import (
    Ask,
    ColumnType,
    Definitions,
    RowView,
    Source,
    Target,
    Types,
    View,
    WindowView,
    from_json,
    to_json,
)

__all__ = [
    "ALWAYS",
    "ASK_VIEW",
    "KEY_JOINT",
    "NEVER",
    "Ask",
    "ColumnType",
    "Definitions",
    "Expression",
    "InvalidDefinitions",
    "InvalidExpression",
    "OnlineStore",
    "Problem",
    "RowView",
    "Source",
    "Target",
    "TrainingSets",
    "Types",
    "UnknownColumn",
    "View",
    "WindowView",
    "check_definitions",
    "evaluate",
    "from_json",
    "infer",
    "parse",
    "to_json",
    "to_sql",
]
