"""Refuse JSON members given twice: most parsers keep the last one silently, so two readers may see two requests.

The typed decoder cannot tell, and a second full parse costs more than the first. So count quotation marks: a body has
two for every string (names of members included) and one for every escaped mark, so it has more than two for every
string that was decoded if, and only if, a member is given twice or a string escapes a mark. Only those bodies are
parsed again, exactly.
"""

import json
from collections import Counter
from typing import Any

from mainspring.serve.errors import BadBody, shown

_LARGE, _FEW = 4_096, 50
_HOLDERS: frozenset[type] = frozenset({str, list, dict})


def quotation_marks(body: bytes) -> int:
    """Return how many quotation marks stand in a body."""
    return counted(body, b'"')


def counted(body: bytes, mark: bytes) -> int:
    """Return how often a byte stands in a body; in large ones marks are few, and looking for the next is faster."""
    if len(body) < _LARGE:
        return body.count(mark)
    at = found = 0
    while (at := body.find(mark, at) + 1) and found < _FEW:
        found += 1
    return found if not at else found + body.count(mark, at - 1)


def refuse_duplicate_keys(body: bytes, marks: int, strings: int) -> None:
    """Raise `BadBody` if an object in `body` (already valid JSON) has a member twice.

    marks: its quotation marks. strings: how many strings were decoded from it, names of members included.
    """
    if marks > 2 * strings:
        try:
            json.loads(body, object_pairs_hook=_unique, parse_int=str)
        except (ValueError, RecursionError) as error:
            raise BadBody(f"not strict JSON: {str(error)[:200]}", fix="send one strict JSON document") from None


def strings_in(value: object) -> int:
    """Return how many strings a decoded JSON value has, names of members included."""
    if type(value) is str:
        return 1
    if type(value) is list:
        return _strings_among(value)
    if type(value) is dict:
        return len(value) + _strings_among(list(value.values()))
    return 0


def _strings_among(values: list[Any]) -> int:
    kinds = set(map(type, values))
    if kinds.isdisjoint(_HOLDERS):
        return 0
    return len(values) if kinds == {str} else sum(map(strings_in, values))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise BadBody(f"member {shown(twice)} is given twice", fix="send each member once")
    return members
