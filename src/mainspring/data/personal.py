"""Which columns of a log would show personal data: features that read a personal column, and the ask's key."""

from collections.abc import Iterable, Sequence

from mainspring.data.aggregates import read_aggregate
from mainspring.data.expressions import parse
from mainspring.data.views import Definitions, RowView, View

KEY = "@key"


def hidden_columns(definitions: Definitions, personal: Sequence[str], inputs: Iterable[str]) -> tuple[str, ...]:
    """Return those of `inputs` (`view.column`) that show a personal column, and `@key` if the ask's key is personal.

    A feature shows a column that it is a copy of, is derived from or adds up; grouping by a column does not show it.
    """
    named = frozenset(personal)
    if not named:
        return ()
    shown = {f"{view.name}.{name}" for view in definitions.views for name in _showing(view, named, definitions)}
    hidden = [name for name in inputs if name in shown or name in named]
    return (*hidden, *((KEY,) if definitions.ask.key in named else ()))


def _showing(view: View, personal: frozenset[str], definitions: Definitions) -> Iterable[str]:
    if isinstance(view, RowView):
        yield from personal.intersection(view.columns)
        for name, text in view.derive:
            read = {column.removeprefix("ask.") for column in parse(text).columns}
            if name in personal or personal & read:
                yield name
        return
    target = definitions.target_expression(view.source)
    for name, call in view.aggregates:
        if name in personal or personal.intersection(read_aggregate(name, call, target).columns):
            yield name
