"""Refuse JSON that is nested too deeply, before a parser that follows every bracket reads it.

Depth is at most the number of opening brackets. Of those, one that stands right behind a closing one and a comma
(`],[` between two rows) adds nothing; such a pair has no quotation mark, so it is wholly in a string or wholly
outside, and the bound holds for every text. What exceeds it is measured exactly: brackets in strings do not count.

Who need not ask: readers whose type says how deep they go (V2's decoders are 5 deep, the short way's 4; they stop at
the first bracket beyond), and simdjson, which does not recurse, ends at 1,024, and whose documents are taken up only
in shapes that are known. What these do not understand is asked about here, so that its refusal says why.
"""

import numpy as np
from numpy.typing import NDArray

from mainspring.serve.errors import BadBody

MAX_DEPTH = 64
_SMALL, _PART = 4_096, 1 << 18
_OPEN, _CLOSE, _CASE = 0x7B, 0x7D, 0x20  # `[` and `]` differ from `{` and `}` in one bit
_COMMA, _SPACE, _QUOTE = 0x2C, 0x20, 0x22


def refuse_depth(body: bytes, most: int = MAX_DEPTH) -> None:
    """Raise `BadBody` if lists and objects in `body` are nested more than `most` deep; it need not be valid JSON."""
    if len(body) <= _SMALL and body.count(b"[") + body.count(b"{") <= most:
        return
    if _may_be_deeper(body, most) and _is_deeper(body, most):
        raise BadBody(f"the body is nested more than {most} deep", fix="send values, rows or records")


def _parts(body: bytes) -> list[NDArray[np.uint8]]:
    """Return views of pieces, so that a large body takes no multiple of its size in memory."""
    values = np.frombuffer(body, np.uint8)
    return [values[at : at + _PART] for at in range(0, len(values), _PART)]


def _may_be_deeper(body: bytes, most: int) -> bool:
    bound = 0
    for values in _parts(body):
        opens = np.flatnonzero((values | _CASE) == _OPEN)
        behind = opens[opens > 2]
        at = behind - 1 - (values[behind - 1] == _SPACE)
        pairs = (values[at] == _COMMA) & ((values[at - 1] | _CASE) == _CLOSE)
        bound += len(opens) - int(np.count_nonzero(pairs))
        if bound > most:
            return True
    return False


def _is_deeper(body: bytes, most: int) -> bool:
    if b"\\" in body:  # so that every quotation mark left begins or ends a string
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    depth, quotes = 0, 0
    for values in _parts(body):
        folded = values | _CASE
        marks = values[(folded == _OPEN) | (folded == _CLOSE) | (values == _QUOTE)]
        counted = np.cumsum(marks == _QUOTE) + quotes
        steps = np.where((marks | _CASE) == _OPEN, 1, -1)
        steps[(marks == _QUOTE) | (counted % 2 == 1)] = 0
        depths = np.cumsum(steps) + depth
        if depths.max(initial=0) > most:
            return True
        if len(marks):
            depth, quotes = int(depths[-1]), int(counted[-1])
    return False
