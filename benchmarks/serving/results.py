"""From records to the rows of benchmarks/results/serving.json: medians, ratios, bounds."""

import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from serving.servers import Server

OURS, BARE = "mainspring", "mainspring-bare"
Records = Sequence[Mapping[str, Any]]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A row that must hold: what is compared, against whom, and how far it must reach.

    peers: names that count; the best of those measured is the peer. field: of a record.
    """

    work: str
    record: str
    field: str
    unit: str
    must: float
    aim: float
    peers: Callable[[str], bool]
    higher: bool = True
    theirs: str = ""


def _any(name: str) -> bool:
    return not name.startswith(OURS)


def _in_process(name: str) -> bool:
    return name == "mlserver"


BOUNDS = (
    Bound(work="1 row: requests/s against the best peer", record="gb_1", field="rps", unit="1/s", must=12, aim=18,
          peers=_any),
    Bound(work="1 row: p99 at 16 connections, against MLServer in process", record="gb_1", field="p99_ms", unit="ms",
          must=1 / 8, aim=1 / 15, peers=_in_process, higher=False),
    Bound(work="1 row, RandomForest(100): requests/s against the best peer", record="rf_1", field="rps", unit="1/s",
          must=18, aim=29, peers=_any),
    Bound(work="100 rows, JSON: requests/s against the best peer", record="gb_100", field="rps", unit="1/s", must=3,
          aim=5, peers=_any),
    Bound(work="100 rows, binary, against the best peer's 100 rows JSON", record="gb_100_binary", theirs="gb_100",
          field="rps", unit="1/s", must=6, aim=8, peers=_any),
    Bound(work="gRPC, 1 row: requests/s against MLServer", record="grpc_1", field="rps", unit="1/s", must=3.5, aim=6,
          peers=lambda name: name == "mlserver"),
    Bound(work="1 row beside a model of 20 ms that is asked without a pause: p99 against alone", record="gb_1_beside",
          theirs="gb_1_alone", field="p99_ms", unit="ms", must=3, aim=1.5, peers=lambda name: name == OURS,
          higher=False),
    Bound(work="everything on, against logging, metrics and authentication off", record="gb_1", field="rps", unit="1/s",
          must=0.75, aim=0.85, peers=lambda name: name == BARE),
)  # fmt: skip
ABSOLUTE = (
    ("start to first right answer", "start_s", "s", 0.6, 0.35),
    ("resident memory (PSS) of the process tree after load, one small model", "pss_mb", "MB", 95.0, 75.0),
)
TOLD = (
    ("1 row: requests/s", "gb_1", "rps", "1/s", True), ("1 row: p99", "gb_1", "p99_ms", "ms", False),
    ("1 row, RandomForest(100): requests/s", "rf_1", "rps", "1/s", True),
    ("100 rows: requests/s", "gb_100", "rps", "1/s", True), ("100 rows: p99", "gb_100", "p99_ms", "ms", False),
    ("start to first right answer", "gb_1", "start_s", "s", False),
    ("memory after load", "gb_1", "pss_mb", "MB", False),
)  # fmt: skip


def rows_of(records: Records, servers: Mapping[str, Server], versions: Mapping[str, str]) -> list[Row]:
    """Return every row: the bounds first, then each peer beside us, losing rows included."""
    ours = versions_of(versions[OURS])
    rows = [row for bound in BOUNDS if (row := _bounded(bound, records, servers)) is not None]
    for work, field, unit, must, aim in ABSOLUTE:
        runs = _runs(records, OURS, "gb_1", field)
        if runs:
            rows.append(_row(work, runs, unit, bounds=(must, aim), higher=False))
    for name, server in servers.items():
        if name != OURS:
            rows += [row for told in TOLD if (row := _told(told, records, server)) is not None]
    by_label = {server.label: f"{server.package} {versions[name]}" for name, server in servers.items()}
    for row in rows:
        package, _, number = by_label.get(str(row["peer_name"]), "").partition(" ")
        row["versions"] = {**ours, package: number} if package and package != OURS else ours
    return rows


def versions_of(own: str) -> dict[str, str]:
    """Return the versions of our side."""
    packages = ("uvicorn", "httptools", "uvloop", "onnxruntime", "scikit-learn", "numpy", "msgspec")
    return {"mainspring": own, "python": platform.python_version(), **{name: version(name) for name in packages}}


def _bounded(bound: Bound, records: Records, servers: Mapping[str, Server]) -> Row | None:
    ours = _runs(records, OURS, bound.record, bound.field)
    found = {
        name: runs for name in servers
        if bound.peers(name) and (runs := _runs(records, name, bound.theirs or bound.record, bound.field))
    }  # fmt: skip
    if not ours or not found:
        return None
    best = (max if bound.higher else min)(found, key=lambda name: statistics.median(found[name]))
    return _row(
        bound.work, ours, bound.unit, peer=(servers[best].label, found[best]), bounds=(bound.must, bound.aim),
        higher=bound.higher,
    )  # fmt: skip


def _told(told: tuple[str, str, str, str, bool], records: Records, server: Server) -> Row | None:
    work, record, field, unit, higher = told
    ours, theirs = _runs(records, OURS, record, field), _runs(records, server.name, record, field)
    if not ours or not theirs:
        return None
    return _row(work, ours, unit, peer=(server.label, theirs), higher=higher)


def _runs(records: Records, server: str, work: str, field: str) -> list[float]:
    return [float(record[field]) for record in records if (record["server"], record["work"]) == (server, work)]


def _row(
    work: str, runs: list[float], unit: str, *, peer: tuple[str, list[float]] | None = None,
    bounds: tuple[float, float] | None = None, higher: bool = True,
) -> Row:  # fmt: skip
    ours = statistics.median(runs)
    theirs = statistics.median(peer[1]) if peer else None
    must, aim = bounds or (None, None)
    return {
        "work": work, "ours": round(ours, 3), "peer": None if theirs is None else round(theirs, 3),
        "peer_name": peer[0] if peer else None, "unit": unit,
        "ratio": round(ours / theirs, 4) if theirs else None, "must": must, "aim": aim, "higher_is_better": higher,
        "runs": {"ours": [round(run, 3) for run in runs], "peer": [round(run, 3) for run in peer[1]] if peer else []},
    }  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text."""
    lines = [f"{'work':66} {'ours':>10} {'peer':>10} {'ratio':>8} {'must':>7} {'aim':>7}"]
    for row in rows:
        cells = [f"{row[name]:.4g}" if row[name] is not None else "" for name in ("peer", "ratio", "must", "aim")]
        name = (
            row["work"] if row["must"] is not None or not row["peer_name"] else f"  {row['work']}: {row['peer_name']}"
        )
        missed = _missed(row)
        lines.append(
            f"{name[:66]:66} {row['ours']:>10.5g} {cells[0]:>10} {cells[1]:>8} {cells[2]:>7} {cells[3]:>7}{missed}"
        )
    return "\n".join(lines)


def _missed(row: Row) -> str:
    if row["must"] is None:
        return ""
    value = row["ratio"] if row["ratio"] is not None else row["ours"]
    within = value >= row["must"] if row["higher_is_better"] else value <= row["must"]
    return "" if within else "  MISSED"
