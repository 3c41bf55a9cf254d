"""The fault drill: two bad challengers are put in on purpose, to see that they are found.

The first learns from shuffled labels: the gate refuses it. The second also reads a vendor's risk score, which is
good until the vendor reverses its scale; it passes the gate, for its fault lies in the future, and is rolled back on
the canary by matured quality alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mainspring.app.replaying import Period, Room, Scenario
from mainspring.flows.retrain import try_out
from mainspring.flows.watch_ports import Candidate
from mainspring.kernel.times import DAY, parse_time
from mainspring.observe.plans import RetrainPolicy

REVERSAL = parse_time("2013-09-10")
PERIOD = Period(start=REVERSAL - 9 * DAY, end=REVERSAL + 10 * DAY)
SHUFFLED_AT = REVERSAL - 7 * DAY
VENDOR_AT = REVERSAL - DAY


BAD: tuple[tuple[int, str, Mapping[str, Any]], ...] = (
    (SHUFFLED_AT, "drill: labels shuffled", {"shuffle_target": True}),
    (VENDOR_AT, "drill: reads the vendor's risk score", {"use_vendor": True}),
)


@dataclass(slots=True)
class Injector:
    """Trains each bad challenger once, at the first look at or after its time."""

    waiting: list[tuple[int, str, Mapping[str, Any]]] = field(default_factory=lambda: list(BAD))

    def __call__(self, room: Room) -> None:
        """Put in what is due."""
        while self.waiting and self.waiting[0][0] <= room.now:
            _, reason, params = self.waiting.pop(0)
            release, _ = room.ports.release.files.read(room.plan.environment)
            champion = release.champion.digest if release else ""
            asked = Candidate(at=room.now, champion=champion, reason=reason, cause=(), params=params)
            try_out(room.plan, room.ports.train(asked), room.memory, room.ports, now=room.now)


def scenario() -> Scenario:
    """Return the drill: nobody retrains but the injector."""
    candidates = ((PERIOD.start, {}), *((at, params) for at, _, params in BAD))
    return Scenario(
        name="drill", title="fault drill", policy=RetrainPolicy(), period=PERIOD, before=Injector(),
        candidates=candidates,
    )  # fmt: skip


STORY = (
    "Both challengers are bad on purpose; nothing else retrains in this period.",
    "The first learned from shuffled labels. The gate must refuse it.",
    "The second also reads a simulated vendor's risk score, whose scale is reversed on 2013-09-10. Its holdout lies "
    "before that day, so it passes the gate; only matured labels on the canary can tell.",
)
