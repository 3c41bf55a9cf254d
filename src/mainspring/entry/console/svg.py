"""Markup for drawings: every attribute and every text is escaped here, so no plot can forget it.

No `xmlns` is written: the page is HTML, where `<svg>` needs none, and a page without any address is easier to trust.
"""

from collections.abc import Iterable

from markupsafe import Markup, escape


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """Return `<tag ...>children</tag>`, escaped.

    A trailing underscore is dropped (`class_`), other underscores become hyphens; `None` leaves an attribute out;
    floats keep two decimals. Children that are Markup stay as they are, everything else is text.
    """
    pairs = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{tag}{pairs}>{joined(children)}</{tag}>")  # noqa: S704 - every part above is escaped


def joined(parts: Iterable[object]) -> Markup:
    """Return the parts one after the other; texts are escaped, Markup is kept."""
    return Markup("").join(parts)  # type: ignore[arg-type]


def drawing(width: float, height: float, label: str, *children: object, fixed: bool = False) -> Markup:
    """Return an `<svg>` of this size in its own units; screen readers are told of one picture called `label`.

    It scales to its box; with `fixed` it keeps its size in pixels and the box scrolls.
    """
    size = {"width": width, "height": height} if fixed else {}
    return element(
        "svg", *children, viewBox=f"0 0 {_plain(width)} {_plain(height)}", role="img", aria_label=label, **size
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def text(x: float, y: float, words: str, class_: str | None = None, anchor: str | None = None) -> Markup:
    """Return a line of text whose baseline starts, ends or is centred at (x, y)."""
    return element("text", words, x=x, y=y, class_=class_, text_anchor=anchor)


def tip(words: str) -> Markup:
    """Return the `<title>` a browser shows while the pointer rests on the parent element."""
    return element("title", words)


def path(points: Iterable[tuple[float, float]], class_: str, *, closed: bool = False) -> Markup:
    """Return a polyline, or a filled outline when `closed`."""
    steps = " ".join(f"{'M' if not i else 'L'}{_plain(x)} {_plain(y)}" for i, (x, y) in enumerate(points))
    return element("path", d=steps + (" Z" if closed else ""), class_=class_)


def clipped(words: str, limit: int) -> str:
    """Return at most `limit` characters of the text, with an ellipsis where something was cut."""
    return words if len(words) <= limit else words[: max(limit - 1, 1)] + "…"


def _plain(value: object) -> str:
    """Return a number as short text: two decimals at most, no trailing zeros."""
    if isinstance(value, float):
        short = f"{value:.2f}".rstrip("0").rstrip(".")
        return "0" if short == "-0" else short
    return str(value)
