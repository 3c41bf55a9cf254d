"""Take a snapshot of every source, and open one again by version or by date.

A snapshot is new only if a source's bytes, its read spec or the set of sources changed. Refused data leaves the last
good snapshot in use, and both the error and the ledger say so.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mainspring.data.expectations import DataRefused, Expectations, Finding, warnings
from mainspring.data.ports import SourceReader
from mainspring.data.snapshots import Snapshot, SourceTable, from_json, read_spec
from mainspring.data.views import Source
from mainspring.kernel.digests import digest_of
from mainspring.kernel.errors import Conflict, NotFound
from mainspring.kernel.events import Draft, Event, Ledger
from mainspring.kernel.failpoints import hit
from mainspring.kernel.stores import Store
from mainspring.kernel.times import format_time

TAKEN, REFUSED, CHECKED = "snapshot.taken", "snapshot.refused", "snapshot.checked"
_TRIES = 5
_LISTED = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPorts:
    """What taking a snapshot needs from outside."""

    ledger: Ledger
    store: Store
    reader: SourceReader


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotTaken:
    """The snapshot that now holds. new: whether this call made it. warnings: strange, but good enough to keep."""

    version: int
    digest: str
    new: bool
    rows: Mapping[str, int]
    warnings: tuple[Finding, ...] = field(default=())


def take(
    sources: Sequence[Source], expectations: Mapping[str, Expectations], ports: SnapshotPorts,
    *, at: int, actor: str, ask: str = "",
) -> SnapshotTaken:  # fmt: skip
    """Read every source that changed, judge it, and record a new version if anything is new.

    expectations: by source name; a source without any promises one row. ask: the source that is asked about; a key
    there has one event time. Raises `DataRefused` with the findings of all sources (recorded as `snapshot.refused`;
    the last good version stays).
    """
    rules = {source.name: expectations.get(source.name, Expectations(source=source.name)) for source in sources}
    judged = digest_of({name: rule.digest for name, rule in rules.items()} | {"ask": ask})
    last = _last(ports.ledger)
    before = _read(ports.store, last) if last else Snapshot(sources=())
    same_rules = last is not None and judged == _judged(ports.ledger, last)
    tables: list[SourceTable] = []
    findings: list[Finding] = []
    for source in sorted(sources, key=lambda source: source.name):
        kept = before.table(source.name) if same_rules else None
        try:
            tables.append(_table(source, rules[source.name], kept, ports, one_time=source.name == ask))
        except DataRefused as error:
            findings.extend(error.findings)
    if findings:
        raise _refused(findings, last, ports.ledger, at=at, actor=actor)
    snapshot = Snapshot(sources=tuple(tables))
    notes = tuple(note for table in tables for note in warnings(table, at))
    return _record(snapshot, notes, ports, judged=judged, at=at, actor=actor)


def open_snapshot(ledger: Ledger, store: Store, *, version: int | None = None, date: int | None = None) -> Snapshot:
    """Return the last snapshot, the one of `version`, or the one that held at `date` (UTC microseconds).

    Raises `NotFound`.
    """
    return _read(store, find_snapshot(ledger, version=version, date=date))


def find_snapshot(ledger: Ledger, *, version: int | None = None, date: int | None = None) -> Event:
    """Return the `snapshot.taken` event of a version, of a date, or the last one; `NotFound` if there is none."""
    taken = ledger.read(kind=TAKEN)
    if version is not None:
        taken = [event for event in taken if event.body["version"] == version]
    if date is not None:
        taken = [event for event in taken if event.at <= date]
    if not taken:
        asked = (
            f"version {version}" if version is not None else f"of {format_time(date)}" if date is not None else "yet"
        )
        raise NotFound(
            f"there is no snapshot {asked}", fix="take one: mainspring snapshot; mainspring data log lists them"
        )
    return taken[-1]


def table_paths(snapshot: Snapshot, store: Store) -> dict[str, list[Path]]:
    """Return each source's Parquet files in order of event time: what training sets are built from."""
    return {table.name: [store.path(part.digest) for part in table.partitions] for table in snapshot.sources}


def _table(
    source: Source, rules: Expectations, kept: SourceTable | None, ports: SnapshotPorts, *, one_time: bool
) -> SourceTable:
    """Return the table of the last snapshot if it still holds, else read the source."""
    if kept and kept.spec == read_spec(source) and kept.fingerprint == ports.reader.fingerprint(source):
        return kept
    return ports.reader.ingest(source, rules, ports.store, one_time_a_key=one_time)


def _last(ledger: Ledger) -> Event | None:
    taken = ledger.read(kind=TAKEN)
    return taken[-1] if taken else None


def _judged(ledger: Ledger, last: Event) -> str:
    """Return the digest of the rules by which the last snapshot was found good most recently."""
    checks = [event for event in ledger.read(kind=CHECKED, after=last.seq)]
    return str((checks[-1] if checks else last).body["rules"])


def _read(store: Store, event: Event) -> Snapshot:
    return from_json(json.loads(store.get(str(event.body["digest"]))))


def _refused(findings: Sequence[Finding], last: Event | None, ledger: Ledger, *, at: int, actor: str) -> DataRefused:
    version = int(last.body["version"]) if last else 0
    kept = (
        f"snapshot {version} of {format_time(last.at)} stays in use" if last else "there is no earlier snapshot to use"
    )
    body = {"findings": [finding.to_json() for finding in findings[:_LISTED]], "count": len(findings), "kept": version}
    sources = sorted({finding.source for finding in findings})
    draft = Draft(kind=REFUSED, subject=f"source:{sources[0]}", actor=actor, body={**body, "sources": sources})
    ledger.append([draft], at=at)
    return DataRefused(findings, kept=kept)


def _record(
    snapshot: Snapshot, notes: tuple[Finding, ...], ports: SnapshotPorts, *, judged: str, at: int, actor: str
) -> SnapshotTaken:
    """Append the new version unless the last one is equal; look again when another writer was first."""
    digest, rows = snapshot.digest, {table.name: table.rows for table in snapshot.sources}
    for _ in range(_TRIES):
        head, last = ports.ledger.head()[0], _last(ports.ledger)
        version = int(last.body["version"]) if last else 0
        same = last is not None and last.body["digest"] == digest
        if same and last is not None and _judged(ports.ledger, last) == judged:
            return SnapshotTaken(version=version, digest=digest, new=False, rows=rows, warnings=notes)
        if same:
            draft = Draft(kind=CHECKED, subject=digest, actor=actor, body={"version": version, "rules": judged})
        else:
            draft = _draft(snapshot, notes, version + 1, judged, actor)
            ports.store.put(snapshot.to_bytes())
        hit("snapshot.commit")
        try:
            ports.ledger.append([draft], at=at, expected_head=head)
        except Conflict:
            continue
        return SnapshotTaken(version=version + (not same), digest=digest, new=not same, rows=rows, warnings=notes)
    raise Conflict("other writers kept the ledger busy; nothing was changed", fix="take the snapshot again")


def _draft(snapshot: Snapshot, notes: Sequence[Finding], version: int, judged: str, actor: str) -> Draft:
    body = {
        "version": version,
        "digest": snapshot.digest,
        "rows": {table.name: table.rows for table in snapshot.sources},
        "rules": judged,
        "warnings": [str(note) for note in notes[:_LISTED]],
    }
    return Draft(kind=TAKEN, subject=snapshot.digest, actor=actor, body=body)
