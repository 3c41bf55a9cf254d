"""Profiles: a tick's rows counted in the bins of a model's reference. Profiles of one reference add up.

A `Reference` belongs to one model: for every input and for the score (column `OUTPUT`) its bins, how training filled
them, and what was *usual* from week to week (`learn_reference` makes it). Counts of all columns lie in one vector,
each column's bins followed by its nulls, so adding 28 ticks is 28 vector additions.

Number bins: below the widened training range, then between cut points, then above the widened range (see
`references.cut_points`). String bins: the commonest 100 levels, then all others.
"""

import base64
import json
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mainspring.kernel.digests import canonical_json, digest_of
from mainspring.kernel.errors import Damaged, InvalidValue
from mainspring.stats.columns import Array, Columns, Floats, is_null, length

SCHEMA = 1
OUTPUT = "(score)"
Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class ColumnReference:
    """One column: bins, training counts (nulls last), and the usual value of every detector, by its name.

    cuts: ascending, for numbers; a value equal to a cut lies above it. levels: for strings, commonest first.
    """

    name: str
    kind: Literal["number", "string"]
    cuts: tuple[float, ...]
    levels: tuple[str, ...]
    counts: tuple[int, ...]
    usual: Mapping[str, float]

    @cached_property
    def index(self) -> dict[str | None, int]:
        """Bin of a level; None (null) is the last bin, a missing level belongs to the last but one."""
        return {**{level: place for place, level in enumerate(self.levels)}, None: len(self.levels) + 1}

    @cached_property
    def edges(self) -> Floats:
        """The cuts as an array."""
        return np.array(self.cuts, np.float64)

    @cached_property
    def expected(self) -> Counts:
        """The training counts as an array."""
        return np.array(self.counts, np.int64)

    @property
    def bins(self) -> int:
        """Number of bins, nulls included."""
        return len(self.cuts) + 2 if self.kind == "number" else len(self.levels) + 2


@dataclass(frozen=True, kw_only=True)
class Reference:
    """How a model's inputs and scores looked in training. rows: asks in it; start, end: UTC microseconds."""

    columns: tuple[ColumnReference, ...]
    rows: int
    start: int
    end: int

    @cached_property
    def digest(self) -> str:
        """Names the bins: profiles of different references do not add up."""
        return digest_of([[c.name, c.kind, c.cuts, c.levels] for c in self.columns])

    @cached_property
    def slots(self) -> dict[str, slice]:
        """Where each column's counts lie in a profile's vector."""
        ends = np.cumsum([column.bins for column in self.columns]).tolist()
        return {c.name: slice(end - c.bins, end) for c, end in zip(self.columns, ends, strict=True)}

    def to_bytes(self) -> bytes:
        """Return canonical JSON: `profile.json` of a model directory."""
        return canonical_json({"schema": SCHEMA, **asdict(self)})


@dataclass(frozen=True, kw_only=True)
class TickProfile:
    """Counts of some rows in the bins of the reference whose digest is `reference`."""

    reference: str
    rows: int
    counts: Counts

    def __add__(self, other: "TickProfile") -> "TickProfile":
        """Return the profile of both together."""
        if self.reference != other.reference:
            raise InvalidValue("profiles of two references do not add up", fix="add profiles of one model")
        return TickProfile(reference=self.reference, rows=self.rows + other.rows, counts=self.counts + other.counts)

    def to_bytes(self) -> bytes:
        """Return compact JSON: the counts as zlib-compressed little-endian int64 in base64."""
        packed = base64.b64encode(zlib.compress(self.counts.astype("<i8").tobytes(), 1)).decode("ascii")
        return canonical_json({"schema": SCHEMA, "reference": self.reference, "rows": self.rows, "counts": packed})


def read_reference(data: bytes) -> Reference:
    """Parse `Reference.to_bytes`; numbers may be repr strings."""
    try:
        raw = json.loads(data)
        if raw["schema"] != SCHEMA:
            raise Damaged(f"profile schema {raw['schema']} is not {SCHEMA}", fix="upgrade mainspring")
        columns = tuple(_column(item) for item in raw["columns"])
        return Reference(columns=columns, rows=raw["rows"], start=raw["start"], end=raw["end"])
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"a reference profile cannot be read: {error}", fix="register the model again") from error


def read_profile(data: bytes) -> TickProfile:
    """Parse `TickProfile.to_bytes`."""
    try:
        raw = json.loads(data)
        if raw["schema"] != SCHEMA:
            raise Damaged(f"profile schema {raw['schema']} is not {SCHEMA}", fix="upgrade mainspring")
        counts = np.frombuffer(zlib.decompress(base64.b64decode(raw["counts"])), dtype="<i8")
        return TickProfile(reference=raw["reference"], rows=raw["rows"], counts=counts.astype(np.int64))
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise Damaged(f"a stored profile cannot be read: {error}", fix="rebuild observations from the log") from error


def profile(reference: Reference, columns: Columns, scores: Array) -> TickProfile:
    """Count the rows of `columns` (inputs by name) and their `scores`; a column that is absent counts as null."""
    table = {**columns, OUTPUT: np.asarray(scores, np.float64)}
    rows = length(columns) if columns else len(scores)
    if len(scores) != rows:
        raise InvalidValue(f"{rows} rows and {len(scores)} scores do not pair", fix="give one score a row")
    parts = [_count(column, table.get(column.name), rows) for column in reference.columns]
    counts = np.concatenate(parts) if parts else np.zeros(0, np.int64)
    return TickProfile(reference=reference.digest, rows=rows, counts=counts)


def without(reference: Reference, found: TickProfile, hidden: Collection[str]) -> TickProfile:
    """Return a profile that counts nothing in the `hidden` columns: their values were kept out of the log."""
    slots = [reference.slots[column.name] for column in reference.columns if column.name in hidden]
    if not slots:
        return found
    counts = found.counts.copy()
    for slot in slots:
        counts[slot] = 0
    return replace(found, counts=counts)


def add_up(reference: Reference, profiles: Iterable[TickProfile]) -> TickProfile:
    """Return the sum of `profiles`; the empty profile for none."""
    total = np.zeros(sum(column.bins for column in reference.columns), np.int64)
    rows = 0
    for item in profiles:
        if item.reference != reference.digest or len(item.counts) != len(total):
            raise InvalidValue("a profile of another reference does not add up", fix="add profiles of one model")
        total += item.counts
        rows += item.rows
    return TickProfile(reference=reference.digest, rows=rows, counts=total)


def bin_rows(column: ColumnReference, values: Array) -> Counts:
    """Return the bin of every value; the last bin holds nulls."""
    if column.kind == "string":
        index, other = column.index, len(column.levels)
        return np.fromiter((index.get(value, other) for value in values.tolist()), np.int64, len(values))
    numbers = values.astype(np.float64, copy=False)
    place = column.edges.searchsorted(numbers, side="right").astype(np.int64)
    place[is_null(numbers)] = len(column.cuts) + 1
    return place


def _count(column: ColumnReference, values: Array | None, rows: int) -> Counts:
    if values is None:
        missing = np.zeros(column.bins, np.int64)
        missing[-1] = rows
        return missing
    if (column.kind == "string") != (values.dtype == object):
        raise InvalidValue(f"column {column.name!r} is not {column.kind}s", fix="send the type that training had")
    return np.bincount(bin_rows(column, values), minlength=column.bins).astype(np.int64)


def _column(raw: Mapping[str, Any]) -> ColumnReference:
    return ColumnReference(
        name=raw["name"],
        kind=raw["kind"],
        cuts=tuple(float(cut) for cut in raw["cuts"]),
        levels=tuple(raw["levels"]),
        counts=tuple(int(count) for count in raw["counts"]),
        usual={name: float(value) for name, value in raw["usual"].items()},
    )
