"""Labels in one SQLite file, with the winners of the last days kept in memory.

A window is read at every tick and only its newest days change. So the winning labels of up to 32 days are kept, and
a day is forgotten when this process adds a label to it; when another process wrote anything, all are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from mainspring.adapters.sqlite.observations_files import connect, writing
from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.records import Label
from mainspring.kernel.times import DAY
from mainspring.observe.joining import Known

MAX_DAYS = 32
TABLES = """
create table if not exists labels (
    asked_at integer not null, key text not null, known_at integer not null, arrival integer not null,
    value real not null, primary key (asked_at, key, known_at, value)
) without rowid;
create index if not exists labels_by_known on labels (known_at);
create index if not exists labels_by_arrival on labels (arrival)
"""
_WITHIN = "select asked_at, key, value, known_at from labels where asked_at >= ? and asked_at < ? and known_at <= ?"
_LAST_WINS = " order by known_at, arrival"
_EVER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Day:
    """A day's winners and the latest `known_at` of any of its labels."""

    winners: Known
    latest: int


class LabelsFile:
    """Labels with `synchronous=FULL`: an accepted label survives a power cut."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.database = connect(path, TABLES, "FULL" if durable else "OFF")
        self._days: dict[int, Day] = {}
        self._version = 0

    def add(self, labels: Sequence[Label]) -> int:
        """Keep labels that are new, in one transaction; return how many were."""
        if any(not isfinite(label.value) for label in labels):
            raise InvalidValue("a label is not a finite number", fix="leave questions without an outcome out")
        if not labels:
            return 0
        with writing(self.database) as database:
            before = database.total_changes
            arrival = database.execute("select coalesce(max(arrival), 0) from labels").fetchone()[0]
            database.executemany(
                "insert or ignore into labels (asked_at, key, known_at, arrival, value) values (?, ?, ?, ?, ?)",
                [(one.asked_at, one.key, one.known_at, arrival + n, one.value) for n, one in enumerate(labels, 1)],
            )
            added = database.total_changes - before
        for day in {one.asked_at // DAY for one in labels}:
            self._days.pop(day, None)
        return added

    def known_between(self, after: int, until: int) -> int:
        """Count questions that have a label with after < known_at <= until."""
        found = self.database.execute(
            "select count(*) from (select distinct asked_at, key from labels where known_at > ? and known_at <= ?)",
            (after, until),
        )
        return int(found.fetchone()[0])

    def days(self, start: int, end: int) -> tuple[Day, ...]:
        """Return the kept winners of every day that [start, end) touches; the same objects until a label changes."""
        self._forget_if_stale()
        return tuple(self._day(day) for day in range(start // DAY, (end - 1) // DAY + 1))

    def winners(self, start: int, end: int, as_of: int) -> Known:
        """Return the winning label known by `as_of` of every question with start <= asked_at < end."""
        days = range(start // DAY, (end - 1) // DAY + 1)
        if len(days) > MAX_DAYS:
            return self._read(start, end, as_of)
        self._forget_if_stale()
        found: Known = {}
        for day in days:
            kept = self._day(day)
            low, high = max(start, day * DAY), min(end, (day + 1) * DAY)
            if as_of < kept.latest:
                found.update(self._read(low, high, as_of))
            elif high - low == DAY:
                found.update(kept.winners)
            else:
                found.update((asked, label) for asked, label in kept.winners.items() if low <= asked[0] < high)
        return found

    def _day(self, day: int) -> Day:
        if day not in self._days:
            winners = self._read(day * DAY, (day + 1) * DAY, _EVER)
            while len(self._days) >= MAX_DAYS:
                del self._days[min(self._days)]
            self._days[day] = Day(winners, max((known for _, known in winners.values()), default=0))
        return self._days[day]

    def _forget_if_stale(self) -> None:
        version = int(self.database.execute("pragma data_version").fetchone()[0])
        if version != self._version:
            self._version = version
            self._days.clear()

    def _read(self, start: int, end: int, as_of: int) -> Known:
        """Read winners; the order of arrival is only asked for where a question has several labels."""
        rows = self.database.execute(_WITHIN, (start, end, as_of)).fetchall()
        found: Known = {(at, key): (value, known) for at, key, value, known in rows}
        if len(found) < len(rows):
            rows = self.database.execute(_WITHIN + _LAST_WINS, (start, end, as_of)).fetchall()
            found = {(at, key): (value, known) for at, key, value, known in rows}
        return found
