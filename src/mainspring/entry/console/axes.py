"""The frame of a plot and its axes: thin grid lines, few labels, dates where a reader expects them."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mainspring.entry.console.scales import Scale, date_ticks, tick_text, ticks
from mainspring.entry.console.svg import joined, line, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A drawing of `width` x `height` units whose plotting area keeps these margins."""

    width: float
    height: float
    left: float = 46.0
    right: float = 14.0
    top: float = 14.0
    bottom: float = 28.0

    def across(self, low: float, high: float) -> Scale:
        """Return the horizontal scale for values [low, high]."""
        return Scale(low, high, self.left, self.width - self.right)

    def upwards(self, low: float, high: float) -> Scale:
        """Return the vertical scale for values [low, high]: larger is higher."""
        return Scale(low, high, self.height - self.bottom, self.top)


def value_axis(frame: Frame, y: Scale, *, zero: bool = False, count: int = 5) -> Markup:
    """Return horizontal grid lines with their values at the left; the line at zero stands out when `zero`."""
    marks, right = ticks(y.low, y.high, count), frame.width - frame.right
    return joined(
        part
        for mark in marks
        for part in (
            line(frame.left, y(mark), right, y(mark), "zero" if zero and abs(mark) < 1e-12 else "grid"),
            text(frame.left - 8, y(mark) + 4, tick_text(mark, marks), "tick", "end"),
        )
    )


def date_axis(frame: Frame, x: Scale, *, count: int = 8, grid: bool = False) -> Markup:
    """Return a base line with dates below it, and light vertical lines when `grid`."""
    base = frame.height - frame.bottom
    parts = [line(frame.left, base, frame.width - frame.right, base, "axis")]
    for at, label in date_ticks(int(x.low), int(x.high), count):
        parts.append(line(x(at), frame.top if grid else base, x(at), base + 5, "grid" if grid else "axis"))
        parts.append(text(_inside(x(at), label, frame), base + 19, label, "tick", "middle"))
    return joined(parts)


def bottom_axis(frame: Frame, x: Scale, *, count: int = 5) -> Markup:
    """Return vertical grid lines with their values below; the line at zero stands out."""
    marks, base = ticks(x.low, x.high, count), frame.height - frame.bottom
    return joined(
        part
        for mark in marks
        for part in (
            line(x(mark), frame.top, x(mark), base, "zero" if abs(mark) < 1e-12 else "grid"),
            text(x(mark), base + 18, tick_text(mark, marks), "tick", "middle"),
        )
    )


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return positions near the wanted ones, at least `gap` apart, inside [low, high] if they fit; order is kept."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed: list[float] = []
    for i in order:
        placed.append(max(wanted[i], placed[-1] + gap if placed else low))
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], placed[i + 1] - gap if i + 1 < len(placed) else high)
    back = dict(zip(order, placed, strict=True))
    return [back[i] for i in range(len(wanted))]


def _inside(x: float, label: str, frame: Frame) -> float:
    """Return where a centred label may stand without leaving the drawing."""
    half = len(label) * 3.4
    return min(max(x, half), frame.width - half)
