"""What is alerted on: the table of alerts, each with its expression, its wait and what to do about it.

Availability and latency burn an error budget, judged over two windows each so that an alert comes fast and goes fast
(Beyer et al., "The Site Reliability Workbook", chapter 5, table 5-2: 14.4 times over 1 h and 5 min, 6 times over 6 h
and 30 min, once over 3 d and 6 h). The rest are verdicts that `watch` has reached by its own statistics, and states
that should not last. Severity follows the project file's `alerts`: `page` is critical, `tell` a warning, what is not
listed is info and goes nowhere. Start at `alerts`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mainspring.deliver.render.kubernetes import namespace_of
from mainspring.deliver.render.subject import Place, Subject
from mainspring.kernel.indicators import LATENCY_BOUNDS_US

CRITICAL, WARNING, INFO = "critical", "warning", "info"
BURNS: Sequence[tuple[float, str, str, str]] = (
    (14.4, "1h", "5m", "2m"), (6.0, "6h", "30m", "15m"), (1.0, "3d", "6h", "1h"),
)  # fmt: skip
WINDOWS = ("5m", "30m", "1h", "6h", "3d")
SLOW_SHARE = 0.01  # a limit on the 99th percentile lets one in a hundred be slower
_WATCHED = ("quality", "drift", "data_fault", "stale_features", "rollout", "retraining")
_BACK = "release.aborted|release.rolled_back"
_GRACE_S = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert. wait: how long it must hold (`for`), "" for at once. burn: which budget rule it is, or "".

    meaning, action: sentences of the runbook.
    """

    name: str
    severity: str
    expr: str
    wait: str
    meaning: str
    action: str
    burn: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The selectors of one environment. served: its servers' series. watched: what its watch told."""

    served: str
    watched: str

    @classmethod
    def of(cls, subject: Subject, place: Place) -> "Words":
        """Return an environment's selectors, without braces."""
        return cls(
            served=f'namespace="{namespace_of(subject, place)}"',
            watched=f'model="{subject.model}",environment="{place.name}"',
        )


def alerts(subject: Subject, place: Place) -> list[Alert]:
    """Return the alerts of one environment."""
    words = Words.of(subject, place)
    found = [*_budgets(subject), *_server(subject, words)]
    return [*found, *_watch(subject, words)] if place.scheduler else found


def severity(subject: Subject, *names: str) -> str:
    """Return the most serious severity that the project file gives any of these alerts."""
    if set(names) & set(subject.page):
        return CRITICAL
    return WARNING if set(names) & set(subject.tell) else INFO


def threshold(factor: float, budget: float) -> float:
    """Return the failed share from which a budget burns `factor` times too fast; always one that can be exceeded."""
    return round(min(factor * budget, (1 + budget) / 2), 9)


def latency_bound(limit_us: int) -> str:
    """Return the histogram bucket that judges a limit: the first whose bound is not below it, or the last."""
    bound = next((bound for bound in LATENCY_BOUNDS_US if bound >= limit_us), LATENCY_BOUNDS_US[-1])
    return str(bound / 1_000_000)


def _budgets(subject: Subject) -> Iterator[Alert]:
    worst = severity(subject, "unavailable")
    indicators = [("MainspringErrors", "error", subject.error_rate, "answers fail through no fault of their callers")]
    if subject.latency_p99_us is not None:
        what = f"answers take longer than {latency_bound(subject.latency_p99_us)} s"
        indicators.append(("MainspringSlow", "slow", SLOW_SHARE, what))
    for name, ratio, budget, what in indicators:
        for factor, long, short, wait in BURNS:
            limit = threshold(factor, budget)
            yield Alert(name=name, severity=min(worst, WARNING, key=_rank) if factor == 1 else worst, wait=wait,
                        burn=f"{factor:g}x",
                        expr=f"mainspring:{ratio}:ratio{long} > {limit} and mainspring:{ratio}:ratio{short} > {limit}",
                        meaning=f"{factor:g} times the budget of {budget:.3%} burns, over {long} and {short}: {what}.",
                        action="See what fails on the service dashboard, and whether a release began it.")  # fmt: skip


def _rank(name: str) -> int:
    return (INFO, WARNING, CRITICAL).index(name)


def _server(subject: Subject, words: Words) -> list[Alert]:
    on, worst = words.served, severity(subject, "unavailable")
    shed = f'sum(rate(mainspring_refused_total{{{on},code=~"limit[.](bodies|concurrency)"}}[5m]))'
    softer, faults = min(worst, WARNING, key=_rank), severity(subject, "data_fault")
    return [
        Alert(name="MainspringAbsent", severity=worst, wait="5m", expr=f"absent(mainspring_ready{{{on}}})",
              meaning="Prometheus scrapes no server of this environment: none runs, or the scrape is refused.",
              action="See whether pods run, whether the ServiceMonitor is selected, and the scrape token."),
        Alert(name="MainspringNotReady", severity=worst, wait="5m", expr=f"max(mainspring_ready{{{on}}}) == 0",
              meaning="No server of this environment has a verified model.",
              action="Read `failures` in GET /admin/state; a signature, a store or the release file is wrong."),
        Alert(name="MainspringLoadFailed", severity=severity(subject, "rollout"), wait="10m",
              expr=f"max(mainspring_load_failures{{{on}}}) > 0",
              meaning="A version that the release file names may not serve; what served before goes on.",
              action="Read `failures` in GET /admin/state, then repair the version or roll back."),
        Alert(name="MainspringShedding", severity=softer, wait="5m",
              expr=f"{shed} / (sum(rate(mainspring_requests_total{{{on}}}[5m])) + {shed}) > 0.01",
              meaning="Admission control refuses more than one request in a hundred: the servers are asked too fast.",
              action="Add replicas, or find the client that asks too much."),
        Alert(name="MainspringLogDrops", severity=faults, wait="",
              expr=f"sum(increase(mainspring_log_dropped_rows_total{{{on}}}[10m])) > 0 "
                   f"or sum(increase(mainspring_log_sink_dropped_rows_total{{{on}}}[10m])) > 0",
              meaning="Rows that were answered are not in the prediction log: drift and quality will not see them.",
              action="See whether the log's disk is full or slow, and whether its sinks answer."),
        Alert(name="MainspringChallengerAborted", severity=severity(subject, "rollout"), wait="5m",
              expr=f"max(mainspring_challenger_aborted{{{on}}}) == 1",
              meaning="The router stopped asking the challenger; the release file names it until watch commits that.",
              action="`mainspring status` says why. If watch does not run, end the rollout: `mainspring rollback`."),
    ]  # fmt: skip


def _watch(subject: Subject, words: Words) -> list[Alert]:
    on, every_s = words.watched, subject.every_us // 1_000_000
    worst, rollout = severity(subject, *_WATCHED), severity(subject, "rollout")
    late, retraining = 2 * every_s + _GRACE_S, severity(subject, "retraining")
    drift = severity(subject, "drift")

    def metric(name: str, more: str = "") -> str:
        return f"mainspring_watch_{name}{{{on}{more}}}"

    return [
        Alert(name="MainspringWatchStale", severity=worst, wait="",
              expr=f"time() - max({metric('look_timestamp_seconds')}) > {late}",
              meaning="watch has not looked for two ticks: every other verdict about the model is old.",
              action="See the last runs of watch; a failed look says why."),
        Alert(name="MainspringWatchAbsent", severity=worst, wait=f"{late}s",
              expr=f"absent({metric('look_timestamp_seconds')})", meaning="Prometheus knows of no look of watch.",
              action="See whether watch runs, and whether it reaches the Pushgateway of `stores.metrics`."),
        Alert(name="MainspringQualityWorse", severity=severity(subject, "quality"), wait="",
              expr=f"max({metric('signal', ',signal=' + _text('quality'))}) == 1",
              meaning="What came true is clearly worse than the scores promised, beyond the margin.",
              action="See the quality dashboard; the retraining policy decides whether to train."),
        Alert(name="MainspringOutputDrift", severity=drift, wait="",
              expr=f"max({metric('signal', ',signal=' + _text('output_drift'))}) == 1",
              meaning="The scores are distributed otherwise than week to week in training.",
              action="See which inputs drifted on their dashboard; the retraining policy decides whether to train."),
        Alert(name="MainspringInputDrift", severity=min(drift, WARNING, key=_rank), wait="",
              expr=f"max({metric('drifted_columns')}) > 0",
              meaning="Inputs are distributed otherwise than week to week in training. Alone this trains nothing.",
              action="See which columns on the drift dashboard, and ask their source."),
        Alert(name="MainspringDataFault", severity=severity(subject, "data_fault"), wait="",
              expr=f"max({metric('data_faults')}) > 0",
              meaning="Inputs are broken: nulls or values that training never saw. Training on them would be wrong.",
              action="`mainspring status` names the columns; repair their source."),
        Alert(name="MainspringLogDamaged", severity=severity(subject, "data_fault"), wait="",
              expr=f"sum(increase({metric('events_total', ',kind=' + _text('log.damaged'))}[{late}s])) > 0",
              meaning="Bytes of the prediction log are no record: their answers count in no verdict about the model.",
              action="`mainspring status` names the first segment and offset; see the disk or bucket that keeps it."),
        Alert(name="MainspringStaleFeatures", severity=severity(subject, "stale_features"), wait="15m",
              expr=f"max(time() - {metric('features_timestamp_seconds')} > {metric('features_limit_seconds')}) > 0",
              meaning="The online store was not brought up to date for longer than a view allows.",
              action="See why `mainspring features materialise` does not run or finds no new data."),
        Alert(name="MainspringRolloutStuck", severity=rollout, wait="",
              expr=f"max(time() - {metric('trial_step_timestamp_seconds')} > {metric('trial_patience_seconds')}) > 0",
              meaning="A rollout has stood at one step for more than two holds and a tick.",
              action="`mainspring status` says what it waits for: rows, labels, a quieter loss. Four holds end it."),
        Alert(name="MainspringRolledBack", severity=rollout, wait="",
              expr=f"sum(increase({metric('events_total', ',kind=~' + _text(_BACK))}[1h])) > 0",
              meaning="A version was taken back.", action="`mainspring status` says why."),
        Alert(name="MainspringEmergency", severity=rollout, wait="", expr=f"max({metric('emergency')}) == 1",
              meaning="A version serves that skipped the rules of promotion, by an emergency.",
              action="`mainspring status` says who and why; end it by a promotion that passes the rules."),
        Alert(name="MainspringTrainingFailed", severity=retraining, wait="",
              expr=f"sum(increase({metric('events_total', ',kind=' + _text('run.failed'))}[{late}s])) > 0",
              meaning="A training ended with an error; the champion stays.",
              action="Read the run's failed step: `mainspring status`."),
        Alert(name="MainspringBudgetSpent", severity=retraining, wait="",
              expr=f"max({metric('budget_spent_runs')} >= {metric('budget_runs')}) > 0",
              meaning="The retraining budget of this period is used up: signals will not train.",
              action="See what asked for so many trainings before raising `retraining.budget`."),
    ]  # fmt: skip


def _text(value: str) -> str:
    return f'"{value}"'
