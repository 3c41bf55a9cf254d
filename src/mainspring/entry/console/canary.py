"""A rollout as a reader sees it: how much traffic the challenger had, how its loss compared, how it ended."""

from dataclasses import dataclass

from markupsafe import Markup

from mainspring.entry.console.axes import Frame, date_axis, value_axis
from mainspring.entry.console.formats import signed, signed_interval, stamp
from mainspring.entry.console.report_data import Paired, Rollout
from mainspring.entry.console.scales import Scale, extent, time_extent
from mainspring.entry.console.svg import drawing, element, line, path, text, tip
from mainspring.kernel.times import DAY

_OUTCOMES = {
    "promoted": ("good", "promoted"),
    "finished": ("good", "promoted"),
    "rolled_back": ("bad", "rolled back"),
    "aborted": ("bad", "rolled back"),
    "refused": ("bad", "refused"),
    "open": ("unclear", "still open"),
    "": ("unclear", "outcome not recorded"),
}
_WIDTH = 440.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What the page shows of one rollout; `difference` and `band` tell the last matured paired one, or are empty."""

    title: str
    tone: str
    outcome: str
    when: str
    reason: str
    difference: str
    band: str
    weights: Markup
    paired: Markup


def card(rollout: Rollout) -> Card:
    """Return a rollout's words and drawings; both drawings share one time axis."""
    tone, outcome = _OUTCOMES.get(rollout["outcome"], ("unclear", rollout["outcome"]))
    end = stamp(rollout["ended"]) if rollout["ended"] is not None else "open"
    span = _span(rollout)
    difference, band = _last(rollout["paired"])
    return Card(
        title="Version not recorded" if rollout["version"] is None else f"Version {rollout['version']}",
        tone=tone,
        outcome=outcome,
        when=f"{stamp(rollout['started'])} to {end} UTC",
        reason=rollout["reason"],
        difference=difference,
        band=band,
        weights=_weights(rollout, span),
        paired=_paired(rollout["paired"], span),
    )


def _span(rollout: Rollout) -> tuple[int, int]:
    times = [s["at"] for s in rollout["steps"]] + [p["at"] for p in rollout["paired"]]
    known = [t for t in (*times, rollout["started"], rollout["ended"]) if t is not None]
    return time_extent(known, around=DAY)


def _weights(rollout: Rollout, span: tuple[int, int]) -> Markup:
    """Return the challenger's percent of requests as stairs, with each step's percent written on it."""
    if not rollout["steps"]:
        return Markup("")
    frame = Frame(width=_WIDTH, height=116, left=50, right=16, top=18, bottom=26)
    x, y = frame.across(*span), frame.upwards(0, 100)
    steps = [(x(s["at"] or 0), s["weight"] or 0) for s in rollout["steps"]]
    stairs = [(steps[0][0], y(0))]
    for at, weight in steps:
        stairs += [(at, stairs[-1][1]), (at, y(weight))]
    end = max(x(rollout["ended"] if rollout["ended"] is not None else span[1]), steps[-1][0])
    stairs.append((end, stairs[-1][1]))
    if _OUTCOMES.get(rollout["outcome"], ("", ""))[0] == "bad":
        stairs.append((end, y(0)))
    area = path([*stairs, (end, y(0))], "under", closed=True)
    labels = [text(at + 3, y(weight) - 4, f"{weight} %", "step") for at, weight in _apart(steps)]
    names = [text(42, y(v) + 4, f"{v} %", "tick", "end") for v in (0, 100)]
    grid = [line(frame.left, y(v), frame.width - frame.right, y(v), "grid") for v in (0, 50, 100)]
    return drawing(
        _WIDTH,
        frame.height,
        "Percent of requests sent to the challenger over time",
        *grid,
        *names,
        area,
        path(stairs, "stairs"),
        *labels,
        date_axis(frame, x, count=5),
    )


def _apart(steps: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return the steps whose labels do not run into the one before."""
    kept: list[tuple[float, int]] = []
    for at, weight in steps:
        if not kept or at - kept[-1][0] >= 34 or abs(weight - kept[-1][1]) >= 25:
            kept.append((at, weight))
    return kept


def _paired(paired: list[Paired], span: tuple[int, int]) -> Markup:
    """Return the matured paired difference over time with its interval; above zero the challenger is worse."""
    known = [p for p in paired if p["difference"] is not None]
    if not known:
        return Markup("")
    frame = Frame(width=_WIDTH, height=150, left=50, right=16, top=12, bottom=26)
    x = frame.across(*span)
    y = frame.upwards(*extent((v for p in known for v in (p["difference"], p["low"], p["high"])), include=0.0))
    spots = [(x(p["at"] or 0), y(p["difference"] or 0.0)) for p in known]
    dots = [
        element("circle", tip(f"{stamp(p['at'])}: {' '.join(_last([p]))}"), cx=at[0], cy=at[1], r=3.6, class_="dot")
        for p, at in zip(known, spots, strict=True)
    ]
    return drawing(
        _WIDTH,
        frame.height,
        "Challenger minus champion log loss on matured rows; above zero the challenger is worse",
        value_axis(frame, y, zero=True, count=4),
        date_axis(frame, x, count=5),
        *_whiskers(known, x, y),
        path(spots, "line") if len(spots) > 1 else "",
        *dots,
    )


def _whiskers(known: list[Paired], x: Scale, y: Scale) -> list[Markup]:
    return [
        line(x(p["at"] or 0), y(p["low"] or 0.0), x(p["at"] or 0), y(p["high"] or 0.0), "whisker")
        for p in known
        if p["low"] is not None and p["high"] is not None
    ]


def _last(paired: list[Paired]) -> tuple[str, str]:
    """Return the last known difference and its interval as text."""
    last = next((p for p in reversed(paired) if p["difference"] is not None), None)
    if last is None:
        return "", ""
    return signed(last["difference"]), signed_interval(last["low"], last["high"])
