"""A replay in small: every ask is sent once, every label fed once, and each tick keeps its order."""

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.flows.replay import ReplayPorts, Stream, replay
from mainspring.kernel.errors import InvalidValue, RunFailed
from mainspring.kernel.records import Label
from mainspring.kernel.times import FixedClock
from mainspring.stats.columns import Columns

TICK, START, TICKS = 10, 100, 6
END = START + TICKS * TICK


@dataclass
class Server:
    """Answers every row and notes what was asked of it."""

    told: list[str] = field(default_factory=list)
    asked: list[tuple[str, int]] = field(default_factory=list)
    columns: list[Columns] = field(default_factory=list)
    short: int = 0

    def infer(self, columns: Columns, keys: list[str], asked_at: list[int]) -> list[str]:
        self.told.append("infer")
        self.columns.append(columns)
        self.asked += zip(keys, asked_at, strict=True)
        return [f"p-{keys[row]}" for row in range(len(keys) - self.short)]

    def set_clock(self, now: int) -> None:
        self.told.append(f"clock {now}")

    def flush(self) -> None:
        self.told.append("flush")

    def settle(self, commit: str) -> None:
        self.told.append(f"settle {commit}")


def stream(asked: list[int], known: list[tuple[int, int]]) -> Stream:
    asked = sorted(asked)
    known = sorted(known, key=lambda one: one[1])
    return Stream(
        asks={
            "key": np.array([*(f"k{n}" for n in range(len(asked))), None], dtype=object)[:-1],
            "asked_at": np.array(asked, np.int64), "view.x": np.arange(len(asked), dtype=float),
        },
        labels={
            "key": np.array([*(f"l{n}" for n in range(len(known))), None], dtype=object)[:-1],
            "asked_at": np.array([at for at, _ in known], np.int64),
            "value": np.ones(len(known)), "known_at": np.array([at for _, at in known], np.int64),
        },
    )  # fmt: skip


@dataclass
class House:
    server: Server = field(default_factory=Server)
    labels: list[Label] = field(default_factory=list)
    clock: FixedClock = field(default_factory=lambda: FixedClock(0))
    shares: list[float] = field(default_factory=list)

    def ports(self) -> ReplayPorts:
        def look() -> str:
            self.server.told.append(f"look {self.clock.now()}")
            return f"c{self.clock.now()}"

        def add(labels: list[Label]) -> None:
            self.server.told.append(f"labels {len(labels)}")
            self.labels += labels

        return ReplayPorts(
            server=self.server, clock=self.clock, add_labels=add, look=look,
            progress=lambda _, share: self.shares.append(share),
        )  # fmt: skip


def test_a_tick_asks_then_learns_then_flushes_then_looks_then_settles() -> None:
    house = House()
    found = replay(stream([101, 115], [(101, 112)]), start=START, end=START + 2 * TICK, every=TICK, ports=house.ports())
    assert house.server.told == [
        "clock 110", "infer", "labels 0", "flush", "look 110", "settle c110",
        "clock 120", "infer", "labels 1", "flush", "look 120", "settle c120",
    ]  # fmt: skip
    assert (found.ticks, found.requests, found.rows, found.labels) == (2, 2, 2, 1)
    assert house.shares == [0.5, 1.0]
    assert [sorted(columns) for columns in house.server.columns] == [["view.x"], ["view.x"]]


def test_a_tick_without_asks_sends_no_request_and_looks_all_the_same() -> None:
    house = House()
    found = replay(stream([], []), start=START, end=END, every=TICK, ports=house.ports())
    assert (found.requests, found.rows, found.prediction_id) == (0, 0, "")
    assert "infer" not in house.server.told
    assert sum(told.startswith("look") for told in house.server.told) == TICKS


def test_the_prediction_that_is_shown_is_a_real_one_from_the_middle() -> None:
    house = House()
    found = replay(stream(list(range(START, END, 5)), []), start=START, end=END, every=TICK, ports=house.ports())
    assert found.prediction_id == "p-k4"  # the first of the third tick of six
    late = replay(stream([END - 1], []), start=START, end=END, every=TICK, ports=House().ports())
    assert late.prediction_id == "p-k0"


def test_a_server_that_answers_fewer_rows_stops_the_replay() -> None:
    house = House(server=Server(short=1))
    with pytest.raises(RunFailed, match="asked 2 rows, the server answered 1"):
        replay(stream([101, 102], []), start=START, end=END, every=TICK, ports=house.ports())


def test_a_time_that_is_no_whole_number_of_ticks_is_refused() -> None:
    with pytest.raises(InvalidValue, match="no whole number of ticks"):
        replay(stream([END + 1], []), start=START, end=END + 3, every=TICK, ports=House().ports())


MOMENT = st.integers(START - 15, END + 15)


@settings(max_examples=60)
@given(asked=st.lists(MOMENT, max_size=30), known=st.lists(st.tuples(MOMENT, st.integers(0, 40)), max_size=30))
def test_every_ask_is_sent_once_and_every_label_is_fed_once(asked: list[int], known: list[tuple[int, int]]) -> None:
    house = House()
    given = stream(asked, [(at, at + 1 + late) for at, late in known])
    found = replay(given, start=START, end=END, every=TICK, ports=house.ports())
    inside = [(key, at) for key, at in zip(given.asks["key"].tolist(), given.asks["asked_at"].tolist(), strict=True)
              if START <= at < END]  # fmt: skip
    assert house.server.asked == inside
    assert found.rows == len(inside)
    later = given.labels_known(END, 10**9, asked_from=START)
    wanted = [key for key, at in zip(given.labels["key"].tolist(), given.labels["asked_at"].tolist(), strict=True)
              if at >= START]  # fmt: skip
    assert sorted(one.key for one in [*house.labels, *later]) == sorted(wanted)
    assert all(one.known_at <= END for one in house.labels)
    assert found.labels == len(house.labels)


@given(asked=st.lists(MOMENT, max_size=20), cuts=st.lists(MOMENT, max_size=5))
def test_slices_of_a_stream_join_without_gap_or_overlap(asked: list[int], cuts: list[int]) -> None:
    given = stream(asked, [(at, at + 3) for at in asked])
    edges = [START - 20, *sorted(cuts), END + 40]
    parts = [given.asks_between(low, high) for low, high in itertools.pairwise(edges)]
    assert [key for part in parts for key in part["key"].tolist()] == given.asks["key"].tolist()
    assert [x for part in parts for x in part["view.x"].tolist()] == given.asks["view.x"].tolist()
    fed = [given.labels_known(low, high, asked_from=0) for low, high in itertools.pairwise(edges)]
    assert [one.key for part in fed for one in part] == given.labels["key"].tolist()
    assert all(type(one.asked_at) is int and type(one.value) is float for part in fed for one in part)
