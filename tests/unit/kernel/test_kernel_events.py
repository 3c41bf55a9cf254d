"""The chain: one hash covers every field, and the first record that does not hold is named."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.kernel.events import GENESIS, Draft, Event, first_break, seal


def chain(length: int) -> list[Event]:
    events: list[Event] = []
    for seq in range(1, length + 1):
        prev = events[-1].hash if events else GENESIS
        events.append(seal(Draft(kind="a.b", subject=str(seq), actor="t", body={"f": 0.1}), seq=seq, at=seq, prev=prev))
    return events


def test_a_sealed_chain_is_whole() -> None:
    assert first_break([]) is None
    assert first_break(chain(5)) is None


CHANGES: list[dict[str, Any]] = [
    {"at": 9}, {"kind": "x.y"}, {"subject": "x"}, {"actor": "x"}, {"run": "x"}, {"cause": (1,)}, {"body": {"f": 0.2}},
    {"schema": 2},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_an_edited_field_is_found_where_it_is(change: dict[str, Any], place: int) -> None:
    events = chain(5)
    events[place] = replace(events[place], **change)
    assert first_break(events) == f"event {place + 1} was changed after it was written"


@given(length=st.integers(2, 8), data=st.data())
def test_a_deleted_or_swapped_event_is_found(length: int, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, length - 2))
    events = chain(length)
    missing = events[:place] + events[place + 1 :]
    assert first_break(missing) == f"event {place + 1} is missing: found {place + 2} in its place"
    events[place], events[place + 1] = events[place + 1], events[place]
    assert first_break(events) is not None


def test_a_record_resealed_after_an_edit_breaks_the_next_link() -> None:
    events = chain(3)
    events[1] = seal(Draft(kind="x.y", subject="2", actor="t"), seq=2, at=2, prev=events[0].hash)
    assert first_break(events) == "event 3 does not follow event 2"


def test_a_chain_alone_cannot_show_that_its_end_is_gone() -> None:
    assert first_break(chain(5)[:3]) is None
