"""The drawing functions: scales, ticks, labels, shades, rows of the timeline, the verdict's sentence."""

import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from mainspring.entry.console import formats, svg
from mainspring.entry.console.axes import spread
from mainspring.entry.console.canary import card
from mainspring.entry.console.completion import clean, complete
from mainspring.entry.console.heat import heat_map, shade
from mainspring.entry.console.plots import bar_chart, interval_chart
from mainspring.entry.console.report_data import Difference, Event
from mainspring.entry.console.scales import Scale, date_ticks, extent, tick_text, ticks, time_extent
from mainspring.entry.console.timeline import event_rows, strip_plot
from mainspring.entry.console.verdict import find, side
from mainspring.kernel.times import DAY, HOUR, parse_time

FIRST = parse_time("2013-05-01")
REAL = st.floats(-1e9, 1e9, allow_nan=False)


@given(REAL, st.floats(1e-6, 1e9), st.integers(2, 10))
def test_ticks_lie_inside_and_are_evenly_apart(low: float, span: float, count: int) -> None:
    span = max(span, abs(low) * 1e-6)
    high = low + span
    found = ticks(low, high, count)
    assert len(found) <= count + 1
    assert all(low - span * 1e-6 <= t <= high + span * 1e-6 for t in found)
    assert found == sorted(set(found))


@given(st.lists(REAL, max_size=6))
def test_an_extent_is_never_empty_and_shows_every_value(values: list[float]) -> None:
    low, high = extent(values)
    assert low < high
    assert all(low <= v <= high for v in values)


@given(st.integers(0, 4 * 10**15), st.integers(1, 10**15), st.integers(1, 12))
def test_dates_lie_inside_the_range_and_rise(low: int, span: int, count: int) -> None:
    found = [at for at, _ in date_ticks(low, low + span, count)]
    assert all(low <= at <= low + span for at in found)
    assert found == sorted(set(found))
    assert len(found) <= count + 1


def test_dates_are_told_as_a_person_would() -> None:
    assert [t for _, t in date_ticks(FIRST, FIRST + 36 * HOUR, 4)] == ["1 May", "12:00", "2 May", "12:00"]
    assert [t for _, t in date_ticks(FIRST, FIRST + 100 * DAY, 5)] == ["May", "Jun", "Jul", "Aug"]
    assert [t for _, t in date_ticks(parse_time("2012-11-05"), parse_time("2013-03-02"), 4)] == [
        "Dec",
        "2013",
        "Feb",
        "Mar",
    ]
    assert date_ticks(parse_time("2001-06-01"), parse_time("2013-03-02"), 7)[0][1] == "2002"


def test_a_single_time_gets_room() -> None:
    low, high = time_extent([FIRST])
    assert low < FIRST < high
    assert time_extent([]) == (0, 7 * DAY)


def test_tick_texts_have_the_decimals_their_distance_needs() -> None:
    assert tick_text(0.45, [0.45, 0.5]) == "0.45"
    assert tick_text(-0.005, [-0.005, 0.0]) == f"{formats.MINUS}0.005"
    assert tick_text(1e-17, [-0.01, 0.0]) == "0"


def test_a_scale_maps_its_ends() -> None:
    scale = Scale(2, 4, 100, 0)
    assert (scale(2), scale(3), scale(4)) == (100, 50, 0)


@given(st.lists(st.floats(0, 300), min_size=1, max_size=8))
def test_labels_are_moved_apart_and_stay_in_order(wanted: list[float]) -> None:
    placed = spread(wanted, 17, 0, 300)
    rising = sorted(placed)
    assert all(b - a >= 17 - 1e-9 for a, b in pairwise(rising))
    assert sorted(range(len(wanted)), key=lambda i: wanted[i]) == sorted(range(len(wanted)), key=lambda i: placed[i])


@given(st.text())
def test_elements_escape_attributes_and_text(words: str) -> None:
    made = svg.element("text", words, aria_label=words, class_="a", x=1.0)
    assert made.count("<") == 2
    assert re.fullmatch(r'<text aria-label="[^"]*" class="a" x="1">[^<]*</text>', made, re.DOTALL)


def test_numbers_in_drawings_are_short() -> None:
    assert svg.element("i", a=1.005, b=-0.001, c=10.0, d=None, e=3) == Markup('<i a="1" b="0" c="10" e="3"></i>')


@pytest.mark.parametrize(
    ("psi", "expected"), [(None, "qx"), (0.0, "q0"), (0.01, "q1"), (0.07, "q3"), (0.1, "q4"), (0.25, "q5"), (9.0, "q6")]
)
def test_a_shade_stands_for_its_range(psi: float | None, expected: str) -> None:
    assert shade(psi) == expected


def test_the_output_row_is_on_top_then_columns_by_weeks_drifted() -> None:
    drawn = heat_map(
        {
            "weeks": [FIRST, FIRST + 7 * DAY],
            "columns": ["calm", "output", "wild"],
            "psi": [[0.9, 0.0], [0.0, 0.0], [0.2, 0.2]],
            "drifted": [[False, False], [False, False], [True, True]],
        }
    )
    assert re.findall(r"<title>(\w+)</title>", drawn.labels) == ["output", "wild", "calm"]
    assert drawn.drifted == 2
    assert drawn.cells.count('drifted"') == 2


def test_short_drift_rows_become_unknown_cells() -> None:
    drift = complete({"policies": [{"drift": {"weeks": [1, 2], "columns": ["a", "b"], "psi": [[0.1]], "drifted": []}}]})
    assert drift["policies"][0]["drift"]["psi"] == [[0.1, None], [None, None]]
    assert drift["policies"][0]["drift"]["drifted"] == [[False, False], [False, False]]


def event(hour: int, kind: str, title: str = "t") -> Event:
    return {"at": FIRST + hour * HOUR, "kind": kind, "title": title, "detail": str(hour), "version": None}


def test_repeated_findings_share_a_row_until_something_is_done() -> None:
    rows = event_rows(
        [event(1, "drift_found"), event(2, "retrain_refused"), event(3, "drift_found"), event(4, "trained"),
         event(5, "drift_found"), event(6, "canary_step"), event(7, "canary_step")]
    )  # fmt: skip
    assert [(r.words, r.repeats, r.detail) for r in rows] == [
        ("drift found", 2, "3"), ("retrain refused", 1, "2"), ("trained", 1, "4"),
        ("drift found", 1, "5"), ("canary step", 1, "6"), ("canary step", 1, "7"),
    ]  # fmt: skip
    assert rows[0].first.endswith("01:00")
    assert rows[0].last.endswith("03:00")


def test_findings_too_close_to_tell_apart_become_one_bar() -> None:
    found = [event(hour, "drift_found") for hour in (0, 1, 2, 900, 2000)]
    policies = complete({"policies": [{"name": "mainspring", "events": [*found, event(3, "trained")]}]})["policies"]
    drawn = strip_plot(policies, 1000, left=150)
    assert drawn.count("<rect") == 3
    assert "2013-05-01 00:00 to 2013-05-01 02:00, 3 times drift found" in drawn
    assert drawn.count("<path") == 1


def test_a_rolled_back_rollout_tells_its_last_paired_difference() -> None:
    paired = [{"at": FIRST, "difference": 0.01, "low": 0.004, "high": 0.016}, {"at": FIRST + 1, "difference": None}]
    raw = {"version": 4, "outcome": "rolled_back", "steps": [{"at": FIRST, "weight": 5}], "paired": paired}
    shown = card(complete({"policies": [{"rollouts": [raw]}]})["policies"][0]["rollouts"][0])
    assert (shown.tone, shown.outcome, shown.difference, shown.band) == (
        "bad",
        "rolled back",
        "+0.0100",
        "+0.0040 to +0.0160",
    )
    assert "5 %" in shown.weights


def test_empty_charts_are_nothing_and_a_bar_of_zero_is_drawn() -> None:
    assert interval_chart([("a", "s-other", None, None, None)], "x") == ""
    assert bar_chart([], "x") == ""
    assert "<rect" in bar_chart([("a", 0.0, "0.0 s")], "x")


def test_what_cannot_be_seen_is_replaced() -> None:
    assert clean("a\x00b\u202ec\ud800d\r\ne") == "a\ufffdb\ufffdc\ufffdd\r\ne"
    assert clean(None) == ""


def told(difference: float, low: float | None, high: float | None, **more: Any) -> str:  # noqa: ANN401
    ours = {
        "name": "mainspring",
        "log_loss": 0.48,
        "trainings": 7,
        "vs_never": {"difference": difference, "low": low, "high": high},
    }
    return find(complete({"policies": [ours, *more.pop("others", [])], **more})).sentence


def test_the_verdict_names_a_win_a_loss_and_a_draw() -> None:
    assert told(-0.0123, -0.015, -0.009) == (
        "Retraining by mainspring's policy lowered log loss by 0.0123 (95 % interval 0.0090 to 0.0150) "
        "against never retraining, with 7 trainings."
    )
    assert "did not pay: it raised log loss by 0.0123 (95 % interval 0.0090 to 0.0150)" in told(0.0123, 0.009, 0.015)
    draw = told(-0.001, -0.003, 0.001)
    assert "made no clear difference" in draw
    assert "which includes zero" in draw
    assert "no interval known" in told(-0.001, None, None)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            {"difference": -0.0004, "low": -0.002, "high": 0.001},
            f"the difference was {formats.MINUS}0.0004 (interval includes zero).",
        ),
        ({"difference": -0.004, "low": -0.006, "high": -0.001}, "it was better by 0.0040 (interval 0.0010 to 0.0060)."),
        ({"difference": 0.004, "low": 0.001, "high": 0.006}, "it was worse by 0.0040 (interval 0.0010 to 0.0060)."),
    ],
)
def test_the_verdict_says_what_choosing_the_moment_was_worth(found: dict[str, float], words: str) -> None:
    rival = {"name": "scheduled_equal", "trainings": 7}
    said = told(-0.01, -0.02, -0.005, comparison={"mainspring_vs_equal": found}, others=[rival])
    assert said.endswith("; against as many scheduled trainings " + words)
    fewer = told(-0.01, -0.02, -0.005, comparison={"mainspring_vs_equal": found}, others=[rival | {"trainings": 5}])
    assert "; against 5 scheduled trainings " in fewer


def test_a_better_rival_is_named() -> None:
    rival = {"name": "scheduled", "title": "Monthly", "log_loss": 0.47, "trainings": 8}
    whole = complete({"policies": [{"name": "mainspring", "log_loss": 0.48, "trainings": 7}, rival]})
    assert "“Monthly”: 0.4700 with 8 trainings" in find(whole).further


@given(REAL, st.floats(0, 1e6), st.floats(0, 1e6))
def test_an_interval_that_includes_zero_is_never_a_win_or_a_loss(middle: float, below: float, above: float) -> None:
    found: Difference = {"difference": middle, "low": middle - below, "high": middle + above}
    includes = middle - below <= 0 <= middle + above
    assert (side(found) == "unclear") == includes
