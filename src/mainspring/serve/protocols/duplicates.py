"""Refuse JSON members given twice: most parsers keep the last one silently, so two readers may see two requests.

The typed decoder cannot tell, and a second full parse costs more than the first. So count: a member name of the
protocol stands in the body as `"name"` at most as often as the decoded request has places for it, unless it is also a
data value, is escaped, or is given twice. Only those bodies are parsed again, exactly.
"""

import json
from collections import Counter
from typing import Any

from mainspring.serve.errors import BadBody, shown


def refuse_duplicate_keys(body: bytes, expected: Counter[str]) -> None:
    """Raise `BadBody` if an object in `body` (already valid JSON) has a member twice.

    expected: the largest count of each member name in a request without duplicates.
    """
    if b"\\u" in body or any(body.count(_quoted(name)) > count for name, count in expected.items()):
        try:
            json.loads(body, object_pairs_hook=_unique, parse_int=str)
        except (ValueError, RecursionError) as error:
            raise BadBody(f"not strict JSON: {str(error)[:200]}", fix="send one strict JSON document") from None


def _quoted(name: str) -> bytes:
    return b'"' + name.encode("utf-8") + b'"'


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise BadBody(f"member {shown(twice)} is given twice", fix="send each member once")
    return members
