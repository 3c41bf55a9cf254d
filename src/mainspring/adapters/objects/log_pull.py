"""Bring the prediction log of other machines from an object store into a folder of segments, for a watch to read.

The objects of one hour and writer, in the order of their names, are a segment: what is missing at its end is appended.
`pulled.json` says how many bytes of each segment came; it outlives segments that were compacted, so that none comes
twice. Killed at any point, the next pull goes on. What arrives for a segment that is gone becomes one of its own.
"""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

from mainspring.adapters.objects.bucket import Bucket
from mainspring.adapters.objects.log import PREFIX
from mainspring.kernel.errors import Damaged
from mainspring.kernel.files import make_private, write_atomic
from mainspring.kernel.times import DAY, from_us

INDEX = "pulled.json"
_OBJECT = re.compile(rf"{PREFIX}/(\d{{4}})/(\d\d)/(\d\d)/(\d\d)/([A-Za-z0-9]{{1,64}})-\d{{12}}\.log")
_MOST = 256 << 20


def pull_log(bucket: Bucket, folder: Path, *, since: int, until: int) -> int:
    """Append to `folder` what the store has of the days from `since` to `until` (UTC microseconds); return bytes."""
    make_private(folder)
    index = folder / INDEX
    known = _known(index)
    taken = 0
    for hour, writer, objects in _segments(bucket, since, until):
        taken += _append(bucket, folder, f"{hour}-{writer}", objects, known)
        write_atomic(index, json.dumps(known).encode(), durable=False)
    first = f"{from_us(since - DAY):%Y%m%d%H}"
    kept = {name: size for name, size in known.items() if name >= first}
    if kept != known:
        write_atomic(index, json.dumps(kept).encode(), durable=False)
    return taken


def _segments(bucket: Bucket, since: int, until: int) -> Iterator[tuple[str, str, list[tuple[str, int]]]]:
    """Yield (hour, writer, its objects with their sizes), oldest first; names that are no log's are passed over."""
    for day in range(since - since % DAY, until + 1, DAY):
        found = []
        for name, size in bucket.sizes(f"{PREFIX}/{from_us(day):%Y/%m/%d}"):
            if match := _OBJECT.fullmatch(name):
                found.append(("".join(match.groups()[:4]), match[5], name, size))
        for (hour, writer), group in groupby(sorted(found), key=lambda item: item[:2]):
            yield hour, writer, [(name, size) for _, _, name, size in group]


def _append(bucket: Bucket, folder: Path, name: str, objects: list[tuple[str, int]], known: dict[str, int]) -> int:
    """Append the objects of a segment that did not come yet; return their bytes."""
    came, whole = known.get(name, 0), sum(size for _, size in objects)
    if whole <= came:
        return 0
    path = folder / f"{name}.log"
    if came and not path.exists():
        path = folder / f"{name}after{came}.log"
    with path.open("ab") as stream:
        if path.name == f"{name}.log":
            stream.truncate(came)  # a pull that was killed may have left more
        at = 0
        for object_name, size in objects:
            if at >= came:
                data = bucket.get(object_name, _MOST)
                if data is None or len(data) != size:
                    raise Damaged(f"{object_name} changed while it was read", fix="try again; see who writes there")
                stream.write(data)
            at += size
    known[name] = whole
    return whole - came


def _known(index: Path) -> dict[str, int]:
    if not index.exists():
        return {}
    try:
        found: Mapping[str, int] = json.loads(index.read_bytes())
        return {str(name): int(size) for name, size in found.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise Damaged(f"{INDEX} cannot be read", fix="remove the folder of the log, it is brought again") from error
