"""The online feature store in Redis: a sorted set a key, what it showed from when.

Everything of one model in one environment is below one root. Reading and publishing are a script each, which Redis
runs as one step: a question about many keys of many views costs one round trip and sees one state of the store. A view
that is written as a whole is written beside the old one and takes its place when it is published.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from operator import eq, lt
from typing import Any

from mainspring.adapters.redis.client import Client, OnlineUnreachable
from mainspring.adapters.redis.rows import Shape, after, shape
from mainspring.data.ports import NEVER
from mainspring.kernel.errors import Damaged, NotFound
from mainspring.stats.columns import Columns

_WRITTEN, _READ, _SCANNED = 500, 2_000, 1_000  # rows, keys and names in one command: Redis does nothing else meanwhile
_TRIES = 3
_Pairs = Sequence[tuple[str, str]]  # (key, stamp after which nothing is seen)
_KNOWN = "view {} was never materialised"
_FIX = "run: mainspring features materialise --to ENVIRONMENT"
_WRITE = """
for i = 2, #ARGV, 3 do
  local name, mark = ARGV[1] .. ARGV[i], ARGV[i + 1]
  redis.call('ZREMRANGEBYLEX', name, '[' .. mark .. ':', '(' .. mark .. ';')
  redis.call('ZADD', name, 0, ARGV[i + 2])
end
"""
_SHOW = """
local reply, at = {redis.call('GET', KEYS[1] .. ':published') or '0'}, 1
while ARGV[at] do
  local view, count, rows = ARGV[at], tonumber(ARGV[at + 1]), {}
  local head = redis.call('HMGET', KEYS[1] .. ':view:' .. view, 'columns', 'bound', 'generation')
  if head[1] then
    local stem = KEYS[1] .. ':rows:' .. view .. ':' .. head[3] .. ':'
    for i = at + 2, at + 2 * count, 2 do
      local bound = ARGV[i + 1]
      if head[2] < bound then bound = head[2] end
      rows[#rows + 1] = redis.call('ZREVRANGEBYLEX', stem .. ARGV[i], '(' .. bound, '-', 'LIMIT', 0, 1)[1] or false
    end
  end
  reply[#reply + 1] = {head[1], rows}
  at = at + 2 + 2 * count
end
return reply
"""
_PUBLISH = """
for i = 1, #ARGV, 4 do
  if redis.call('EXISTS', KEYS[1] .. ':view:' .. ARGV[i]) == 0 then return ARGV[i] end
end
for i = 1, #ARGV, 4 do
  local name = KEYS[1] .. ':view:' .. ARGV[i]
  if redis.call('HGET', name, 'bound') < ARGV[i + 2] then
    redis.call('HSET', name, 'until', ARGV[i + 1], 'bound', ARGV[i + 2])
  end
  if tonumber(redis.call('HGET', name, 'generation')) < tonumber(ARGV[i + 3]) then
    redis.call('HSET', name, 'generation', ARGV[i + 3])
  end
end
redis.call('INCR', KEYS[1] .. ':published')
return false
"""
_PRUNE = """
for i = 2, #ARGV do
  local seen = redis.call('ZREVRANGEBYLEX', ARGV[i], '(' .. ARGV[1], '-', 'LIMIT', 0, 1)[1]
  if seen then redis.call('ZREMRANGEBYLEX', ARGV[i], '-', '(' .. seen) end
end
"""


class OnlineStore:
    """Reads and writes what one model needs. name: of the model and its environment. Threads share it."""

    def __init__(self, client: Client, name: str) -> None:
        self._client, self._root = client, f"mainspring:{{{name}}}"
        self._pending: dict[str, int] = {}

    def write(self, view: str, rows: Columns, *, whole: bool = False) -> None:
        """Add rows of a stream; see the port. Redis takes them in parts."""
        kept, generation = self._known(view, Shape.of(rows))
        if whole:
            generation = self._client.do("INCR", f"{self._root}:generations")
            self._pending[view] = generation
        members = kept.members(rows)
        while part := list(islice(members, _WRITTEN)):
            cells = [cell for member in part for cell in member]
            self._client.run(_WRITE, self._root, [f"{self._root}:rows:{view}:{generation}:", *cells])

    def read(self, keys: Mapping[str, Sequence[str | None]], at: Sequence[int]) -> dict[str, Columns]:
        """Return what was shown to each (key, at); see the port. Very many keys take several questions."""
        bounds = [after(int(moment)) for moment in at]
        asked = {
            view: [(key, bound) for key, bound in zip(wanted, bounds, strict=True) if key is not None]
            for view, wanted in keys.items()
        }
        for _ in range(_TRIES):
            found = self._shown(asked)
            if found is not None:
                return {view: _aligned(found[view], wanted) for view, wanted in keys.items()}
        raise OnlineUnreachable("features were published while they were read", fix="try again")

    def watermark(self, view: str) -> int:
        """Return the time up to which the view is complete; see the port."""
        until = self._client.do("HGET", self._head(view), "until")
        return NEVER if until is None else int(until)

    def publish(self, until: Mapping[str, int]) -> None:
        """Say that views are complete up to a time; see the port."""
        words = [(view, at, after(at), self._pending.get(view, 0)) for view, at in until.items()]
        unknown = self._client.run(_PUBLISH, self._root, [word for four in words for word in four])
        if unknown is not None:
            raise NotFound(_KNOWN.format(unknown.decode()), fix="write it first")
        for view in until:
            if self._pending.pop(view, None) is not None:
                self._sweep(view)

    def prune(self, view: str, before: int) -> None:
        """Forget what no read at or after `before` can see; see the port."""
        for names in self._names(view, eq):
            self._client.run(_PRUNE, self._root, [after(before), *names])

    def close(self) -> None:
        """Close the connections; the object cannot be used any more."""
        self._client.close()

    def _head(self, view: str) -> str:
        return f"{self._root}:view:{view}"

    def _known(self, view: str, wanted: Shape) -> tuple[Shape, int]:
        """Return the shape and the generation of a view, made where there is none."""
        head = self._head(view)
        fields = {"columns": wanted.to_json(), "until": NEVER, "bound": after(NEVER), "generation": 0}

        def made(redis: Any) -> list[bytes]:  # noqa: ANN401 - the client that `Client.told` hands on
            all_or_nothing = redis.pipeline(transaction=True)
            for name, value in fields.items():
                all_or_nothing.hsetnx(head, name, value)
            found: list[bytes] = all_or_nothing.hmget(head, "columns", "generation").execute()[-1]
            return found

        columns, generation = self._client.told(made)
        kept = shape(columns)
        if kept.kinds != wanted.kinds:
            raise Damaged(f"view {view} has columns {kept.kinds}, not {wanted.kinds}", fix="use another view name")
        return kept, int(generation)

    def _shown(self, asked: Mapping[str, _Pairs]) -> dict[str, tuple[Shape, list[bytes | None]]] | None:
        """Return the shape and the members of each view; None where something was published between two questions."""
        found: dict[str, tuple[Shape, list[bytes | None]]] = {}
        seen = set()
        for part in _parts(asked):
            words: list[str | int] = []
            for view, pairs in part:
                words += [view, len(pairs), *chain.from_iterable(pairs)]
            version, *answers = self._client.run(_SHOW, self._root, words)
            seen.add(version)
            for (view, _), (columns, rows) in zip(part, answers, strict=True):
                if columns is None:
                    raise NotFound(_KNOWN.format(view), fix=_FIX)
                found.setdefault(view, (shape(columns), []))[1].extend(rows)
        return found if len(seen) <= 1 else None

    def _sweep(self, view: str) -> None:
        """Forget what a view held before it was written as a whole, and what was never published."""
        for names in self._names(view, lt):
            self._client.do("UNLINK", *names)

    def _names(self, view: str, chosen: Callable[[int, int], bool]) -> Iterator[list[bytes]]:
        """Yield names of sorted sets of a view whose generation, beside the view's own, is chosen."""
        stem = f"{self._root}:rows:{view}:".encode()
        pattern = re.sub(rb"([*?\[\]\\^-])", rb"\\\1", stem) + b"*"
        current = int(self._client.do("HGET", self._head(view), "generation") or 0)
        cursor = 0
        while True:
            cursor, names = self._client.do("SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED)
            part = [name for name in names if chosen(int(name[len(stem) :].partition(b":")[0]), current)]
            if part:
                yield part
            if not cursor:
                return


def _parts(asked: Mapping[str, _Pairs]) -> Iterator[list[tuple[str, _Pairs]]]:
    """Yield questions of at most `_READ` keys. A view without a key is asked for too: its columns are needed."""
    part: list[tuple[str, _Pairs]] = []
    room = _READ
    for view, pairs in asked.items():
        start = 0
        while start == 0 or start < len(pairs):
            taken = pairs[start : start + room]
            part.append((view, taken))
            start, room = start + max(len(taken), 1), room - len(taken)
            if room <= 0:
                yield part
                part, room = [], _READ
    if part:
        yield part


def _aligned(found: tuple[Shape, list[bytes | None]], keys: Sequence[str | None]) -> Columns:
    """Return a row for each key, nulls for one that is None."""
    kept, members = found
    rest = iter(members)
    return kept.columns([None if key is None else next(rest) for key in keys])
