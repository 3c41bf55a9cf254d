"""What earlier looks found, read once from the ledger and kept up to date: no look reads its whole history again."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mainspring.kernel.events import Event, Ledger
from mainspring.observe.policy import Signals
from mainspring.observe.windows import tick_of

WATCH = "watch"
_KEPT = 64
_ENDS = ("run.failed", "run.finished", "retrain.declined")


@dataclass(slots=True, kw_only=True)
class Trial:
    """The running rollout: whose, since when, what it did in its present step, and what was last said about it.

    later: when each step after the first began.
    """

    digest: str
    started: int
    weight: int
    entered_at: int
    rows: int = 0
    failed: int = 0
    said: str = ""
    later: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A candidate that passed its gates and waits outside. cause: ledger events that led here."""

    run: str
    version: int
    cause: tuple[int, ...]


@dataclass(slots=True)
class Memory:
    """since: when watching began (0: not yet). judged_until: end of the last window judged. Times UTC microseconds.

    champion: digest of what the ledger says answers. pending: a run that a watch asked for and whose candidate is
    neither on trial nor told why not: its process ended too early; "" if there is none. open: run -> when it was
    started, for runs that told no end. labels: new since the last training, as the last look that counted them found.
    waiting: a candidate that nothing but a freeze keeps out.
    """

    since: int = 0
    judged_until: int = 0
    windows: list[Signals] = field(default_factory=list)
    trainings: list[int] = field(default_factory=list)
    trial: Trial | None = None
    champion: str = ""
    pending: str = ""
    open: dict[str, int] = field(default_factory=dict)
    labels: int = 0
    waiting: Waiting | None = None

    def begin(self, now: int) -> None:
        """Note the first look."""
        self.since = self.since or now

    def window_due(self, now: int, every: int) -> bool:
        """Tell whether a tick has closed since the last window was judged."""
        return tick_of(now, every) > self.judged_until

    def judged(self, signals: Signals) -> None:
        """Remember a window."""
        self.judged_until = signals.at
        self.windows = [*self.windows[-_KEPT:], signals]

    def told(self, event: Event) -> None:
        """Take in one event of the ledger."""
        if event.kind in _ENDS:
            self.open.pop(event.run, None)
        if event.kind == "window.judged":
            body = event.body
            found = Signals(
                at=int(body["end"]), output_drift="output_drift" in body["signals"],
                quality="quality" in body["signals"], faults=tuple(body["faults"]),
            )  # fmt: skip
            self.judged(found)
            self.labels = body.get("new_labels", self.labels)
        elif event.kind == "run.started":
            self.trainings.append(event.at)
            self.open[event.run], self.labels = event.at, 0
            self.pending = event.run if event.actor == WATCH else self.pending
        elif event.kind == "promotion.refused":
            self.refused(event)
        elif event.run and _is_closing(event):
            self._closed(event.run)
        elif event.kind == "rollout.judged" and self.trial:
            self.trial.rows, self.trial.failed = int(event.body["rows"]), int(event.body["failed"])
            self.trial.said = event.body["reason"]
        elif event.kind.startswith("release."):
            self.released(event)

    def released(self, event: Event) -> None:
        """Take in a move of the environment: a trial begins, takes its next step, or ends."""
        self.since = self.since or event.at
        self.champion = event.body["champion"]["digest"]
        self._closed(event.run)
        challenger = event.body.get("challenger")
        if not challenger:
            self.trial = None
            return
        before = self.trial if self.trial and self.trial.digest == challenger["digest"] else None
        self.trial = Trial(
            digest=challenger["digest"], started=before.started if before else event.at,
            weight=int(challenger["weight"]), entered_at=event.at,
            later=(*before.later, event.at) if before else (),
        )  # fmt: skip

    def refused(self, event: Event) -> None:
        """Take in that a watch's candidate may not enter: it waits for the end of a freeze, or is left to people."""
        self._closed(event.run)
        if event.body.get("frozen"):
            self.waiting = Waiting(run=event.run, version=int(event.body["version"]), cause=event.cause)

    def _closed(self, run: str) -> None:
        """Forget a run whose end is on record."""
        self.pending = "" if run == self.pending else self.pending
        self.waiting = None if self.waiting and run == self.waiting.run else self.waiting


def _is_closing(event: Event) -> bool:
    """Tell whether nothing follows for the event's run: it failed, was refused, or was told why it went no further."""
    refused = event.kind == "run.finished" and not event.body["passed"]
    return refused or event.kind in ("run.failed", "retrain.declined")


def remember(ledger: Ledger, environment: str) -> Memory:
    """Read what earlier looks at `environment` found."""
    return remembered(ledger.read(), environment)


def remembered(events: Sequence[Event], environment: str) -> Memory:
    """Return the memory that these events make."""
    memory = Memory()
    for event in events:
        if event.body.get("environment", environment) == environment:
            memory.told(event)
    return memory
