"""The text exposition of readings in a file (Prometheus documentation, "Exposition formats", text format 0.0.4)."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mainspring.kernel.files import write_atomic
from mainspring.observe.readings import Reading

_LARGEST = 1 << 20
_PLAIN = r'[a-z_]+(?:\{(?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? [-+0-9.eEinfINFNa]+'
_LINE = re.compile(rf"(?P<head># (?:HELP|TYPE) (?P<family>mainspring_watch_[a-z_]+) [^\n]*)|mainspring_watch_{_PLAIN}")


class ReadingsFile:
    """Replaces one file, which others may read at any time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, readings: Sequence[Reading], /) -> None:
        """Write the readings as text."""
        write_atomic(self.path, exposition(readings), durable=False)


def exposition(readings: Sequence[Reading]) -> bytes:
    """Return the text exposition; a name's readings stand together, in the order in which the names came."""
    families: dict[str, Metric] = {}
    for reading in readings:
        make = CounterMetricFamily if reading.grows else GaugeMetricFamily
        family = families.setdefault(reading.name, make(reading.name, reading.text))
        suffix = "_total" if reading.grows else ""
        family.add_sample(f"{reading.name}{suffix}", dict(reading.labels), reading.value)
    return choose_encoder("text/plain")[0](_Given(list(families.values())))


def shown(paths: Sequence[Path]) -> Callable[[], bytes]:
    """Return what gives the files' expositions as one, read again when one changed.

    A file that is missing, too large or not an exposition of readings counts as empty: it must not spoil what it is
    shown with.
    """
    seen: tuple[tuple[int, int], ...] = ()
    whole = b""

    def show() -> bytes:
        nonlocal seen, whole
        now = tuple(_state(path) for path in paths)
        if now != seen:
            seen, whole = now, joined([_text(path, size) for path, (_, size) in zip(paths, now, strict=True)])
        return whole

    return show


def joined(texts: Sequence[str]) -> bytes:
    """Return several expositions as one: a family's head once, then everybody's samples."""
    families: dict[str, tuple[list[str], list[str]]] = {}
    for text in texts:
        lines = text.splitlines()
        found = [_LINE.fullmatch(line) for line in lines]
        if not all(found):
            continue
        heads: list[str] = []
        samples: list[str] = []
        for line, match in zip(lines, found, strict=True):
            family = match["family"] if match else None
            if family:
                heads, samples = families.setdefault(family, ([], []))
            into = heads if family else samples
            if not (family and line in heads):
                into.append(line)
    return "".join(f"{line}\n" for heads, samples in families.values() for line in (*heads, *samples)).encode("utf-8")


class _Given(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _state(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _text(path: Path, size: int) -> str:
    if not 0 < size <= _LARGEST:
        return ""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
