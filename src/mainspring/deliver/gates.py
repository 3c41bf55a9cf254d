"""Gates: what a candidate must show before it may be released. Pure: evidence in, verdict out.

Evidence is the JSON that validate-model writes about one digest. A gate that finds nothing to judge by fails: no
evidence is never good news. Start at `judge`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

from mainspring.kernel.errors import Damaged

Metric = Literal["log_loss", "roc_auc", "pr_auc", "brier"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionGate:
    """Non-inferiority: the one-sided bound of (candidate - champion) loss, in day blocks, is at most `margin`."""

    metric: Literal["log_loss", "brier"] = "log_loss"
    margin: float = 0.01
    confidence: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorGate:
    """`metric` is at least (for losses: at most) `bound`, overall or in every slice of `by` with `min_rows` rows."""

    metric: Metric
    bound: float
    by: str = ""
    min_rows: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyGate:
    """The exported model answers one row within `p99_us` microseconds at the 99th percentile."""

    p99_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FairnessGate:
    """The gap of `measure` between the groups of `by` stays below `gap_below`."""

    measure: Literal["equal_opportunity", "demographic_parity"]
    by: str
    gap_below: float
    min_rows: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustnessGate:
    """Accuracy stays at least `accuracy` when numbers move by up to `epsilon` standard deviations."""

    accuracy: float
    epsilon: float


Gate = ChampionGate | FloorGate | LatencyGate | FairnessGate | RobustnessGate
MAX_CONVERSION_GAP = 1e-5
MIN_ROWS = 500
MIN_DAYS = 5
LOSSES = frozenset({"log_loss", "brier"})
_RATES = {"equal_opportunity": "tpr", "demographic_parity": "positive_rate"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """What one gate found: `what` gives the number and the bound."""

    gate: str
    passed: bool
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Every gate's reason; `passed` when all passed."""

    passed: bool
    reasons: tuple[Reason, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON that `read_verdict` reads back."""
        return {"schema": 1, "passed": self.passed, "reasons": [asdict(reason) for reason in self.reasons]}


def read_verdict(raw: Mapping[str, Any]) -> Verdict:
    """Read what `Verdict.to_json` wrote."""
    try:
        return Verdict(passed=bool(raw["passed"]), reasons=tuple(Reason(**item) for item in raw["reasons"]))
    except (KeyError, TypeError) as error:
        raise Damaged(f"a verdict cannot be read: {error}", fix="gate the candidate again") from error


def judge(gates: Sequence[Gate], evidence: Mapping[str, Any]) -> Verdict:
    """Judge `evidence.json` of validate-model; missing or undefined evidence never passes.

    Judged whatever the project asks for: the conversion equals the original (worst gap <= 1e-5), and the holdout
    has at least 500 rows. Without a champion the champion gate passes: the first model has nothing to beat.
    Numbers may be repr strings, as canonical JSON writes them.
    """
    reasons = [_conversion(evidence), _sample(evidence)]
    for gate in gates:
        reasons.extend(_judge_one(gate, evidence))
    return Verdict(passed=all(reason.passed for reason in reasons), reasons=tuple(reasons))


def _judge_one(gate: Gate, evidence: Mapping[str, Any]) -> list[Reason]:
    match gate:
        case ChampionGate():
            return [_champion(gate, evidence)]
        case FloorGate():
            return _floor(gate, evidence)
        case LatencyGate():
            return [_latency(gate, evidence)]
        case FairnessGate():
            return [_fairness(gate, evidence)]
        case RobustnessGate():
            return [_robustness(gate, evidence)]


def _conversion(evidence: Mapping[str, Any]) -> Reason:
    rows, worst = _number(evidence, "equality", "rows"), _number(evidence, "equality", "worst")
    if rows is None or worst is None or rows < 1:
        return _missing("conversion", "a comparison of the exported model with the original")
    what = f"the exported model differs from the original by at most {worst:.2g} on {rows:.0f} rows"
    return Reason(gate="conversion", passed=worst <= MAX_CONVERSION_GAP, what=f"{what}; allowed {MAX_CONVERSION_GAP}")


def _sample(evidence: Mapping[str, Any]) -> Reason:
    rows = _number(evidence, "rows")
    if rows is None:
        return _missing("sample", "the number of holdout rows")
    return Reason(gate="sample", passed=rows >= MIN_ROWS, what=f"{rows:.0f} holdout rows; at least {MIN_ROWS}")


def _champion(gate: ChampionGate, evidence: Mapping[str, Any]) -> Reason:
    if "champion" in evidence and evidence["champion"] is None:
        return Reason(gate="champion", passed=True, what="first model: there is no champion to compare with")
    paired = _at(evidence, "champion", "paired")
    gap, upper, days = (_number(evidence, "champion", "paired", name) for name in ("difference", "upper", "blocks"))
    if not isinstance(paired, Mapping) or gap is None or upper is None or days is None:
        return _missing("champion", "a bounded paired comparison with the champion (at least two days)")
    judged = _number(paired, "confidence")
    if paired.get("metric", gate.metric) != gate.metric or (judged is not None and judged != gate.confidence):
        return _missing("champion", f"a comparison by {gate.metric} at confidence {gate.confidence}")
    what = (
        f"{gate.metric} {gap:+.4f} against the champion, {gate.confidence:.0%} bound {upper:+.4f} "
        f"over {days:.0f} days; margin {gate.margin:+.4f}"
    )
    if days < MIN_DAYS:
        return Reason(gate="champion", passed=False, what=f"{what}; at least {MIN_DAYS} days are needed")
    return Reason(gate="champion", passed=upper <= gate.margin, what=what)


def _floor(gate: FloorGate, evidence: Mapping[str, Any]) -> list[Reason]:
    if not gate.by:
        value = _number(evidence, "metrics", gate.metric)
        return [_bounded(f"floor {gate.metric}", gate, value)]
    slices = _slices(evidence, gate.by, gate.min_rows)
    if slices is None:
        return [_missing(f"floor {gate.metric} by {gate.by}", f"slices by {gate.by}")]
    found = [
        _bounded(f"floor {gate.metric} by {gate.by}={name}", gate, _number(item, gate.metric))
        for name, item in slices.items()
    ]
    nothing = f"no {gate.by} has {gate.min_rows} rows: nothing to judge"
    return found or [Reason(gate=f"floor {gate.metric} by {gate.by}", passed=True, what=nothing)]


def _bounded(name: str, gate: FloorGate, value: float | None) -> Reason:
    if value is None:
        return _missing(name, f"a defined {gate.metric}")
    most = gate.metric in LOSSES
    passed = value <= gate.bound if most else value >= gate.bound
    what = f"{gate.metric} {value:.4f}; at {'most' if most else 'least'} {gate.bound}"
    return Reason(gate=name, passed=passed, what=what)


def _latency(gate: LatencyGate, evidence: Mapping[str, Any]) -> Reason:
    p99 = _number(evidence, "latency", "p99_us")
    if p99 is None:
        return _missing("latency", "the exported model's latency")
    return Reason(gate="latency", passed=p99 <= gate.p99_us, what=f"p99 {p99:.0f} us a row; at most {gate.p99_us} us")


def _fairness(gate: FairnessGate, evidence: Mapping[str, Any]) -> Reason:
    name = f"fairness {gate.measure} by {gate.by}"
    slices = _slices(evidence, gate.by, gate.min_rows)
    if slices is None:
        return _missing(name, f"slices by {gate.by}")
    rates = {group: _number(item, _RATES[gate.measure]) for group, item in slices.items()}
    known = {group: rate for group, rate in rates.items() if rate is not None}
    if len(known) < len(rates):
        return _missing(name, f"a defined {_RATES[gate.measure]} in every group")
    if len(known) < 2:
        return Reason(gate=name, passed=True, what=f"fewer than two groups have {gate.min_rows} rows")
    low, high = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    gap = known[high] - known[low]
    what = f"{_RATES[gate.measure]} from {known[low]:.3f} ({low}) to {known[high]:.3f} ({high}), gap {gap:.3f}"
    return Reason(gate=name, passed=gap < gate.gap_below, what=f"{what}; below {gate.gap_below}")


def _robustness(gate: RobustnessGate, evidence: Mapping[str, Any]) -> Reason:
    accuracy, epsilon = _number(evidence, "robustness", "accuracy"), _number(evidence, "robustness", "epsilon")
    if accuracy is None or epsilon is None or epsilon < gate.epsilon:
        return _missing("robustness", f"accuracy under moves of {gate.epsilon} standard deviations")
    what = f"accuracy {accuracy:.3f} under moves of {epsilon} standard deviations; at least {gate.accuracy}"
    return Reason(gate="robustness", passed=accuracy >= gate.accuracy, what=what)


def _missing(gate: str, what: str) -> Reason:
    return Reason(gate=gate, passed=False, what=f"no evidence: {what}")


def _slices(evidence: Mapping[str, Any], by: str, min_rows: int) -> dict[str, Mapping[str, Any]] | None:
    slices = _at(evidence, "slices", by)
    if not isinstance(slices, Mapping):
        return None
    return {name: slices[name] for name in sorted(slices) if (_number(slices[name], "rows") or 0) >= min_rows}


def _at(document: object, *path: str) -> object:
    for name in path:
        if not isinstance(document, Mapping) or name not in document:
            return None
        document = document[name]
    return document


def _number(document: object, *path: str) -> float | None:
    found = _at(document, *path)
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        return None
    try:
        value = float(found)
    except ValueError:
        return None
    return value if isfinite(value) else None
