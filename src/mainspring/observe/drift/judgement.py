"""Judge one window: which columns drifted, did the score drift, and which inputs are broken.

A column drifted when its PSI exceeds its threshold (what was usual in training, or the project's fixed number) *and*
the change is significant with false-discovery control over all columns. The first condition is the effect: with
6,000 rows any season is significant. A column with a fault is reported as a fault, not as drift.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mainspring.kernel.errors import InvalidValue
from mainspring.observe.drift.detector import Detector
from mainspring.observe.drift.ks import KS
from mainspring.observe.drift.missing import MISSING
from mainspring.observe.drift.novelty import NOVELTY
from mainspring.observe.drift.psi import PSI
from mainspring.observe.plans import DriftRule
from mainspring.observe.profiles import OUTPUT, ColumnReference, Counts, Reference, TickProfile
from mainspring.stats.discovery import benjamini_hochberg

DETECTORS: tuple[Detector, ...] = (PSI, KS, MISSING, NOVELTY)
MIN_ROWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDrift:
    """One column in one window. ks is None for strings; p is the KS p-value, for strings that of the PSI."""

    name: str
    psi: float
    ks: float | None
    p: float
    threshold: float
    drifted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A broken input: the share of rows it affects and the share above which it counts."""

    column: str
    detector: str
    share: float
    threshold: float

    @property
    def what(self) -> str:
        """Say it in words."""
        kind = "null" if self.detector == MISSING.name else "values that training never saw"
        return f"{self.column}: {self.share:.0%} {kind}, above {self.threshold:.0%}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """What a window showed. `judged` is false below 500 rows: then nothing is claimed. `output` is the score."""

    rows: int
    judged: bool
    columns: tuple[ColumnDrift, ...] = ()
    output: ColumnDrift | None = None
    faults: tuple[Fault, ...] = ()

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the inputs that drifted, largest excess first."""
        found = [column for column in self.columns if column.drifted]
        return tuple(c.name for c in sorted(found, key=lambda c: c.threshold / c.psi))

    @property
    def output_drifted(self) -> bool:
        """Whether the score itself drifted."""
        return self.output is not None and self.output.drifted

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON for the ledger."""
        return asdict(self)


def judge_drift(reference: Reference, window: TickProfile, rule: DriftRule) -> DriftReport:
    """Judge the summed profile of a window against the model's reference."""
    if window.reference != reference.digest:
        raise InvalidValue("the window was counted in another reference's bins", fix="use the model's own profiles")
    if window.rows < MIN_ROWS:
        return DriftReport(rows=window.rows, judged=False)
    faults: list[Fault] = []
    judged: list[ColumnDrift] = []
    for column in reference.columns:
        counts = window.counts[reference.slots[column.name]]
        if not counts.any():  # its values are kept out of the log: nothing can be said
            continue
        found = _faults(column, counts)
        faults.extend(found)
        if not found:
            judged.append(_measure(column, counts, rule))
    real = benjamini_hochberg(np.array([c.p for c in judged]), rule.false_discovery)
    final = [_decided(column, bool(yes)) for column, yes in zip(judged, real, strict=True)]
    inputs = tuple(column for column in final if column.name != OUTPUT)
    output = next((column for column in final if column.name == OUTPUT), None)
    return DriftReport(rows=window.rows, judged=True, columns=inputs, output=output, faults=tuple(faults))


def find_detector(name: str, detectors: Sequence[Detector] = DETECTORS) -> Detector:
    """Return the detector called `name`."""
    for detector in detectors:
        if detector.name == name:
            return detector
    names = ", ".join(detector.name for detector in detectors)
    raise InvalidValue(f"no drift detector is called {name!r}", fix=f"use one of: {names}")


def _measure(column: ColumnReference, counts: Counts, rule: DriftRule) -> ColumnDrift:
    expected = column.expected
    moved = PSI.measure(column.kind, expected, counts)
    distance = KS.measure(column.kind, expected, counts) if column.kind in KS.kinds else None
    threshold = PSI.threshold(column.usual.get(PSI.name, 0.0)) if rule.above == "usual" else float(rule.above)
    return ColumnDrift(
        name=column.name,
        psi=moved.value,
        ks=distance.value if distance else None,
        p=distance.p if distance else moved.p,
        threshold=threshold,
        drifted=moved.value > threshold,
    )


def _decided(column: ColumnDrift, significant: bool) -> ColumnDrift:
    if significant or not column.drifted:
        return column
    return ColumnDrift(
        name=column.name, psi=column.psi, ks=column.ks, p=column.p, threshold=column.threshold, drifted=False
    )


def _faults(column: ColumnReference, counts: Counts) -> list[Fault]:
    found = []
    for detector in DETECTORS:
        if detector.tells == "fault" and column.kind in detector.kinds:
            share = detector.measure(column.kind, column.expected, counts).value
            threshold = detector.threshold(column.usual.get(detector.name, 0.0))
            if share > threshold:
                found.append(Fault(column=column.name, detector=detector.name, share=share, threshold=threshold))
    return found
