"""One honest sentence about what retraining was worth, written from the numbers alone.

An interval that includes zero is never called a win, and a loss is called a loss.
"""

from dataclasses import dataclass

from mainspring.entry.console.formats import count, fixed, interval, signed, signed_interval, times
from mainspring.entry.console.report_data import Difference, Policy, Report

GOOD, UNCLEAR, BAD = "good", "unclear", "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the numbers say: `tone` is good, unclear or bad (for mainspring's policy against never retraining)."""

    tone: str
    sentence: str
    further: str = ""


def find(report: Report) -> Finding:
    """Return the verdict; `further` names the policy with the lowest loss where that is not mainspring's."""
    ours = next((p for p in report["policies"] if p["name"] == "mainspring"), None)
    if ours is None:
        return Finding(tone=UNCLEAR, sentence="No result of mainspring's policy was recorded, so there is no verdict.")
    if ours["vs_never"] is None:
        return Finding(tone=UNCLEAR, sentence=_alone(ours), further=_lowest(report, ours))
    tone, against_never = _never(ours, ours["vs_never"])
    sentence = against_never + _equal(report, ours) + "."
    return Finding(tone=tone, sentence=sentence, further=_lowest(report, ours))


def side(difference: Difference | None) -> str:
    """Return good if the whole interval lies below zero, bad if above, else unclear (also where an end is unknown)."""
    if difference is None or difference["low"] is None or difference["high"] is None:
        return UNCLEAR
    if difference["high"] < 0:
        return GOOD
    return BAD if difference["low"] > 0 else UNCLEAR


def _never(ours: Policy, found: Difference) -> tuple[str, str]:
    tone, value = side(found), found["difference"] or 0.0
    trainings = f"against never retraining, with {times(ours['trainings'], 'training')}"
    if tone == GOOD:
        low, high = -(found["high"] or 0.0), -(found["low"] or 0.0)
        return tone, (
            f"Retraining by mainspring's policy lowered log loss by {fixed(-value)} "
            f"(95 % interval {interval(low, high)}) {trainings}"
        )
    if tone == BAD:
        return tone, (
            f"Retraining by mainspring's policy did not pay: it raised log loss by {fixed(value)} "
            f"(95 % interval {interval(found['low'], found['high'])}) {trainings}"
        )
    return tone, (
        "Retraining by mainspring's policy made no clear difference: log loss changed by "
        f"{signed(value)} ({_unclear(found)}) {trainings}"
    )


def _unclear(found: Difference) -> str:
    if found["low"] is None or found["high"] is None:
        return "no interval known"
    return f"95 % interval {signed_interval(found['low'], found['high'])}, which includes zero"


def _equal(report: Report, ours: Policy) -> str:
    found = report["comparison"]["mainspring_vs_equal"]
    if found is None or found["difference"] is None:
        return ""
    rival = next((p for p in report["policies"] if p["name"] == "scheduled_equal"), None)
    as_many = rival is None or rival["trainings"] in (None, ours["trainings"])
    start = "; against as many" if as_many or rival is None else f"; against {count(rival['trainings'])}"
    start += " scheduled trainings "
    value, tone = found["difference"], side(found)
    if tone == GOOD:
        band = interval(-(found["high"] or 0.0), -(found["low"] or 0.0))
        return start + f"it was better by {fixed(-value)} (interval {band})"
    if tone == BAD:
        return start + f"it was worse by {fixed(value)} (interval {interval(found['low'], found['high'])})"
    zero = "interval includes zero" if found["low"] is not None and found["high"] is not None else "no interval known"
    return start + f"the difference was {signed(value)} ({zero})"


def _alone(ours: Policy) -> str:
    band = interval(ours["low"], ours["high"])
    return (
        f"Mainspring's policy scored a log loss of {fixed(ours['log_loss'])}"
        f"{f' (95 % interval {band})' if band else ''} with {times(ours['trainings'], 'training')}; "
        "no comparison with never retraining was recorded."
    )


def _lowest(report: Report, ours: Policy) -> str:
    scored = [(p["log_loss"], p) for p in report["policies"] if p["log_loss"] is not None]
    if len(scored) < 2 or ours["log_loss"] is None:
        return ""
    loss, best = min(scored, key=lambda pair: pair[0])
    if best is ours or loss == ours["log_loss"]:
        return ""
    return (
        f"The lowest log loss of all was not mainspring's ({fixed(ours['log_loss'])}) but that of "
        f"“{best['title']}”: {fixed(loss)} with {times(best['trainings'], 'training')}."
    )
