"""Unit tests of the rules, for `promtool test rules`: a healthy world fires nothing, each fault its own alert.

A case changes some series of the healthy world and names every alert that must then fire; times are minutes. Series
that tell a time say it as an age, so that a tick of a week costs no week of samples. Start at `rule_tests`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mainspring.deliver.render.alerts import BURNS, Alert, Words, alerts, latency_bound, threshold
from mainspring.deliver.render.subject import Place, Subject
from mainspring.kernel.indicators import FAULTS

_PER_MIN = 1_000.0
_LONG = "xLONG"  # as many samples as the case needs
_SOON, _ENDED = 30, 100
_FIRING = 'count by (alertname, severity, burn) (ALERTS{alertstate="firing"})'
Series = Mapping[str, str]
"""Series -> values in promtool's notation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fault. change: series that differ. gone: name prefixes of series that are missing. fires: (name, burn).

    at: minute at which exactly those must fire.
    """

    name: str
    fires: Sequence[tuple[str, str]]
    change: Series = field(default_factory=dict)
    gone: Sequence[str] = ()
    at: int = _SOON


def rule_tests(subject: Subject, place: Place) -> dict[str, Any]:
    """Return the test file of one environment's rules; it stands beside `<environment>.yaml`."""
    known = {(alert.name, alert.burn): alert for alert in alerts(subject, place)}
    return {
        "rule_files": [f"{place.name}.yaml"],
        "evaluation_interval": "5m",
        "tests": [_test(case, known, subject, place) for case in cases(subject, place)],
    }


def cases(subject: Subject, place: Place) -> list[Case]:
    """Return the healthy world and every fault; together they make every alert fire."""
    words = Words.of(subject, place)
    found = [Case(name="all is well", fires=(), at=_ENDED), *_served(subject, words), *_burning(subject, words)]
    return [*found, *_watched(subject, words)] if place.scheduler else found


def _test(case: Case, known: Mapping[tuple[str, str], Alert], subject: Subject, place: Place) -> dict[str, Any]:
    world = {**_healthy(subject, place), **case.change}
    kept = {name: values for name, values in world.items() if not name.startswith(tuple(case.gone) or "\n")}
    expected = [
        {"labels": _labels(known[which]), "value": 1}
        for which in sorted(case.fires, key=lambda which: (which[0], which[1]))
    ]
    return {
        "name": case.name, "interval": "1m",
        "input_series": [
            {"series": name, "values": values.replace(_LONG, f"x{case.at}")} for name, values in kept.items()
        ],
        "promql_expr_test": [{"expr": _FIRING, "eval_time": f"{case.at}m", "exp_samples": expected}],
    }  # fmt: skip


def _labels(alert: Alert) -> str:
    shown = {"alertname": alert.name, **({"burn": alert.burn} if alert.burn else {}), "severity": alert.severity}
    return "{" + ", ".join(f'{name}="{value}"' for name, value in shown.items()) + "}"


def _grows(a_minute: float) -> str:
    return f"0+{a_minute:.9g}{_LONG}"


def _stays(value: float) -> str:
    return f"{value:.9g}+0{_LONG}"


def _old(age_s: float) -> str:
    """Return a time that is always `age_s` ago: promtool's clock starts at 0."""
    return f"{-age_s:.9g}+60{_LONG}"


def _healthy(subject: Subject, place: Place) -> dict[str, str]:
    words = Words.of(subject, place)
    on, every_s = words.served, subject.every_us / 1_000_000
    found = {
        f"mainspring_ready{{{on}}}": _stays(1),
        f"mainspring_load_failures{{{on}}}": _stays(0),
        f"mainspring_requests_total{{{on}}}": _grows(_PER_MIN),
        **{f'mainspring_refused_total{{{on},code="{code}"}}': _stays(0) for code in FAULTS},
        f'mainspring_refused_total{{{on},code="request.body"}}': _grows(_PER_MIN),  # the caller's mistakes are no fault
        f"mainspring_request_seconds_count{{{on}}}": _grows(_PER_MIN),
        f"mainspring_log_dropped_rows_total{{{on}}}": _stays(0),
        f"mainspring_challenger_aborted{{{on}}}": _stays(0),
    }
    if subject.latency_p99_us is not None:
        found[_bucket(subject, on)] = _grows(_PER_MIN)
    if not place.scheduler:
        return found

    def told(name: str, values: str, more: str = "") -> None:
        found[_told(words, name, more)] = values

    told("look_timestamp_seconds", _old(every_s))
    told("window_end_timestamp_seconds", _old(every_s))
    told("signal", _stays(0), ',signal="quality"')
    told("signal", _stays(0), ',signal="output_drift"')
    told("drifted_columns", _stays(0))
    told("data_faults", _stays(0))
    told("emergency", _stays(0))
    told("features_timestamp_seconds", _old(3_000), ',view="lately"')
    told("features_limit_seconds", _stays(7_200), ',view="lately"')
    told("trial_step_timestamp_seconds", _old(3_000))
    told("trial_patience_seconds", _stays(7_200))
    for kind in ("log.damaged", "release.aborted", "release.rolled_back", "run.failed"):
        told("events_total", _stays(3), f',kind="{kind}"')
    told("budget_runs", _stays(6))
    told("budget_spent_runs", _stays(5))
    return found


def _told(words: Words, name: str, more: str = "") -> str:
    return f"mainspring_watch_{name}{{{words.watched}{more}}}"


def _bucket(subject: Subject, on: str) -> str:
    return f'mainspring_request_seconds_bucket{{{on},le="{latency_bound(subject.latency_p99_us or 0)}"}}'


def _served(subject: Subject, words: Words) -> Iterator[Case]:
    on = words.served
    yield Case(name="no server is scraped", gone=("mainspring_r", "mainspring_l"), fires=[("MainspringAbsent", "")])
    yield Case(name="no model is loaded", change={f"mainspring_ready{{{on}}}": _stays(0)},
               fires=[("MainspringNotReady", "")])  # fmt: skip
    yield Case(name="a version may not serve", change={f"mainspring_load_failures{{{on}}}": _stays(1)},
               fires=[("MainspringLoadFailed", "")])  # fmt: skip
    yield Case(name="the log loses rows", change={f"mainspring_log_dropped_rows_total{{{on}}}": _grows(1)},
               fires=[("MainspringLogDrops", "")])  # fmt: skip
    yield Case(name="the router gave up a challenger", change={f"mainspring_challenger_aborted{{{on}}}": _stays(1)},
               fires=[("MainspringChallengerAborted", "")])  # fmt: skip


def _burning(subject: Subject, words: Words) -> Iterator[Case]:
    """Yield for each budget a share that burns it slowly, and a world in which everything fails it."""
    on = words.served
    shed, failed = (f'mainspring_refused_total{{{on},code="{code}"}}' for code in ("limit.concurrency", "model.failed"))
    answered = f"mainspring_requests_total{{{on}}}"
    burns = [f"{factor:g}x" for factor, *_ in BURNS]
    yield Case(name="every answer fails", change={answered: _stays(0), failed: _grows(_PER_MIN)}, at=_ENDED,
               fires=[("MainspringErrors", burn) for burn in burns])  # fmt: skip
    yield Case(name="most callers are sent away", change={answered: _grows(1), shed: _grows(_PER_MIN)}, at=_ENDED,
               fires=[*(("MainspringErrors", burn) for burn in burns), ("MainspringShedding", "")])  # fmt: skip
    slowly = (threshold(1, subject.error_rate) + threshold(6, subject.error_rate)) / 2
    if slowly:
        yield Case(name="answers fail a little too often", at=_ENDED, fires=[("MainspringErrors", burns[-1])],
                   change={answered: _grows(_PER_MIN * (1 - slowly)), failed: _grows(_PER_MIN * slowly)})  # fmt: skip
    if subject.latency_p99_us is not None:
        bucket = _bucket(subject, on)
        yield Case(name="every answer is slow", change={bucket: _stays(0)}, at=_ENDED,
                   fires=[("MainspringSlow", burn) for burn in burns])  # fmt: skip
        yield Case(name="answers are slow a little too often", change={bucket: _grows(_PER_MIN * 0.97)}, at=_ENDED,
                   fires=[("MainspringSlow", burns[-1])])  # fmt: skip


def _watched(subject: Subject, words: Words) -> Iterator[Case]:
    late_s = 2 * subject.every_us // 1_000_000 + 900

    def told(name: str, values: str, more: str = "") -> Series:
        return {_told(words, name, more): values}

    yield Case(name="watch no longer looks", change=told("look_timestamp_seconds", _old(late_s + 60)),
               fires=[("MainspringWatchStale", "")])  # fmt: skip
    yield Case(name="nobody watches", gone=("mainspring_watch",), at=late_s // 60 + 5,
               fires=[("MainspringWatchAbsent", "")])  # fmt: skip
    yield Case(name="quality is worse", change=told("signal", _stays(1), ',signal="quality"'),
               fires=[("MainspringQualityWorse", "")])  # fmt: skip
    yield Case(name="scores drifted", change=told("signal", _stays(1), ',signal="output_drift"'),
               fires=[("MainspringOutputDrift", "")])  # fmt: skip
    for name, series, alert in (
        ("inputs drifted", "drifted_columns", "MainspringInputDrift"),
        ("an input is broken", "data_faults", "MainspringDataFault"),
        ("an emergency is in force", "emergency", "MainspringEmergency"),
    ):
        yield Case(name=name, change=told(series, _stays(1)), fires=[(alert, "")])
    yield Case(name="features are stale", change=told("features_timestamp_seconds", _old(7_300), ',view="lately"'),
               fires=[("MainspringStaleFeatures", "")])  # fmt: skip
    yield Case(name="a rollout stands still", change=told("trial_step_timestamp_seconds", _old(7_300)),
               fires=[("MainspringRolloutStuck", "")])  # fmt: skip
    for name, kind, alert in (
        ("a version was taken back", "release.aborted", "MainspringRolledBack"),
        ("a training failed", "run.failed", "MainspringTrainingFailed"),
        ("the prediction log is damaged", "log.damaged", "MainspringLogDamaged"),
    ):
        yield Case(name=name, change=told("events_total", f"3+0x20 4+0{_LONG}", f',kind="{kind}"'), fires=[(alert, "")])
    yield Case(name="the budget is spent", change=told("budget_spent_runs", _stays(6)),
               fires=[("MainspringBudgetSpent", "")])  # fmt: skip
