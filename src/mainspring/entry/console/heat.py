"""The drift heat map: a row a column of the model, a cell a week, darker for a larger shift.

Labels and cells are two drawings side by side, so that on a narrow screen the cells scroll under fixed labels.
"""

from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from mainspring.entry.console.formats import NOTHING, day, fixed
from mainspring.entry.console.report_data import OUTPUT, Drift
from mainspring.entry.console.scales import date_ticks
from mainspring.entry.console.svg import clipped, drawing, element, joined, line, text, tip

LEVELS = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5)
"""Where one shade of the population stability index ends and the next begins."""
_ROW, _HEAD, _GAP = 22.0, 24.0, 7.0


@dataclass(frozen=True, slots=True)
class HeatMap:
    """The two drawings, empty where there is nothing to draw; `drifted` counts outlined cells."""

    labels: Markup
    cells: Markup
    drifted: int


def heat_map(drift: Drift) -> HeatMap:
    """Return the heat map; the model's output is on top, then columns by weeks drifted and by largest shift."""
    weeks, order = drift["weeks"], _order(drift)
    if not weeks or not order:
        return HeatMap(Markup(""), Markup(""), 0)
    wide = min(max(840.0 / len(weeks), 15.0), 30.0)
    tops = _tops([drift["columns"][i] for i in order])
    size = (wide * len(weeks) + 2, tops[-1] + _ROW + 2)
    labels = [
        element(
            "text",
            tip(drift["columns"][i]),
            clipped(drift["columns"][i], 27),
            x=176,
            y=top + 15,
            text_anchor="end",
            class_="name strong" if drift["columns"][i] == OUTPUT else "name",
        )
        for i, top in zip(order, tops, strict=True)
    ]
    cells = [_row(drift, i, top, wide) for i, top in zip(order, tops, strict=True)]
    return HeatMap(
        drawing(180, size[1], "Columns of the drift heat map", *labels, fixed=True),
        drawing(*size, "Drift by column and week", _dates(weeks, wide), *cells, fixed=True),
        sum(flag for row in drift["drifted"] for flag in row),
    )


def shade(psi: float | None) -> str:
    """Return the class of a cell: `q0` (hardly any shift) to `q6`, `qx` where nothing is known."""
    return "qx" if psi is None else f"q{sum(psi >= level for level in LEVELS)}"


def heat_key() -> Markup:
    """Return the legend of the shades with their limits."""
    boxes = [element("rect", x=i * 44, y=0, width=44, height=12, class_=f"q{i}") for i in range(len(LEVELS) + 1)]
    limits = [text((i + 1) * 44, 27, f"{level:g}", "tick", "middle") for i, level in enumerate(LEVELS)]
    return drawing(44 * (len(LEVELS) + 1), 32, "Shades of the population stability index", *boxes, *limits, fixed=True)


def _order(drift: Drift) -> list[int]:
    def weight(i: int) -> tuple[bool, int, float]:
        known = [value for value in drift["psi"][i] if value is not None]
        return drift["columns"][i] == OUTPUT, sum(drift["drifted"][i]), max(known, default=-1.0)

    return sorted(range(len(drift["columns"])), key=weight, reverse=True)


def _tops(names: list[str]) -> list[float]:
    """Return where each row starts; the output row keeps a little distance from the others."""
    gap = _GAP if names[0] == OUTPUT and len(names) > 1 else 0.0
    return [_HEAD + i * _ROW + (gap if i else 0.0) for i in range(len(names))]


def _row(drift: Drift, i: int, top: float, wide: float) -> Markup:
    """Return a row's cells; drifted ones come last, so that no neighbour covers their outline."""
    plain: list[Markup] = []
    outlined: list[Markup] = []
    for j, (psi, drifted) in enumerate(zip(drift["psi"][i], drift["drifted"][i], strict=True)):
        known = f"PSI {fixed(psi, 3)}" if psi is not None else f"PSI {NOTHING} (not known)"
        words = f"{drift['columns'][i]}, week of {day(drift['weeks'][j])}: {known}{', drifted' if drifted else ''}"
        inset = 1.5 if drifted else 0.75
        cell = element(
            "rect",
            tip(words),
            x=1 + j * wide + inset,
            y=top + inset,
            width=wide - 2 * inset,
            height=_ROW - 2 * inset,
            rx=2,
            class_=shade(psi) + (" drifted" if drifted else ""),
        )
        (outlined if drifted else plain).append(cell)
    return joined([*plain, *outlined])


def _dates(weeks: list[int], wide: float) -> Markup:
    """Return month labels above the first week that starts in or after each tick."""
    if len(weeks) == 1:
        return text(1, 14, day(weeks[0]), "tick")
    parts, free = [], 0.0
    for at, label in date_ticks(weeks[0], weeks[-1], max(2, int(len(weeks) * wide / 70))):
        x = 1 + wide * _place(weeks, at)
        if x >= free:
            parts += [line(x, 18, x, _HEAD - 2, "axis"), text(x + 3, 14, label, "tick")]
            free = x + 8 * len(label) + 6
    return joined(parts)


def _place(weeks: list[int], at: int) -> float:
    """Return the column, with a fraction, of a time between the first and the last week."""
    for j, (start, end) in enumerate(pairwise(weeks)):
        if start <= at < end:
            return j + (at - start) / (end - start)
    return len(weeks) - 1.0
