"""Every ledger keeps the promises of `kernel.events.Ledger`."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from mainspring.adapters.memory.ledger import Ledger as MemoryLedger
from mainspring.adapters.sql.ledger import Ledger as SqlLedger
from mainspring.kernel.errors import Conflict, InvalidValue
from mainspring.kernel.events import GENESIS, Draft, Event, Ledger, first_break


def draft(kind: str = "gate.passed", subject: str = "version:1", run: str = "", **body: object) -> Draft:
    return Draft(kind=kind, subject=subject, actor="test", run=run, cause=(1,), body=body)


def _memory(_: Path, __: Callable[[], str]) -> Ledger:
    return MemoryLedger()


def _sqlite(folder: Path, _: Callable[[], str]) -> Ledger:
    return SqlLedger(f"sqlite:///{folder}/ledger.db")


def _postgres(_: Path, url: Callable[[], str]) -> Ledger:
    engine = create_engine(url().replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS events, versions, mainspring_schema"))
    engine.dispose()
    return SqlLedger(url())


LEDGERS: dict[str, Callable[[Path, Callable[[], str]], Ledger]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgres": _postgres,
}


@pytest.fixture(params=list(LEDGERS))
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    made = LEDGERS[request.param](tmp_path, lambda: str(request.getfixturevalue("postgres_url")))
    yield made
    if isinstance(made, SqlLedger):
        made.close()


def test_an_empty_ledger_ends_at_genesis(ledger: Ledger) -> None:
    assert ledger.head() == (0, GENESIS)
    assert ledger.read() == []


def test_events_come_back_as_they_were_appended(ledger: Ledger) -> None:
    made = ledger.append([draft(a=1, b=0.1 + 0.2, c=None, d=[1, {"ü": "€\u0000"}], e=True), draft(kind="x.y")], at=7)
    assert ledger.read() == made
    assert ledger.head() == (2, made[1].hash)
    assert [event.at for event in made] == [7, 7]
    assert first_break(ledger.read()) is None


def test_nothing_appended_is_nothing_changed(ledger: Ledger) -> None:
    assert ledger.append([], at=1) == []
    assert ledger.head() == (0, GENESIS)


def test_reading_filters_by_kind_subject_run_and_place(ledger: Ledger) -> None:
    kinds = ["gate.passed", "gate.refused", "gated.x", "Gate.passed", "gate_x", "gate%x"]
    ledger.append(
        [draft(kind=kind, subject=f"s:{index}", run=f"r{index % 2}") for index, kind in enumerate(kinds)], at=1
    )

    def seqs(found: list[Event]) -> list[int]:
        return [event.seq for event in found]

    assert seqs(ledger.read(kind="gate.*")) == [1, 2]
    assert seqs(ledger.read(kind="gate.passed")) == [1]
    assert seqs(ledger.read(subject="s:2")) == [3]
    assert seqs(ledger.read(run="r1")) == [2, 4, 6]
    assert seqs(ledger.read(run="r1", after=2, limit=1)) == [4]
    assert seqs(ledger.read(limit=2)) == [1, 2]


def test_an_expected_head_that_moved_is_a_conflict_and_writes_nothing(ledger: Ledger) -> None:
    ledger.append([draft()], at=1, expected_head=0)
    with pytest.raises(Conflict):
        ledger.append([draft(), draft()], at=2, expected_head=0)
    assert ledger.head()[0] == 1
    ledger.append([draft()], at=2, expected_head=1)


@pytest.mark.parametrize("body", [{"x": float("nan")}, {"x": float("inf")}, {"x": {1, 2}}, {"x": "\ud800"}])
def test_a_body_without_a_plain_form_is_refused(ledger: Ledger, body: dict[str, object]) -> None:
    with pytest.raises(InvalidValue):
        ledger.append([draft(), Draft(kind="a.b", subject="s", actor="t", body=body)], at=1)
    assert ledger.head()[0] == 0


def test_a_nul_in_a_name_is_refused(ledger: Ledger) -> None:
    with pytest.raises(InvalidValue):
        ledger.append([draft(subject="a\x00b")], at=1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(body=st.dictionaries(st.text(), JSON, max_size=4))
def test_any_json_body_keeps_the_chain_whole(ledger: Ledger, body: dict[str, object]) -> None:
    made = ledger.append([Draft(kind="a.b", subject="s", actor="t", body=body)], at=1)
    assert ledger.read(after=made[0].seq - 1) == made
    assert first_break(ledger.read()) is None


def test_fifty_writers_make_one_dense_unbroken_chain(ledger: Ledger) -> None:
    def write(writer: int) -> list[int]:
        return [ledger.append([draft(writer=writer, turn=turn)], at=writer)[0].seq for turn in range(4)]

    with ThreadPoolExecutor(50) as pool:
        seqs = [seq for found in pool.map(write, range(50)) for seq in found]
    assert sorted(seqs) == list(range(1, 201))
    events = ledger.read()
    assert first_break(events) is None
    assert {(event.body["writer"], event.body["turn"]) for event in events} == {
        (w, t) for w in range(50) for t in range(4)
    }


def test_of_fifty_decisions_on_one_head_one_wins(ledger: Ledger) -> None:
    def decide(writer: int) -> bool:
        try:
            ledger.append([draft(writer=writer)], at=1, expected_head=0)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(decide, range(50))) == 1
    assert ledger.head()[0] == 1
