"""What happened when: a strip for each kind of event under each policy, and the grouped rows of the table below it."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mainspring.entry.console.axes import Frame, date_axis
from mainspring.entry.console.formats import stamp
from mainspring.entry.console.plots import series
from mainspring.entry.console.report_data import EVENT_KINDS, Event, Policy
from mainspring.entry.console.scales import Scale, time_extent
from mainspring.entry.console.svg import clipped, drawing, element, joined, line, text, tip

KIND_WORDS = {
    "trained": "trained",
    "gate_refused": "gate refused",
    "canary_step": "canary step",
    "promoted": "promoted",
    "rolled_back": "rolled back",
    "drift_found": "drift found",
    "retrain_refused": "retrain refused",
}
_SHAPES = {
    "trained": "M0 -5 L5 0 L0 5 L-5 0 Z",
    "gate_refused": "M-4 -4 L4 4 M4 -4 L-4 4",
    "canary_step": "M-1.6 -5 h3.2 v10 h-3.2 Z",
    "promoted": "M0 -5.5 L5.5 4.5 L-5.5 4.5 Z",
    "rolled_back": "M0 5.5 L5.5 -4.5 L-5.5 -4.5 Z",
}
_DOT = "M-3.5 0 a3.5 3.5 0 1 0 7 0 a3.5 3.5 0 1 0 -7 0 Z"
_FINDINGS = ("drift_found", "retrain_refused")
_LANE, _TITLE, _NEAR = 20.0, 25.0, 3.6


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """A row of the table: `repeats` events of one kind and title, shown with the last one's detail."""

    first: str
    last: str
    kind: str
    words: str
    title: str
    detail: str
    version: int | None
    repeats: int


def kind_class(kind: str) -> str:
    """Return the class that carries a kind's colour; unknown kinds share a neutral one."""
    return f"k-{kind.replace('_', '-')}" if kind in EVENT_KINDS else "k-other"


def kind_words(kind: str) -> str:
    """Return how a kind is told to a reader; an unknown kind speaks for itself."""
    return KIND_WORDS.get(kind, kind.replace("_", " ").replace(".", " ") or "event")


def event_rows(events: Sequence[Event]) -> list[EventRow]:
    """Return the table's rows in order of time.

    Findings that led to nothing come every few hours; between two acts (a training, a step, a verdict) those of one
    kind and title share a row. Acts keep a row each.
    """
    groups: list[list[Event]] = []
    waiting: dict[tuple[str, str, int | None], list[Event]] = {}
    for event in events:
        if event["kind"] not in _FINDINGS:
            waiting.clear()
            groups.append([event])
            continue
        key = (event["kind"], event["title"], event["version"])
        if key not in waiting:
            groups.append(waiting.setdefault(key, []))
        waiting[key].append(event)
    return [_event_row(group) for group in groups]


def strip_plot(policies: Sequence[Policy], width: float, *, left: float, period: Sequence[int] = ()) -> Markup:
    """Return a lane for each kind of event that occurred, under the name of its policy.

    `left` is the labels' room; the axis covers the times in `period` (UTC microseconds) and every event.
    """
    shown = [p for p in policies if p["events"]]
    if not shown:
        return Markup("")
    times = [e["at"] or 0 for p in shown for e in p["events"]]
    lanes = sum(len(_kinds(p["events"])) for p in shown)
    height = 8 + lanes * _LANE + len(shown) * _TITLE + 30
    frame = Frame(width=width, height=height, left=left, right=14, top=4)
    x = frame.across(*time_extent([*times, *period]))
    parts, top = [date_axis(frame, x, count=10 if width > 600 else 5, grid=True)], 4.0
    for policy in shown:
        parts.append(text(0, top + 16, clipped(policy["title"], int(width / 9)), f"{series(policy['name'])} end"))
        top += _TITLE
        for kind in _kinds(policy["events"]):
            parts.append(_lane(policy["events"], kind, x, top + _LANE / 2))
            top += _LANE
    return drawing(width, height, "Events of each policy over time; the table below lists them", *parts)


def _kinds(events: Sequence[Event]) -> list[str]:
    present = {e["kind"] for e in events}
    return [k for k in EVENT_KINDS if k in present] + sorted(present - set(EVENT_KINDS))


def _lane(events: Sequence[Event], kind: str, x: Scale, middle: float) -> Markup:
    mine = [e for e in events if e["kind"] == kind]
    draw = _runs if kind in _FINDINGS else _marks
    label = clipped(f"{kind_words(kind)} ({len(mine)})", int(x.start / 5.9))
    return joined(
        [
            line(x.start, middle, x.end, middle, "lane"),
            text(0, middle + 4, label, "tick"),
            element("g", *draw(mine, x, middle), class_=kind_class(kind)),
        ]
    )


def _marks(events: Sequence[Event], x: Scale, middle: float) -> list[Markup]:
    return [
        element(
            "path",
            tip(f"{stamp(e['at'])} {kind_words(e['kind'])}: {e['title']}"),
            d=_SHAPES.get(e["kind"], _DOT),
            transform=f"translate({x(e['at'] or 0):.1f} {middle:.1f})",
            class_="mark",
        )
        for e in events
    ]


def _runs(events: Sequence[Event], x: Scale, middle: float) -> list[Markup]:
    """Return bars: findings too close to be told apart become one, from the first to the last."""
    runs: list[list[Event]] = []
    for event in events:
        near = runs and x(event["at"] or 0) - x(runs[-1][-1]["at"] or 0) < _NEAR
        if near:
            runs[-1].append(event)
        else:
            runs.append([event])
    return [_run(run, x, middle) for run in runs]


def _run(run: Sequence[Event], x: Scale, middle: float) -> Markup:
    first, last = run[0], run[-1]
    until = f" to {stamp(last['at'])}, {len(run)} times" if len(run) > 1 else ""
    start, end = x(first["at"] or 0), x(last["at"] or 0)
    return element(
        "rect",
        tip(f"{stamp(first['at'])}{until} {kind_words(first['kind'])}: {last['title']}"),
        x=start - 1.2,
        y=middle - 4.5,
        width=end - start + 2.4,
        height=9,
        class_="mark",
    )


def _event_row(group: list[Event]) -> EventRow:
    first, last = group[0], group[-1]
    return EventRow(
        first=stamp(first["at"]),
        last=stamp(last["at"]),
        kind=kind_class(first["kind"]),
        words=kind_words(first["kind"]),
        title=first["title"],
        detail=last["detail"],
        version=first["version"],
        repeats=len(group),
    )
