"""What every drift detector is: a name, what it tells, a floor, and one function of two histograms."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mainspring.stats.columns import Array, Floats

Kind = Literal["number", "string"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How far apart: `value` in the detector's own unit, and the chance `p` of that if nothing had changed."""

    value: float
    p: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """Measures counts against expected counts of the same bins (`profiles`: nulls last).

    tells: `drift` (the world may have changed) or `fault` (an input is broken). kinds: columns it can measure.
    floor: no threshold lies below it, however calm training was. slack: added to what was usual. each: the values
    alone, of many pairs at once: [windows, bins] of both give [windows].
    """

    name: str
    tells: Literal["drift", "fault"]
    kinds: tuple[Kind, ...]
    floor: float
    slack: float
    measure: Callable[[Kind, Array, Array], Measured]
    each: Callable[[Kind, Array, Array], Floats]

    def threshold(self, usual: float) -> float:
        """Return the value above which it raises, given what was usual in training."""
        return max(self.floor, usual + self.slack)
