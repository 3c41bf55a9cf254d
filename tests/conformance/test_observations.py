"""Every Observations adapter keeps the same promises: joins, late and doubled labels, harmless repetition."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainspring.adapters.memory.observations import Observations as MemoryObservations
from mainspring.adapters.sqlite.observations import Observations as SqliteObservations
from mainspring.kernel.errors import Damaged, InvalidValue
from mainspring.kernel.records import Label
from mainspring.observe.ports import START, Observations, ScoredBatch
from mainspring.observe.profiles import TickProfile

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.fixture(params=["memory", "sqlite"])
def observations(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Observations]:
    if request.param == "memory":
        yield MemoryObservations()
    else:
        with SqliteObservations(tmp_path / "observations") as opened:
            yield opened


def batch(place: int, keys: list[str], asked_at: list[int], *, both: bool = False) -> ScoredBatch:
    scores = {OLD: np.linspace(0.1, 0.9, len(keys))}
    if both:
        scores[NEW] = np.linspace(0.2, 0.8, len(keys))
    served = [NEW if both and n % 2 else OLD for n in range(len(keys))]
    return ScoredBatch(
        position=("2013050100.log", place), keys=keys, asked_at=np.array(asked_at, np.int64), scores=scores,
        served_by=served, profiles={(OLD, 0): profile(len(keys))},
    )  # fmt: skip


def profile(rows: int) -> TickProfile:
    return TickProfile(reference="sha256:" + "c" * 64, rows=rows, counts=np.array([rows, 0, 1]))


def label(key: str, asked_at: int, value: float, known_at: int) -> Label:
    return Label(key=key, asked_at=asked_at, value=value, known_at=known_at)


def test_nothing_is_known_at_first(observations: Observations) -> None:
    found = observations.matured(0, 100, 100)
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(
        ["key", "asked_at", "value", "known_at", "served_by", "score"], 0
    )
    assert observations.position() == START
    assert observations.profiles(OLD, [0, 6]) == {}
    assert observations.profiles(OLD, []) == {}
    assert observations.coverage(0, 100, 100).scored == 0
    assert observations.add_labels([]) == 0


def test_rows_join_their_labels_and_come_in_order(observations: Observations) -> None:
    observations.add_scored(batch(1, ["b", "a", "c"], [20, 20, 10], both=True))
    observations.add_scored(batch(2, ["d", "e"], [30, 31]))
    observations.add_labels([label(key, at, 1.0, at + 5) for key, at in [("a", 20), ("b", 20), ("c", 10), ("d", 30)]])
    found = observations.matured(0, 31, 100)
    assert found["key"].tolist() == ["c", "b", "a", "d"]
    assert found["asked_at"].tolist() == [10, 20, 20, 30]
    assert found["known_at"].tolist() == [15, 25, 25, 35]
    np.testing.assert_allclose(found["score"], [0.9, 0.1, 0.5, 0.1])
    assert found["served_by"].tolist() == [OLD, OLD, NEW, OLD]
    np.testing.assert_allclose(found["score:" + NEW], [0.8, 0.2, 0.5, np.nan])
    assert found["value"].dtype == np.float64


def test_a_window_holds_its_start_and_not_its_end(observations: Observations) -> None:
    observations.add_scored(batch(1, ["a", "b", "c"], [9, 10, 20]))
    observations.add_labels([label("a", 9, 1, 11), label("b", 10, 1, 11), label("c", 20, 1, 21)])
    assert observations.matured(10, 20, 100)["key"].tolist() == ["b"]


def test_only_what_was_known_by_then_counts(observations: Observations) -> None:
    observations.add_scored(batch(1, ["a"], [10]))
    observations.add_labels([label("a", 10, 0.0, 15), label("a", 10, 1.0, 25)])
    assert observations.matured(0, 100, 14)["value"].tolist() == []
    assert observations.matured(0, 100, 15)["value"].tolist() == [0.0]
    assert observations.matured(0, 100, 25)["value"].tolist() == [1.0]
    assert observations.known_between(14, 15) == 1
    assert observations.known_between(15, 24) == 0
    assert observations.known_between(0, 100) == 1


def test_the_highest_known_at_wins_then_the_later_arrival(observations: Observations) -> None:
    observations.add_scored(batch(1, ["a", "b"], [10, 10]))
    observations.add_labels([label("a", 10, 1.0, 30), label("b", 10, 1.0, 20)])
    observations.add_labels([label("a", 10, 0.0, 20), label("b", 10, 0.0, 20)])
    assert observations.matured(0, 100, 100)["value"].tolist() == [1.0, 0.0]


def test_a_repeated_label_changes_nothing(observations: Observations) -> None:
    observations.add_scored(batch(1, ["a"], [10]))
    first, second = label("a", 10, 1.0, 20), label("a", 10, 0.0, 20)
    assert observations.add_labels([first, first]) == 1
    assert observations.add_labels([second]) == 1
    assert observations.add_labels([first, second, first]) == 0
    assert observations.matured(0, 100, 100)["value"].tolist() == [0.0]


def test_labels_for_unknown_questions_are_counted_and_not_joined(observations: Observations) -> None:
    observations.add_scored(batch(1, ["a", "b"], [10, 11]))
    observations.add_labels([label("a", 10, 1.0, 20), label("a", 11, 1.0, 20), label("z", 10, 1.0, 20)])
    assert observations.matured(0, 100, 100)["key"].tolist() == ["a"]
    found = observations.coverage(0, 100, 100)
    assert (found.scored, found.labelled, found.unmatched) == (2, 1, 2)


def test_a_label_without_a_number_is_refused_and_nothing_is_kept(observations: Observations) -> None:
    with pytest.raises(InvalidValue):
        observations.add_labels([label("a", 10, 1.0, 20), label("a", 10, float("nan"), 20)])
    assert observations.known_between(0, 100) == 0


def test_taking_in_the_same_stretch_of_log_again_is_harmless(observations: Observations) -> None:
    assert observations.add_scored(batch(7, ["a"], [10]))
    assert not observations.add_scored(batch(7, ["a"], [10]))
    assert not observations.add_scored(batch(6, ["a"], [10]))
    assert observations.coverage(0, 100, 100).scored == 1
    assert observations.profiles(OLD, [0])[0].rows == 1
    assert observations.position() == ("2013050100.log", 7)


def test_profiles_of_a_tick_add_up_and_models_stay_apart(observations: Observations) -> None:
    observations.add_scored(batch(1, ["a", "b"], [10, 11]))
    observations.add_scored(batch(2, ["c"], [12]))
    found = observations.profiles(OLD, [0, 6])
    assert list(found) == [0]
    assert found[0].rows == 3
    assert found[0].counts.tolist() == [3, 0, 2]
    assert observations.profiles(NEW, [0]) == {}


def test_a_batch_whose_profile_does_not_fit_leaves_no_trace(observations: Observations) -> None:
    observations.add_scored(batch(1, ["a"], [10]))
    other = TickProfile(reference="sha256:" + "d" * 64, rows=1, counts=np.array([1]))
    bad = ScoredBatch(
        position=("2013050100.log", 2), keys=["b"], asked_at=np.array([11]), scores={OLD: np.array([0.5])},
        served_by=[OLD], profiles={(NEW, 0): other, (OLD, 0): other},
    )  # fmt: skip
    with pytest.raises(InvalidValue):
        observations.add_scored(bad)
    assert observations.position() == ("2013050100.log", 1)
    assert observations.coverage(0, 100, 100).scored == 1
    assert observations.profiles(NEW, [0]) == {}


def test_an_empty_batch_moves_the_position_only(observations: Observations) -> None:
    empty = ScoredBatch(position=("x", 3), keys=[], asked_at=np.zeros(0, np.int64), scores={}, served_by=[])
    assert observations.add_scored(empty)
    assert observations.position() == ("x", 3)
    assert observations.coverage(0, 100, 100).scored == 0


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(InvalidValue, match="length"):
        ScoredBatch(position=("x", 1), keys=["a"], asked_at=np.zeros(2), scores={}, served_by=[])
    with pytest.raises(InvalidValue, match="served"):
        ScoredBatch(position=("x", 1), keys=["a"], asked_at=np.zeros(1), scores={}, served_by=[OLD])


labels = st.builds(
    label, st.sampled_from(["a", "b", "c"]), st.integers(0, 4), st.sampled_from([0.0, 1.0]), st.integers(0, 6)
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrived=st.lists(labels, max_size=25), data=st.data())
def test_late_doubled_and_shuffled_labels_give_what_a_clean_stream_gives(
    tmp_path_factory: pytest.TempPathFactory, arrived: list[Label], data: st.DataObject
) -> None:
    """F16: whatever the order of arrival and repetition, distinct known_at times decide alone."""
    clean = {(one.key, one.asked_at, one.known_at): one for one in arrived}
    shuffled = data.draw(st.permutations([*clean.values(), *clean.values()]))
    as_of = data.draw(st.integers(0, 7))
    rows = batch(1, ["a", "b", "c"] * 5, [n // 3 for n in range(15)])
    reference = MemoryObservations()
    reference.add_scored(rows)
    reference.add_labels(list(clean.values()))
    expected = reference.matured(0, 5, as_of)
    with SqliteObservations(tmp_path_factory.mktemp("observations")) as tried:
        tried.add_scored(rows)
        half = len(shuffled) // 2
        tried.add_labels(shuffled[:half])
        tried.add_labels(shuffled[half:])
        found = tried.matured(0, 5, as_of)
        assert tried.coverage(0, 5, as_of) == reference.coverage(0, 5, as_of)
        assert tried.known_between(1, as_of) == reference.known_between(1, as_of)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].tolist() == values.tolist()


def test_files_survive_closing_and_are_private(tmp_path: Path) -> None:
    with SqliteObservations(tmp_path / "observations") as first:
        first.add_scored(batch(1, ["é\n"], [10]))
        first.add_labels([label("é\n", 10, 1.0, 20)])
    with SqliteObservations(tmp_path / "observations") as second:
        assert second.matured(0, 100, 100)["key"].tolist() == ["é\n"]
        assert second.position() == ("2013050100.log", 1)
    assert {path.name for path in (tmp_path / "observations").iterdir()} == {"labels.db", "scores.db"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "observations").iterdir())


def test_a_damaged_file_or_a_later_schema_is_told(tmp_path: Path) -> None:
    SqliteObservations(tmp_path).close()
    changed = sqlite3.connect(tmp_path / "labels.db")
    changed.execute("pragma user_version = 9")
    changed.close()
    with pytest.raises(Damaged, match="schema 9"):
        SqliteObservations(tmp_path)
    (tmp_path / "scores.db").write_bytes(b"not a database at all, but long enough to look at" * 100)
    with pytest.raises(Damaged, match="cannot be opened"):
        SqliteObservations(tmp_path)


def test_what_is_kept_in_memory_notices_new_labels_of_this_and_another_process(tmp_path: Path) -> None:
    day = 86_400_000_000
    with SqliteObservations(tmp_path) as ours, SqliteObservations(tmp_path) as theirs:
        ours.add_scored(batch(1, ["a", "b", "c"], [5, day + 5, 40 * day]))
        ours.add_labels([label("a", 5, 0.0, 10)])
        assert ours.matured(0, 2 * day, 10)["value"].tolist() == [0.0]
        ours.add_labels([label("a", 5, 1.0, 20)])
        assert ours.matured(0, 2 * day, 20)["value"].tolist() == [1.0]
        assert ours.matured(0, 2 * day, 19)["value"].tolist() == [0.0]
        theirs.add_labels([label("b", day + 5, 1.0, day + 6), label("c", 40 * day, 0.0, 41 * day)])
        assert ours.matured(0, 2 * day, 2 * day)["key"].tolist() == ["a", "b"]
        assert ours.matured(6, day + 6, 2 * day)["key"].tolist() == ["b"]
        assert ours.matured(6, day + 5, 2 * day)["key"].tolist() == []
        assert ours.matured(0, 50 * day, 50 * day)["key"].tolist() == ["a", "b", "c"]
        for first in range(0, 50, 10):
            ours.matured(first * day, (first + 10) * day, 50 * day)
        assert ours.matured(35 * day, 45 * day, 50 * day)["key"].tolist() == ["c"]


def test_windows_read_piece_by_piece_agree_with_the_reference(tmp_path: Path) -> None:
    day = 86_400_000_000
    random = np.random.default_rng(3)
    rows = batch(1, [f"k{n}" for n in range(200)], sorted(random.integers(0, 12 * day, 200).tolist()))
    reference = MemoryObservations()
    with SqliteObservations(tmp_path) as tried:
        for one in (reference, tried):
            one.add_scored(rows)
        for now in range(0, 14 * day, day // 3):
            asked = [n for n in range(200) if rows.asked_at[n] <= now]
            picked = random.choice(asked, min(len(asked), 9)).tolist() if asked else []
            fresh = [label(f"k{n}", int(rows.asked_at[n]), float(n % 2), now + int(n % 3) * day) for n in picked]
            for one in (reference, tried):
                one.add_labels(fresh)
            expected, found = reference.matured(now - 7 * day, now, now), tried.matured(now - 7 * day, now, now)
            assert {name: values.tolist() for name, values in found.items()} == {
                name: values.tolist() for name, values in expected.items()
            }
