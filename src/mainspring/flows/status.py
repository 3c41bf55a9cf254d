"""The present at a glance: what serves, what the last windows showed, what was decided, what comes next."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mainspring.deliver.ports import ReleaseFiles
from mainspring.deliver.release import Release
from mainspring.flows.chronicle import chronicle, emergency_of
from mainspring.kernel.events import Event, Ledger

_WINDOWS = 5
_DECISIONS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a person on call wants to know first. Times are UTC microseconds; `next_check` is 0 before the first.

    windows: the last windows judged, newest first. decisions: the last things done, newest first. emergency: why a
    version that serves skipped the rules, or "".
    """

    model: str
    environment: str
    commit: str
    release: Release | None
    windows: tuple[dict[str, Any], ...]
    decisions: tuple[dict[str, Any], ...]
    next_check: int
    events: int
    emergency: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


def status(model: str, environment: str, *, every: int, ledger: Ledger, files: ReleaseFiles) -> Status:
    """Read the present from the ledger and the release file as committed."""
    release, commit = files.read(environment)
    events = ledger.read()
    judged = [event for event in events if event.kind == "window.judged"]
    last = int(judged[-1].body["end"]) if judged else 0
    return Status(
        model=model,
        environment=environment,
        commit=commit,
        release=release,
        windows=tuple(_window(event) for event in reversed(judged[-_WINDOWS:])),
        decisions=tuple(_decisions(events)),
        next_check=last + every if last else 0,
        events=len(events),
        emergency=emergency_of(events, environment),
    )


def _window(event: Event) -> dict[str, Any]:
    body = event.body
    kept = ("end", "rows", "drifted", "signals", "faults", "quality", "decision")
    return {name: body[name] for name in kept if name in body}


def _decisions(events: Sequence[Event]) -> list[dict[str, Any]]:
    return list(reversed(chronicle(events)))[:_DECISIONS]
