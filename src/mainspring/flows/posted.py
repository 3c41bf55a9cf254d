"""Take in the labels that were posted to the server: each file of the inbox once, good labels kept, bad ones counted.

A label may arrive before its prediction is on disk, so one whose prediction is not found is tried again for an hour
after it was posted. Taking in a file twice (a watch was killed in between) changes nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mainspring.flows.labels import LabelPorts, add_labels
from mainspring.kernel.errors import NotFound
from mainspring.kernel.times import HOUR

PATIENCE = HOUR


class Inbox(Protocol):
    """Where posted labels wait; `adapters.files.label_inbox` is one."""

    def batches(self) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
        """Yield (name, labels) of every batch, oldest first."""

    def finish(self, name: str, again: Sequence[Mapping[str, Any]] = ()) -> None:
        """Forget a batch, but for the labels of `again`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What became of posted labels. waiting: predictions not found yet. refused: reasons by error code."""

    kept: int = 0
    waiting: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)


def take_posted(inbox: Inbox, ports: LabelPorts, *, now: int) -> Posted:
    """Take in every posted label; `now`: UTC microseconds."""
    kept, waiting, refused = 0, 0, Counter[str]()
    for name, rows in inbox.batches():
        found = add_labels(rows, ports, now=now)
        again = []
        for item in found.refused:
            row = rows[item.row - 1]
            if item.code == NotFound.code and _posted_at(row) > now - PATIENCE:
                again.append(row)
            else:
                refused[item.code] += 1
        if not again or len(again) < len(rows):
            inbox.finish(name, again)
        kept, waiting = kept + found.kept, waiting + len(again)
    return Posted(kept=kept, waiting=waiting, refused=dict(refused))


def _posted_at(row: Mapping[str, Any]) -> int:
    found = row.get("posted_at")
    return found if type(found) is int else 0
