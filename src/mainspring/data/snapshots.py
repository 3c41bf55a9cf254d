"""What a snapshot is: an immutable document that names every partition of every source by digest.

Pure records that travel as JSON. `adapters.duckdb.reader` makes a `SourceTable` of one source, `flows.snapshot`
joins them, numbers the result and opens it again.

Words: a *partition* is one canonical Parquet file of one month of event time (the only one of a source without
event time); a *fingerprint* identifies the bytes of a source's file; a *read spec* is how they were read.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mainspring.data.views import ColumnType, Source
from mainspring.kernel.digests import canonical_json, digest_bytes, digest_of
from mainspring.kernel.errors import Damaged

SNAPSHOT_SCHEMA = 1
READER_FORMAT = 1

Bound = float | int | str | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One Parquet file in the content store: rows with start <= event_time < end, UTC microseconds; 0, 0 = always."""

    digest: str
    rows: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnInfo:
    """What a column holds.

    low, high: smallest and largest value (numbers as float, times as UTC microseconds, strings by code point and
    cut at 100 characters, bool), None when all are null. distinct: about how many values differ (HyperLogLog).
    """

    name: str
    type: ColumnType
    nulls: int
    low: Bound
    high: Bound
    distinct: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTable:
    """One source as it was read: where its rows are and what its columns hold.

    fingerprint: digest of the file's bytes. spec: `read_spec` of the source.
    """

    name: str
    fingerprint: str
    spec: str
    columns: tuple[ColumnInfo, ...]
    partitions: tuple[Partition, ...]

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return sum(partition.rows for partition in self.partitions)

    def types(self) -> dict[str, ColumnType]:
        """Return each column's type."""
        return {column.name: column.type for column in self.columns}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Every source of a project at one moment, in order of name."""

    sources: tuple[SourceTable, ...]

    @property
    def digest(self) -> str:
        """Return the digest of the canonical document: the snapshot's identity."""
        return digest_bytes(self.to_bytes())

    @property
    def rows(self) -> int:
        """Return the number of rows of all sources."""
        return sum(table.rows for table in self.sources)

    def table(self, name: str) -> SourceTable | None:
        """Return the source called `name`, or None."""
        return next((table for table in self.sources if table.name == name), None)

    def types(self) -> dict[str, dict[str, ColumnType]]:
        """Return each source's column types: what `check_definitions` asks for."""
        return {table.name: table.types() for table in self.sources}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON that `from_json` reads back."""
        return {"schema": SNAPSHOT_SCHEMA, "sources": [asdict(table) for table in self.sources]}

    def to_bytes(self) -> bytes:
        """Return the canonical document, as it lies in the content store."""
        return canonical_json(self.to_json())


def from_json(document: Mapping[str, Any]) -> Snapshot:
    """Read a snapshot document; `Damaged` for another schema or shape."""
    try:
        if document["schema"] != SNAPSHOT_SCHEMA:
            raise Damaged(f"snapshot schema {document['schema']} is not {SNAPSHOT_SCHEMA}", fix="upgrade mainspring")
        return Snapshot(sources=tuple(_table(raw) for raw in document["sources"]))
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"a snapshot document cannot be read: {error}", fix="take a new snapshot") from error


def read_spec(source: Source) -> str:
    """Return the digest of how a source is read: equal spec and equal bytes give equal tables.

    Where the file lies is no part of it.
    """
    return digest_of(
        {
            "reader": READER_FORMAT,
            "format": source.uri.rpartition(".")[2].lower(),
            "key": source.key,
            "event_time": source.event_time,
            "known": source.known,
            "zone": source.zone,
        }
    )


def _table(raw: Mapping[str, Any]) -> SourceTable:
    return SourceTable(
        name=raw["name"],
        fingerprint=raw["fingerprint"],
        spec=raw["spec"],
        columns=tuple(_column(item) for item in raw["columns"]),
        partitions=tuple(Partition(**item) for item in raw["partitions"]),
    )


def _column(raw: Mapping[str, Any]) -> ColumnInfo:
    """Canonical JSON keeps floats as their repr strings: read them back."""
    if raw["type"] != "number":
        return ColumnInfo(**raw)
    low, high = (None if raw[end] is None else float(raw[end]) for end in ("low", "high"))
    return ColumnInfo(**{**raw, "low": low, "high": high})
