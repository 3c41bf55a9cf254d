"""References and profiles: bins hold every row, profiles add up, bytes come back, thresholds are learnt."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.kernel.errors import Damaged, InvalidValue
from mainspring.kernel.times import DAY, HOUR
from mainspring.observe.profiles import OUTPUT, Reference, add_up, profile, read_profile, read_reference
from mainspring.observe.references import cut_points, novelty, reference_profile
from mainspring.observe.windows import tick_of, window_ticks
from mainspring.stats.columns import Array, Columns, Floats

World = Callable[..., tuple[Columns, Array, Floats]]


def test_a_reference_counts_every_training_row_in_every_column(reference: Reference) -> None:
    assert [column.name for column in reference.columns] == ["wind", "carrier", OUTPUT]
    assert reference.rows == 12_000
    for column in reference.columns:
        assert sum(column.counts) == 12_000
        assert len(column.counts) == column.bins
    wind, carrier, _ = reference.columns
    assert len(wind.cuts) == 21
    assert wind.counts[0] == wind.counts[-2] == 0
    assert carrier.levels == ("UA", "AA", "B6") or set(carrier.levels) == {"UA", "AA", "B6"}
    assert 0.01 < carrier.counts[-1] / 12_000 < 0.03


def test_a_reference_does_not_depend_on_the_order_of_rows_and_survives_bytes(
    world: World, reference: Reference
) -> None:
    columns, at, scores = world(60)
    order = np.random.default_rng(1).permutation(len(at))
    shuffled = reference_profile({name: values[order] for name, values in columns.items()}, at[order], scores[order])
    assert shuffled.to_bytes() == reference.to_bytes()
    again = read_reference(reference.to_bytes())
    assert again == reference
    assert again.digest == reference.digest


numbers = st.none() | st.floats(-1e6, 1e6)
rows = st.lists(st.tuples(numbers, st.sampled_from(["AA", "UA", "ZZ", None]), st.floats(0, 1)), max_size=40)


@settings(deadline=None)
@given(table=rows, cut=st.integers(0, 40))
def test_profiles_of_parts_add_up_to_the_profile_of_the_whole(
    reference: Reference, table: list[tuple[float | None, str | None, float]], cut: int
) -> None:
    wind = np.array([np.nan if w is None else w for w, _, _ in table], np.float64)
    carrier = np.array([c for _, c, _ in table], dtype=object)
    scores = np.array([s for _, _, s in table], np.float64)
    whole = profile(reference, {"wind": wind, "carrier": carrier}, scores)
    first = profile(reference, {"wind": wind[:cut], "carrier": carrier[:cut]}, scores[:cut])
    second = profile(reference, {"wind": wind[cut:], "carrier": carrier[cut:]}, scores[cut:])
    for total in (first + second, second + first, add_up(reference, [first, second])):
        assert total.rows == whole.rows == len(table)
        np.testing.assert_array_equal(total.counts, whole.counts)
    assert whole.counts.sum() == 3 * len(table)


def test_a_profile_survives_bytes_and_is_small(world: World, reference: Reference) -> None:
    columns, _, scores = world(1)
    made = profile(reference, columns, scores)
    again = read_profile(made.to_bytes())
    assert again.rows == made.rows
    np.testing.assert_array_equal(again.counts, made.counts)
    assert len(made.to_bytes()) < 400


def test_an_absent_column_counts_as_null_and_a_wrong_type_is_refused(world: World, reference: Reference) -> None:
    columns, _, scores = world(1)
    made = profile(reference, {"wind": columns["wind"]}, scores)
    assert made.counts[reference.slots["carrier"]][-1] == 200
    with pytest.raises(InvalidValue, match="carrier"):
        profile(reference, {**columns, "carrier": columns["wind"]}, scores)
    with pytest.raises(InvalidValue, match="pair"):
        profile(reference, columns, scores[:-1])


def test_profiles_of_another_model_do_not_add_up(
    world: World, reference: Reference, learnt: Callable[[int], Reference]
) -> None:
    columns, _, scores = world(1)
    other = learnt(30)
    with pytest.raises(InvalidValue):
        profile(reference, columns, scores) + profile(other, columns, scores)
    with pytest.raises(InvalidValue):
        add_up(reference, [profile(other, columns, scores)])


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"schema":1}', b'{"schema":1,"columns":[{}]}'])
def test_damaged_bytes_are_told(damage: bytes) -> None:
    with pytest.raises(Damaged):
        read_reference(damage)
    with pytest.raises(Damaged):
        read_profile(damage)


def test_a_later_schema_is_refused(reference: Reference) -> None:
    later = json.dumps({**json.loads(reference.to_bytes()), "schema": 2}).encode()
    with pytest.raises(Damaged, match="schema"):
        read_reference(later)
    with pytest.raises(Damaged, match="schema"):
        read_profile(b'{"schema": 2}')


def test_a_value_on_a_cut_lies_above_it_and_a_constant_has_room() -> None:
    cuts = cut_points(np.array([5.0] * 50))
    assert cuts.tolist() == [0.0, 5.0, 10.0]
    assert cut_points(np.array([np.nan])).tolist() == []


def test_a_calm_history_has_small_usual_drift_and_no_novelty(reference: Reference) -> None:
    wind, carrier, score = reference.columns
    for column in (wind, carrier, score):
        assert 0 < column.usual["psi"] < 0.05
        assert column.usual["novelty"] == 0.0
        assert column.usual["missing"] < 0.05


def test_a_calendar_column_is_new_by_construction_and_learns_so() -> None:
    month = np.repeat([1.0, 2.0, 3.0], 30 * 200)
    days = np.repeat(np.arange(90), 200)
    assert novelty(month, days) == 1.0
    assert novelty(month.astype(np.int64), days) == 1.0
    assert novelty(np.zeros(0), np.zeros(0, np.int64)) == 0.0
    assert novelty(np.sin(days * 1.0), days) == 0.0
    names = np.array(["jan", "feb", "mar"], dtype=object)[(month - 1).astype(int)]
    made = reference_profile({"month": month, "name": names}, days * DAY, np.full(len(days), 0.5))
    assert [column.usual["novelty"] for column in made.columns] == [1.0, 1.0, 0.0]


def test_a_history_shorter_than_two_weeks_learns_nothing_and_says_zero(world: World) -> None:
    columns, at, scores = world(3)
    assert reference_profile(columns, at, scores).columns[0].usual["psi"] == 0.0
    with pytest.raises(InvalidValue):
        reference_profile({}, np.zeros(0, np.int64), np.zeros(0))


def test_ticks_and_windows() -> None:
    assert tick_of(13 * HOUR, 6 * HOUR) == 12 * HOUR
    found = list(window_ticks(8 * DAY + HOUR, 7 * DAY, 6 * HOUR))
    assert found[0] == DAY
    assert found[-1] == 8 * DAY - 6 * HOUR
    assert len(found) == 28
    with pytest.raises(InvalidValue):
        window_ticks(0, 7 * HOUR, 6 * HOUR)


def test_novelty_is_the_largest_share_of_a_week_that_the_days_before_had_not_seen() -> None:
    random = np.random.default_rng(5)
    days = np.sort(random.integers(0, 60, 9_000))
    days = days[(days < 20) | (days > 23)]  # some days are empty
    numbers = random.normal(size=len(days)) * np.where((days > 40) & (random.random(len(days)) < 0.3), 30.0, 1.0)
    codes = np.where((days > 30) & (random.random(len(days)) < 0.2), days // 5, 1)
    for values in (numbers, codes):
        shares = [0.0]
        for first in range(7, 54):
            inside, before = values[(days >= first) & (days < first + 7)], values[days < first]
            if len(inside) >= 100:
                low, high = before.min(), before.max()
                wide = high - low
                apart = (inside < low - wide) | (inside >= high + wide)
                shares.append(float(np.mean(apart if values is numbers else ~np.isin(inside, before))))
        assert novelty(values, days) == max(shares) > 0
