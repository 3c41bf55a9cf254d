"""What each dashboard asks of Prometheus: panels with title, unit, queries and a limit from the project file.

`$environment` completes the namespace of the servers and names the environment of the watch (`dashboards.matching`);
`$__rate_interval` is Grafana's. Where `watch` knows nothing, a query has no answer: no panel fills a gap with a 0. What
several servers may show alike (the findings of one watch) is taken once, by `max`. Start at `boards`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mainspring.deliver.render.subject import Subject

TOP = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One graph. asks: (legend, PromQL). unit: Grafana's name. limit: a line that is red above, or None.

    signed: values may be below 0. steps: values hold until the next one, as those of a watch do.
    """

    title: str
    text: str
    unit: str
    asks: Sequence[tuple[str, str]]
    limit: float | None = None
    signed: bool = False
    steps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One dashboard. since: the start of the time that it shows first."""

    name: str
    text: str
    since: str
    panels: Sequence[Panel]


class _Asks:
    """Writes queries about one project."""

    def __init__(self, subject: Subject) -> None:
        self._served = f'namespace=~"{subject.name}-$environment"'
        self._watched = f'model="{subject.model}",environment=~"$environment"'

    def served(self, name: str, more: str = "") -> str:
        return f"mainspring_{name}{{{self._served}{more}}}"

    def rate(self, name: str, by: str = "", more: str = "") -> str:
        """Return how much a counter of the servers grows a second."""
        split = f" by ({by})" if by else ""
        return f"sum{split} (rate({self.served(name, more)}[$__rate_interval]))"

    def ratio(self, name: str, window: str) -> str:
        return f"mainspring:{name}:ratio{window}{{{self._served}}}"

    def watched(self, name: str, by: str = "", more: str = "") -> str:
        """Return what the watch said last, once however many servers show it."""
        split = f" by ({by})" if by else ""
        return f"max{split} ({self.told(name, more)})"

    def told(self, name: str, more: str = "") -> str:
        return f"mainspring_watch_{name}{{{self._watched}{more}}}"

    def grown(self, name: str, over: str, by: str = "", more: str = "") -> str:
        split = f" by ({by})" if by else ""
        return f"max{split} (increase({self.told(name, more)}[{over}]))"

    def age(self, name: str, by: str = "") -> str:
        return f"time() - {self.watched(name, by)}"


def boards(subject: Subject) -> list[Board]:
    """Return the dashboards of a project."""
    asks = _Asks(subject)
    return [
        Board(name="service", since="now-6h", panels=_service(subject, asks), text="Traffic, failures, latency, load."),
        Board(name="quality", since="now-30d", panels=_quality(asks), text="What came true of what was said."),
        Board(name="drift", since="now-30d", panels=_drift(asks), text="Inputs and scores against training."),
        Board(name="rollout", since="now-7d", panels=_rollout(subject, asks), text="Who serves, and how a trial goes."),
        Board(name="cost", since="now-7d", panels=_cost(asks), text="What serving and training take."),
    ]


def _service(subject: Subject, asks: _Asks) -> list[Panel]:
    def quantile(share: float) -> str:
        return f"histogram_quantile({share}, {asks.rate('request_seconds_bucket', 'le')})"

    limit = subject.latency_p99_us
    slow = [] if limit is None else [Panel(
        title="Share of slow answers", unit="percentunit", limit=0.01, asks=[("over 5 min", asks.ratio("slow", "5m"))],
        text="Answers above the latency limit of the project file; 1 % may be.",
    )]  # fmt: skip
    return [
        Panel(title="Answers a second", unit="reqps", text="Requests and rows that were answered.",
              asks=[("requests", asks.rate("requests_total")), ("rows", asks.rate("rows_total"))]),
        Panel(title="Share of failures", unit="percentunit", limit=subject.error_rate,
              text="Requests that failed through no fault of their callers; the line is the budget.",
              asks=[(f"over {window}", asks.ratio("error", window)) for window in ("5m", "1h", "6h")]),
        Panel(title="Refused a second, by code", unit="reqps", text="See docs/errors.md of mainspring for the codes.",
              asks=[("{{code}}", asks.rate("refused_total", "code"))]),
        Panel(title="Time to answer", unit="s", limit=None if limit is None else limit / 1_000_000,
              text="Quantiles over all servers; the line is the limit of the project file.",
              asks=[(f"p{share * 100:g}", quantile(share)) for share in (0.5, 0.9, 0.99)]),
        *slow,
        Panel(title="Requests under way", unit="short", text="At once, and how many admission control lets in.",
              asks=[("under way", f"sum ({asks.served('in_flight')})"),
                    ("let in", f"sum ({asks.served('concurrency_limit')})"),
                    ("waiting", f"sum ({asks.served('lane_waiting')})")]),
        Panel(title="Servers", unit="short", steps=True, text="Scraped, and ready.",
              asks=[("scraped", f"count ({asks.served('ready')})"), ("ready", f"sum ({asks.served('ready')})")]),
        Panel(title="Versions that may not serve", unit="short", limit=1, steps=True,
              text="Named by the release file and refused at loading; the most on any server.",
              asks=[("refused", f"max ({asks.served('load_failures')})")]),
        Panel(title="Log rows lost a second", unit="short", limit=0.001, text="By the log itself, and by its sinks.",
              asks=[("log", asks.rate("log_dropped_rows_total")),
                    ("sink {{sink}}", asks.rate("log_sink_dropped_rows_total", "sink"))]),
        Panel(title="Log rows waiting", unit="short", text="For the disk.",
              asks=[("waiting", f"sum ({asks.served('log_waiting_rows')})")]),
        Panel(title="Keys refused a second, by code", unit="reqps", text="API keys that did not count.",
              asks=[("{{code}}", asks.rate("auth_failures_total", "code"))]),
    ]  # fmt: skip


def _quality(asks: _Asks) -> list[Panel]:
    return [
        Panel(title="Loss of matured answers", unit="none", steps=True,
              text="With its 95 % interval, and what the scores expected of themselves.",
              asks=[("loss", asks.watched("quality_loss")), ("low", asks.watched("quality_loss_low")),
                    ("high", asks.watched("quality_loss_high")), ("expected", asks.watched("quality_baseline"))]),
        Panel(title="Loss above what was expected", unit="none", signed=True, steps=True,
              text="Quality is worse once the lower bound passes the margin.",
              asks=[("excess", asks.watched("quality_excess")), ("lower bound", asks.watched("quality_excess_low")),
                    ("margin", asks.watched("quality_margin"))]),
        Panel(title="Quality is worse", unit="bool", limit=1, steps=True, text="The verdict of the last window.",
              asks=[("worse", asks.watched("signal", more=',signal="quality"'))]),
        Panel(title="Rows judged", unit="short", steps=True, text="Of the window, and of these with a known outcome.",
              asks=[("answered", asks.watched("window_rows")), ("matured", asks.watched("window_matured_rows"))]),
        *_ages(asks),
    ]  # fmt: skip


def _drift(asks: _Asks) -> list[Panel]:
    share = f"{asks.watched('column_psi', 'column')} / {asks.watched('column_psi_limit', 'column')}"
    return [
        Panel(title=f"Drift of the {TOP} most drifted columns", unit="none", limit=1, steps=True,
              text="Population stability index over what was usual in training; `output` is the score.",
              asks=[("{{column}}", f"topk ({TOP}, {share})")]),
        Panel(title="Columns that drifted", unit="short", limit=1, steps=True,
              text="Beyond the usual and significantly, with false-discovery control.",
              asks=[("drifted", asks.watched("drifted_columns"))]),
        Panel(title="Scores drifted", unit="bool", limit=1, steps=True, text="The verdict that may call a training.",
              asks=[("drifted", asks.watched("signal", more=',signal="output_drift"'))]),
        Panel(title="Broken inputs", unit="short", limit=1, steps=True,
              text="Nulls or values that training never saw.", asks=[("broken", asks.watched("data_faults"))]),
        Panel(title="Age of features", unit="s", text="How far each view of the online store is behind.",
              asks=[("{{view}}", asks.age("features_timestamp_seconds", "view"))]),
        *_ages(asks),
    ]  # fmt: skip


def _ages(asks: _Asks) -> list[Panel]:
    return [
        Panel(title="Age of the verdicts", unit="s", text="Since the last look, and since the window it judged.",
              asks=[("look", asks.age("look_timestamp_seconds")),
                    ("window", asks.age("window_end_timestamp_seconds"))]),
    ]  # fmt: skip


def _rollout(subject: Subject, asks: _Asks) -> list[Panel]:
    kinds = ',kind=~"release[.].*"'
    return [
        Panel(title="Rows a second, by version", unit="short", text="Who answered.",
              asks=[("version {{version}}", asks.rate("version_rows_total", "version"))]),
        Panel(title="Share of the challenger", unit="percent", steps=True,
              text="What the router gives it now, and what the release file allows.",
              asks=[("router", f"max ({asks.served('challenger_weight')})"),
                    ("release", asks.watched("trial_weight"))]),
        Panel(title="Challenger failures a second, by reason", unit="short",
              text="Its answers then came from the champion.",
              asks=[("{{reason}}", asks.rate("challenger_failures_total", "reason")),
                    ("rows taken over", asks.rate("fallback_rows_total"))]),
        Panel(title="Challenger given up", unit="bool", limit=1, steps=True, text="1 while a router refuses to ask it.",
              asks=[("given up", f"max ({asks.served('challenger_aborted')})")]),
        Panel(title="Share of rows the challenger failed", unit="percentunit", limit=subject.error_rate, steps=True,
              text="At the present step, as the watch counted.",
              asks=[("failed", f"{asks.watched('trial_failed_rows')} / {asks.watched('trial_rows')}")]),
        Panel(title="Loss, challenger minus champion", unit="none", signed=True, steps=True,
              text="On the same rows, with its 95 % interval by day.",
              asks=[("difference", asks.watched("trial_loss_difference")),
                    ("low", asks.watched("trial_loss_difference_low")),
                    ("high", asks.watched("trial_loss_difference_high")),
                    ("margin", asks.watched("trial_loss_margin"))]),
        Panel(title="Time at this step", unit="s", text="And how long a step may take.",
              asks=[("at this step", asks.age("trial_step_timestamp_seconds")),
                    ("patience", asks.watched("trial_patience_seconds"))]),
        Panel(title="Moves of a day, by kind", unit="short", steps=True, text="Releases as the ledger has them.",
              asks=[("{{kind}}", asks.grown("events_total", "1d", "kind", kinds))]),
        Panel(title="Emergency in force", unit="bool", limit=1, steps=True, text="1 while a version skipped the rules.",
              asks=[("in force", asks.watched("emergency"))]),
        Panel(title="Versions loaded", unit="short", steps=True, text="By role: champion, challenger.",
              asks=[("{{role}} {{version}}", f"count by (role, version) ({asks.served('release_info')})")]),
    ]  # fmt: skip


def _cost(asks: _Asks) -> list[Panel]:
    hits, misses = asks.rate("cache_hits_total"), asks.rate("cache_misses_total")
    runs = ',kind=~"run[.].*|retrain[.].*|gate[.].*"'
    return [
        Panel(title="CPU time of 1,000 rows", unit="s", text="What the servers used, over the rows that they answered.",
              asks=[("CPU", f"1000 * {asks.rate('cpu_seconds_total')} / {asks.rate('rows_total')}")]),
        Panel(title="CPU in use", unit="short", text="Cores, over all servers.",
              asks=[("cores", asks.rate("cpu_seconds_total"))]),
        Panel(title="Memory in use", unit="bytes", text="Resident, over all servers (on Linux).",
              asks=[("memory", f"sum ({asks.served('memory_bytes')})")]),
        Panel(title="Share answered from the cache", unit="percentunit", text="Of calls of a model, with --cache-mb.",
              asks=[("hits", f"{hits} / ({hits} + {misses})")]),
        Panel(title="Rows logged a second", unit="short", text="What the prediction log grows by.",
              asks=[("rows", asks.rate("log_rows_total"))]),
        Panel(title="Trainings of a day, by kind", unit="short", steps=True, text="What the ledger says of them.",
              asks=[("{{kind}}", asks.grown("events_total", "1d", "kind", runs))]),
        Panel(title="Training time of a day", unit="s", steps=True, text="Of the steps that ran; reused ones are free.",
              asks=[("time", asks.grown("training_seconds_total", "1d"))]),
        Panel(title="Retraining budget", unit="short", steps=True, text="Runs of this period, and how many it allows.",
              asks=[("spent", asks.watched("budget_spent_runs")), ("allowed", asks.watched("budget_runs"))]),
    ]  # fmt: skip
