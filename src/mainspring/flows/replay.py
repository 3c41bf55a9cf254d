"""Replay history through the real server, a tick at a time, with a virtual clock.

One tick, in this order: the server answers every ask of the tick in one binary V2 request, labels that became known
arrive, the log is flushed, `watch` looks and acts, and the server is waited for until it runs what `watch` released.
Features are joined once for the whole stream, for they don't depend on the policy. Start at `replay`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mainspring.kernel.errors import InvalidValue, RunFailed
from mainspring.kernel.records import Label
from mainspring.kernel.times import FixedClock, format_duration, format_time
from mainspring.stats.columns import Columns, length, take

Progress = Callable[[str, float], None]


class Server(Protocol):
    """The inference server as a replay drives it: over HTTP, never in process."""

    def infer(self, columns: Columns, keys: list[str], asked_at: list[int]) -> list[str]:
        """Send one binary request and return the prediction ids, one a row."""

    def set_clock(self, now: int) -> None:
        """Move the server's virtual clock to `now` (UTC microseconds)."""

    def flush(self) -> None:
        """Return when everything answered so far is in the log."""

    def settle(self, commit: str) -> None:
        """Return when the server runs the release of `commit`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """History to replay: asks with their point-in-time features, and labels as they became known.

    asks: key, asked_at (int64 us) and one column a feature, in order of asked_at.
    labels: key, asked_at, value, known_at, in order of known_at.
    """

    asks: Columns
    labels: Columns

    def asks_between(self, start: int, end: int) -> Columns:
        """Return the asks of [start, end)."""
        low, high = np.searchsorted(self.asks["asked_at"], [start, end])
        return take(self.asks, np.arange(low, high))

    def labels_known(self, after: int, until: int, *, asked_from: int) -> list[Label]:
        """Return the labels with known_at in (after, until] of questions asked from `asked_from` on."""
        low, high = np.searchsorted(self.labels["known_at"], [after, until], side="right")
        rows = np.arange(low, high)
        rows = rows[self.labels["asked_at"][rows] >= asked_from]
        names = ("key", "asked_at", "value", "known_at")
        key, asked_at, value, known_at = (self.labels[name][rows].tolist() for name in names)
        return [
            Label(key=k, asked_at=a, value=v, known_at=n)
            for k, a, v, n in zip(key, asked_at, value, known_at, strict=True)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPorts:
    """What a replay drives: the server, the virtual clock, the label inbox and the watcher.

    look: one `watch`; returns the release commit that the server must run before the next tick.
    """

    server: Server
    clock: FixedClock
    add_labels: Callable[[list[Label]], object]
    look: Callable[[], str]
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What went through: requests and rows sent, labels fed, and one real prediction id from the middle."""

    ticks: int
    requests: int
    rows: int
    labels: int
    prediction_id: str


def replay(stream: Stream, *, start: int, end: int, every: int, ports: ReplayPorts) -> Replayed:
    """Run [start, end) in ticks of `every` microseconds and return what was sent."""
    if (end - start) % every:
        raise InvalidValue(
            f"the replayed time is no whole number of ticks of {format_duration(every)}",
            fix="begin and end with a tick",
        )
    requests = rows = labels = ticks = 0
    prediction_id = ""
    for closes in range(start + every, end + 1, every):
        ports.clock.at = closes
        ports.server.set_clock(closes)
        asks = stream.asks_between(closes - every, closes)
        if length(asks):
            ids = _ask(asks, ports.server)
            requests, rows = requests + 1, rows + len(ids)
            if not prediction_id or closes <= (start + end) // 2:
                prediction_id = ids[0]
        known = stream.labels_known(closes - every, closes, asked_from=start)
        ports.add_labels(known)
        ports.server.flush()
        ports.server.settle(ports.look())
        labels, ticks = labels + len(known), ticks + 1
        ports.progress(format_time(closes)[:10], (closes - start) / (end - start))
    return Replayed(ticks=ticks, requests=requests, rows=rows, labels=labels, prediction_id=prediction_id)


def _ask(asks: Columns, server: Server) -> list[str]:
    features = {name: values for name, values in asks.items() if name not in ("key", "asked_at")}
    ids = server.infer(features, asks["key"].tolist(), asks["asked_at"].tolist())
    if len(ids) != length(asks):
        raise RunFailed(f"asked {length(asks)} rows, the server answered {len(ids)}", fix="look at the server's log")
    return ids
