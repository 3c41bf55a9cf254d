"""Words and tables for people, one JSON object for scripts.

Results go to stdout, progress to stderr. rich is imported only when a table is drawn; NO_COLOR and a stdout that is
no terminal give plain text.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

from mainspring.kernel.times import SECOND, format_time

_UNITS = ("B", "kB", "MB", "GB", "TB")
_THOUSAND = 1000.0
_WIDTH = 100


def say(text: str = "") -> None:
    """Print a line of the result."""
    print(text)


def progress(text: str) -> None:
    """Print a line about what is being done."""
    print(text, file=sys.stderr, flush=True)


def emit(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one JSON object, keys in the order given."""
    print(text_of(value))


def text_of(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return one JSON object as text, keys in the order given."""
    return json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False, default=str)


def table(headers: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
    """Print rows under headers; numbers are aligned right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for index, header in enumerate(headers):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        drawn.add_column(header, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell(value)) for value in row))
    console = Console(file=sys.stdout, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(drawn)


def cell(value: object) -> str:
    """Return a table cell: thousands marked, floats to four digits, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def size(count: int) -> str:
    """Return bytes in words: 1,234,567 is `1.2 MB`."""
    amount = float(count)
    for unit in _UNITS:
        if amount < _THOUSAND or unit == _UNITS[-1]:
            break
        amount /= _THOUSAND
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


def seconds(us: float) -> str:
    """Return microseconds in words: `850 ms`, `12.3 s`, `4 min 05 s`."""
    if us < SECOND:
        return f"{us / 1000:.0f} ms"
    if us < 60 * SECOND:
        return f"{us / SECOND:.1f} s"
    minutes, rest = divmod(round(us / SECOND), 60)
    return f"{minutes} min {rest:02d} s"


def moment(us: int) -> str:
    """Return UTC microseconds as `2013-05-01 06:00`."""
    return format_time(us)[:16].replace("T", " ")


def short(digest: str) -> str:
    """Return the first twelve hex digits of a digest."""
    return digest.removeprefix("sha256:")[:12]
