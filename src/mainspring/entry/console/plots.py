"""Plots that compare policies: loss over time, difference to never retraining, intervals, bars.

A policy looks the same everywhere: `series` gives its class, the style sheet its colour and dashes.
"""

from collections.abc import Callable, Sequence

from markupsafe import Markup

from mainspring.entry.console.axes import Frame, bottom_axis, date_axis, spread, value_axis
from mainspring.entry.console.formats import count, day, fixed, interval, signed
from mainspring.entry.console.report_data import Policy, Week
from mainspring.entry.console.scales import Scale, extent, time_extent
from mainspring.entry.console.svg import clipped, drawing, element, joined, line, path, text, tip

NAMED = ("never", "scheduled", "scheduled_equal", "mainspring")
Value = Callable[[Week], float | None]
Bar = tuple[str, float, str]
"""A bar: its label, its length in the plot's unit (not below zero), the words beside it."""
Mark = tuple[str, str, float | None, float | None, float | None]
"""An interval: a label, a class, the value and both ends."""


def series(name: str) -> str:
    """Return the class that carries a policy's colour; unknown names share a neutral one."""
    return f"s-{name.replace('_', '-')}" if name in NAMED else "s-other"


def loss_chart(policies: Sequence[Policy], width: float, *, labels: bool) -> Markup:
    """Return weekly mean log loss with interval bands; with `labels` each line ends in its policy's name."""
    weeks = [w for p in policies for w in p["weekly"] if w["log_loss"] is not None]
    if not weeks:
        return Markup("")
    frame = Frame(width=width, height=330 if labels else 250, right=186 if labels else 12)
    x = frame.across(*time_extent([w["week"] or 0 for w in weeks]))
    y = frame.upwards(*extent(v for w in weeks for v in (w["log_loss"], w["low"], w["high"])))
    lines = [_line(p, x, y, lambda w: w["log_loss"], _loss_words) for p in policies]
    return drawing(
        frame.width,
        frame.height,
        "Weekly mean log loss of each policy; lower is better",
        value_axis(frame, y),
        date_axis(frame, x, count=10 if labels else 5),
        *(_band(p, x, y) for p in policies),
        *lines,
        _ends(policies, frame, x, y) if labels else "",
    )


def difference_chart(policies: Sequence[Policy], width: float, *, labels: bool) -> Markup:
    """Return each policy's weekly log loss minus never's, with a triangle where mainspring's policy promoted."""
    never = next((p for p in policies if p["name"] == "never"), None)
    rest = [p for p in policies if p is not never]
    before = {w["week"]: w["log_loss"] for w in never["weekly"]} if never else {}

    def minus(week: Week) -> float | None:
        other = before.get(week["week"])
        return None if other is None or week["log_loss"] is None else week["log_loss"] - other

    def words(policy: Policy, week: Week) -> str:
        return f"{policy['title']}, week of {day(week['week'])}: {signed(minus(week))}"

    found = [(w["week"] or 0, minus(w)) for p in rest for w in p["weekly"]]
    if not any(value is not None for _, value in found):
        return Markup("")
    frame = Frame(width=width, height=210 if labels else 190, right=186 if labels else 12)
    x = frame.across(*time_extent([week for week, _ in found]))
    y = frame.upwards(*extent([value for _, value in found], include=0.0))
    zero = text(frame.width - frame.right + 10, y(0) + 4, "never retrained", "s-never end") if labels else ""
    return drawing(
        frame.width,
        frame.height,
        "Weekly log loss minus that of never retraining; below zero is better",
        value_axis(frame, y, zero=True, count=4),
        date_axis(frame, x, count=10 if labels else 5),
        zero,
        *(_line(p, x, y, minus, words) for p in rest),
        *(_promotions(p, x, frame.height - frame.bottom) for p in rest if p["name"] == "mainspring"),
    )


def interval_chart(marks: Sequence[Mark], label: str, *, zero: bool = False) -> Markup:
    """Return a row a mark: its name, a dot at its value and a bar over its interval, on one scale."""
    known = [m for m in marks if m[2] is not None]
    if not known:
        return Markup("")
    frame = Frame(width=480, height=44 + 38 * len(known), left=14, right=14, top=6, bottom=30)
    x = frame.across(*extent((v for m in known for v in m[2:]), include=0.0 if zero else None, pad=0.1))
    return drawing(
        frame.width,
        frame.height,
        label,
        bottom_axis(frame, x, count=5),
        *(_mark(mark, x, 6 + 38 * i, signed if zero else fixed) for i, mark in enumerate(known)),
    )


def bar_chart(bars: Sequence[Bar], label: str) -> Markup:
    """Return horizontal bars with their label above and their words behind them."""
    if not bars:
        return Markup("")
    width, row = 480.0, 38
    longest = max(value for _, value, _ in bars) or 1.0
    parts = []
    for i, (name, value, words) in enumerate(bars):
        long, top = max(max(value, 0.0) / longest * (width - 110), 1.5), float(i * row)
        parts += [
            text(0, top + 13, clipped(name, 60), "name"),
            element("rect", tip(f"{name}: {words}"), x=0, y=top + 18, width=long, height=9, rx=2, class_="bar"),
            text(long + 8, top + 27, words, "tick"),
        ]
    return drawing(width, float(row * len(bars)), label, *parts)


def _line(policy: Policy, x: Scale, y: Scale, value: Value, words: Callable[[Policy, Week], str]) -> Markup:
    """Return a policy's line, broken where a week is unknown, with a dot under the pointer for every week."""
    runs: list[list[tuple[float, float]]] = [[]]
    dots = []
    for week in policy["weekly"]:
        at = value(week)
        if at is None:
            runs.append([])
            continue
        spot = (x(week["week"] or 0), y(at))
        runs[-1].append(spot)
        dots.append(element("circle", tip(words(policy, week)), cx=spot[0], cy=spot[1], r=7, class_="spot"))
    lone = [element("circle", cx=r[0][0], cy=r[0][1], r=3.2, class_="dot") for r in runs if len(r) == 1]
    drawn = [path(r, "line") for r in runs if len(r) > 1]
    return element("g", *drawn, *lone, *dots, class_=series(policy["name"]))


def _band(policy: Policy, x: Scale, y: Scale) -> Markup:
    weeks = [w for w in policy["weekly"] if w["low"] is not None and w["high"] is not None]
    if len(weeks) < 2:
        return Markup("")
    upper = [(x(w["week"] or 0), y(w["high"] or 0.0)) for w in weeks]
    lower = [(x(w["week"] or 0), y(w["low"] or 0.0)) for w in reversed(weeks)]
    return element("g", path([*upper, *lower], "band", closed=True), class_=series(policy["name"]))


def _ends(policies: Sequence[Policy], frame: Frame, x: Scale, y: Scale) -> Markup:
    """Return the policies' names beside the last points of their lines, moved apart where they would touch."""
    last = [(p, w) for p in policies if (w := [w for w in p["weekly"] if w["log_loss"] is not None])]
    ends = [(p, x(w[-1]["week"] or 0), y(w[-1]["log_loss"] or 0.0)) for p, w in last]
    places = spread([end[2] for end in ends], 17, frame.top + 6, frame.height - frame.bottom - 4)
    left = frame.width - frame.right
    return joined(
        element(
            "g",
            path([(px + 4, py), (left + 6, place), (left + 10, place)], "lead"),
            text(left + 14, place + 4, clipped(policy["title"], 25), "end"),
            class_=series(policy["name"]),
        )
        for (policy, px, py), place in zip(ends, places, strict=True)
    )


def _promotions(policy: Policy, x: Scale, base: float) -> Markup:
    inside = [e for e in policy["events"] if e["kind"] == "promoted" and x.low <= (e["at"] or 0) <= x.high]
    spots = [(x(e["at"] or 0), f"promoted {day(e['at'])}: {e['title']}") for e in inside]
    marks = [
        element("path", tip(words), d=f"M{at:.1f} {base - 9:.1f} l5 9 l-10 0 Z", class_="flag") for at, words in spots
    ]
    return element("g", *marks, class_=series(policy["name"]))


def _mark(mark: Mark, x: Scale, top: float, show: Callable[[float | None], str]) -> Markup:
    name, class_, value, low, high = mark
    ends = f" ({show(low)} to {show(high)})" if low is not None and high is not None else ""
    bar = line(x(low), top + 24, x(high), top + 24, "range") if low is not None and high is not None else ""
    words = f"{name}: {show(value)}{ends}"
    return element(
        "g",
        text(0, top + 13, clipped(name, 44), "name"),
        bar,
        element("circle", tip(words), cx=x(value or 0.0), cy=top + 24, r=5, class_="dot"),
        class_=class_,
    )


def _loss_words(policy: Policy, week: Week) -> str:
    band = interval(week["low"], week["high"])
    return (
        f"{policy['title']}, week of {day(week['week'])}: {fixed(week['log_loss'])}"
        f"{f' ({band})' if band else ''}, {count(week['rows'])} rows"
    )
