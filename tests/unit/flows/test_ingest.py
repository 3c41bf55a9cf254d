"""Taking in the log: rows, tallies, profiles by tick; a crash counts nothing twice."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.flows.story import START, TICK, Log, Stretch, reference, request, world

from mainspring.adapters.files.logs_reader import Damage
from mainspring.adapters.memory.observations import Observations
from mainspring.flows.ingest import Ingested, ingest
from mainspring.kernel.records import LoggedRequest
from mainspring.kernel.times import HOUR
from mainspring.observe.drift.judgement import judge_drift
from mainspring.observe.plans import DriftRule
from mainspring.observe.ports import Position
from mainspring.observe.profiles import add_up, profile
from mainspring.stats.columns import Columns, take

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
ALWAYS = 10**18


def taken(log: Log, observations: Observations) -> Ingested:
    return ingest(log, observations, lambda digest: reference() if digest in (OLD, NEW) else None, every=TICK)


def some(count: int, start: int, *, seed: int = 0, new: bool = False) -> tuple[LoggedRequest, Columns]:
    columns, at, chance = world(np.random.default_rng(seed), start, start + 3 * TICK, count)
    scores = {OLD: chance, **({NEW: chance / 2} if new else {})}
    keys = [f"k{seed}-{row}" for row in range(count)]
    return request(keys, at.tolist(), scores, number=seed, columns=columns), {**columns, "at": at, "score": chance}


def everything(observations: Observations) -> Columns:
    """Every row, as if each had come true."""
    from mainspring.kernel.records import Label

    rows = [(key, at) for b in observations._batches for key, at in zip(b.keys, b.asked_at.tolist(), strict=True)]
    observations.add_labels([Label(key=key, asked_at=at, value=1.0, known_at=at) for key, at in rows])
    return observations.matured(0, ALWAYS, ALWAYS)


def test_nothing_new_is_nothing() -> None:
    assert taken(Log(), Observations()) == Ingested(requests=0, rows=0, damage=[], tallies={})


def test_rows_and_profiles_are_those_of_the_requests() -> None:
    observations = Observations()
    (first, one), (second, two) = some(40, START), some(30, START, seed=1)
    found = taken(Log(first, second), observations)
    assert (found.requests, found.rows, found.damage) == (2, 70, [])
    assert (found.tallies[OLD].rows, found.tallies[OLD].failed) == (70, 0)
    columns = {name: np.concatenate([one[name], two[name]]) for name in one}
    ticks = columns["at"] // TICK * TICK
    kept = observations.profiles(OLD, range(START, START + 4 * TICK, TICK))
    assert list(kept) == sorted(set(ticks.tolist()))
    for tick, counted in kept.items():
        rows = take(columns, ticks == tick)
        wanted = profile(reference(), {n: rows[n] for n in ("visit.size", "visit.kind")}, rows["score"])
        assert (counted.rows, counted.counts.tolist()) == (wanted.rows, wanted.counts.tolist())
    np.testing.assert_array_equal(
        everything(observations)["score"], columns["score"][np.argsort(columns["at"], kind="stable")]
    )


def test_failures_are_answers_that_are_no_number_and_versions_that_raised() -> None:
    odd = request(["a", "b", "c"], [START] * 3, {OLD: np.array([0.1, 0.2, 0.3]), NEW: np.array([0.5, np.nan, np.inf])})
    odd.took_each = {OLD: 100, NEW: 5_000}
    raised = request(["d", "e"], [START] * 2, {OLD: np.array([0.1, 0.2])}, number=1)
    raised.errors = {NEW: "ValueError"}
    found = taken(Log(odd, raised), Observations())
    assert (found.tallies[OLD].rows, found.tallies[OLD].failed, found.tallies[OLD].p99_us) == (5, 0, 100.0)
    assert (found.tallies[NEW].rows, found.tallies[NEW].failed, found.tallies[NEW].p99_us) == (5, 4, 5_000.0)


def test_a_model_that_was_never_timed_has_no_latency() -> None:
    assert taken(Log(some(3, START)[0]), Observations()).tallies[OLD].p99_us is None


def test_a_challenger_that_appears_midway_has_no_score_for_earlier_rows() -> None:
    observations = Observations()
    taken(Log(some(10, START)[0], some(10, START + 4 * TICK, seed=1, new=True)[0]), observations)
    rows = everything(observations)
    assert np.isnan(rows["score:" + NEW]).tolist() == [True] * 10 + [False] * 10
    assert np.isfinite(rows["score:" + OLD]).all()
    assert all(tick >= START + 4 * TICK for tick in observations.profiles(NEW, range(START, START + 8 * TICK, TICK)))


def test_a_row_without_a_key_is_named_by_its_prediction_id() -> None:
    observations = Observations()
    record = request(["", "k"], [START, START], {OLD: np.array([0.1, 0.2])})
    taken(Log(record), observations)
    assert everything(observations)["key"].tolist() == [f"{record.request_id}.0", "k"]


def test_a_column_that_changed_its_type_between_versions_is_counted_by_each_models_own() -> None:
    observations = Observations()
    columns, at, chance = world(np.random.default_rng(3), START, START + TICK, 20)
    keys = [str(row) for row in range(20)]
    as_text: Columns = {**columns, "visit.size": np.array([str(v) for v in columns["visit.size"]], dtype=object)}
    before = request(keys, at.tolist(), {OLD: chance}, columns=columns)
    after = request(keys, (at + TICK).tolist(), {"sha256:" + "c" * 64: chance}, number=1, columns=as_text)
    taken(Log(before, after), observations)
    assert observations.profiles(OLD, [START])[START].rows == 20


def test_a_model_without_a_reference_keeps_its_scores() -> None:
    observations = Observations()
    found = ingest(Log(some(5, START)[0]), observations, lambda _: None, every=TICK)
    assert (found.rows, observations.profiles(OLD, [START])) == (5, {})


class Dying:
    """Observations whose process dies before or after it keeps a batch."""

    def __init__(self, inner: Observations, *, after: bool) -> None:
        self.inner, self.after = inner, after

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def add_scored(self, batch: object) -> bool:
        if self.after:
            self.inner.add_scored(batch)  # type: ignore[arg-type]
        raise KeyboardInterrupt


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_between_reading_and_keeping_counts_nothing_twice(after: bool) -> None:
    log, whole, observations = Log(some(40, START)[0]), Observations(), Observations()
    taken(log, whole)
    with pytest.raises(KeyboardInterrupt):
        taken(log, Dying(observations, after=after))  # type: ignore[arg-type]
    again = taken(log, observations)
    assert again.rows == (0 if after else 40)
    assert observations.position() == whole.position()
    assert observations.profiles(OLD, [START])[START].to_bytes() == whole.profiles(OLD, [START])[START].to_bytes()
    assert len(everything(observations)["key"]) == 40


TORN = Damage(segment="2024.log", offset=7, size=9)


class Damaged(Log):
    def read(self, after: Position, limit: int) -> Stretch:
        found = super().read(after, limit)
        return Stretch(records=found.records, position=found.position, damage=[TORN] if found.records else [])


def test_damage_is_told() -> None:
    assert taken(Damaged(some(5, START)[0]), Observations()).damage == [TORN]


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 20), min_size=1, max_size=8), cuts=st.lists(st.integers(0, 8), max_size=4))
def test_however_often_the_log_is_read_the_same_is_kept(sizes: list[int], cuts: list[int]) -> None:
    records = [some(size, START + n * HOUR, seed=n, new=n % 2 == 1)[0] for n, size in enumerate(sizes)]
    once, often = Observations(), Observations()
    whole = taken(Log(*records), once)
    growing = [taken(Log(*records[:cut]), often) for cut in sorted(cuts)]
    growing.append(taken(Log(*records), often))
    assert sum(found.rows for found in growing) == whole.rows == sum(sizes)
    ticks = range(START, START + 8 * TICK, TICK)
    for digest in (OLD, NEW):
        kept = [{t: p.counts.tolist() for t, p in one.profiles(digest, ticks).items()} for one in (once, often)]
        assert kept[0] == kept[1]


def test_a_redacted_column_is_not_taken_for_a_missing_one() -> None:
    made, columns = some(700, START)
    nulls = np.full(700, np.nan).astype("<f8").tobytes()
    hidden = replace(made, numbers={**made.numbers, "visit.size": nulls}, redacted=["visit.size"])
    observations = Observations()
    taken(Log(hidden), observations)
    window = add_up(reference(), observations.profiles(OLD, range(START, START + 4 * TICK, TICK)).values())
    assert not window.counts[reference().slots["visit.size"]].any()
    assert window.counts[reference().slots["visit.kind"]].sum() == len(columns["at"])
    report = judge_drift(reference(), window, DriftRule())
    assert "visit.size" not in [found.name for found in report.columns]
    assert not [fault for fault in report.faults if fault.column == "visit.size"]
