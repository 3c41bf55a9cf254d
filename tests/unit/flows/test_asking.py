"""Starters that race: the ledger lets one begin, and tells the others why they do not."""

from dataclasses import replace

import pytest

from mainspring.adapters.memory.ledger import Ledger
from mainspring.flows.asking import Start, first_or_told
from mainspring.kernel.errors import Conflict
from mainspring.kernel.events import Draft
from mainspring.kernel.times import DAY, HOUR
from mainspring.observe.plans import RetrainPolicy
from mainspring.observe.policy import Asked

NOW = 100 * DAY
START = Start(
    run="r-1", model="small", environment="staging", actor="workflow",
    asked=Asked(trigger="alert", reason="alert A", since=NOW - HOUR), policy=RetrainPolicy(longest=DAY),
)  # fmt: skip


def append(ledger: Ledger, kind: str, run: str, head: int | None = None, *, at: int = NOW) -> None:
    ledger.append([Draft(kind=kind, subject=f"run:{run}", actor="workflow", run=run)], at=at, expected_head=head)


def ask(ledger: Ledger, start: Start = START) -> str:
    return first_or_told(start, ledger, lambda head: append(ledger, "run.started", start.run, head), lambda: NOW)


def test_the_loser_of_a_race_reads_of_the_winner_and_is_told() -> None:
    ledger = Ledger()
    heads: list[int] = []

    def begin(head: int) -> None:
        if not heads:
            append(ledger, "run.started", "r-other")  # another pod was faster by a moment
        heads.append(head)
        append(ledger, "run.started", "r-1", head)

    why = first_or_told(START, ledger, begin, lambda: NOW)
    assert why.startswith("alert A; not trained: a training began at ")
    assert heads == [0]
    (told,) = ledger.read(kind="retrain.declined")
    assert (told.run, told.body["blocked_by"], told.body["trigger"]) == ("r-1", "answered", "alert")
    assert [event.run for event in ledger.read(kind="run.started")] == ["r-other"]
    assert ask(ledger) == why  # the pod was lost and comes again: the same answer, told once
    assert len(ledger.read(kind="retrain.declined")) == 1


def test_a_run_elsewhere_holds_back_until_it_tells_its_end() -> None:
    ledger = Ledger()
    append(ledger, "run.started", "r-0", at=NOW - 2 * HOUR)
    assert "a training is running" in ask(ledger)
    append(ledger, "run.failed", "r-0")
    assert ask(ledger, replace(START, run="r-2")) == ""
    assert [event.run for event in ledger.read(kind="run.started")] == ["r-0", "r-2"]


def test_in_a_ledger_that_never_rests_nothing_is_begun() -> None:
    ledger = Ledger()

    def begin(head: int) -> None:
        append(ledger, "snapshot.taken", "")
        append(ledger, "run.started", "r-1", head)

    with pytest.raises(Conflict, match="kept appending"):
        first_or_told(START, ledger, begin, lambda: NOW)
    assert ledger.read(kind="run.started") == []
