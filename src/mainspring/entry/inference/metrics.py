"""Export the plane's counts as Prometheus metrics, read at scrape time so that a request pays nothing for them.

Label values come from closed sets (error codes, versions of the present release), never from a request.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from mainspring.serve.counters import LATENCY_BOUNDS_US
from mainspring.serve.log import PredictionLog
from mainspring.serve.plane import Plane
from mainspring.serve.reconciler import Reconciler

_US = 1_000_000


class Metrics:
    """Scrapes one server; its registry is its own."""

    def __init__(self, plane: Plane, log: PredictionLog, reconciler: Reconciler) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_PlaneCollector(plane, log, reconciler))
        self._encode, self._kind = choose_encoder("text/plain")

    def scrape(self) -> tuple[bytes, str]:
        """Return (body, content type) of the text exposition."""
        return self._encode(self._registry), self._kind


class _PlaneCollector(Collector):
    def __init__(self, plane: Plane, log: PredictionLog, reconciler: Reconciler) -> None:
        self._plane, self._log, self._reconciler = plane, log, reconciler

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        yield from self._traffic()
        yield from self._challenger()
        yield from self._logged()
        yield from self._release()

    def _traffic(self) -> Iterator[Metric]:
        counts = self._plane.counters
        yield _counter("mainspring_requests", "Answered requests", counts.requests)
        yield _counter("mainspring_rows", "Answered rows", counts.rows)
        refused = CounterMetricFamily(
            "mainspring_refused", "Requests without an answer, by error code", labels=["code"]
        )
        for code, count in sorted(counts.refused.items()):
            refused.add_metric([code], count)
        yield refused
        seconds = HistogramMetricFamily("mainspring_request_seconds", "Time to answer, from body to answer")
        running, buckets = 0, []
        for bound, count in zip((*LATENCY_BOUNDS_US, None), counts.latency, strict=True):
            running += count
            buckets.append(("+Inf" if bound is None else str(bound / _US), float(running)))
        seconds.add_metric([], buckets, counts.latency_sum_us / _US)
        yield seconds

    def _challenger(self) -> Iterator[Metric]:
        plane = self._plane
        yield _counter(
            "mainspring_challenger_requests", "Requests that a challenger scored", plane.counters.challenger_requests
        )
        failures = CounterMetricFamily(
            "mainspring_challenger_failures", "Requests in which the challenger failed", labels=["reason"]
        )
        for reason, count in sorted(plane.counters.challenger_failures.items()):
            failures.add_metric([reason], count)
        yield failures
        yield _counter(
            "mainspring_fallback_rows", "Rows that the champion answered for a challenger", plane.counters.fallback_rows
        )
        yield GaugeMetricFamily("mainspring_challenger_weight", "Percent of rows it may answer now", plane.weight)
        yield GaugeMetricFamily(
            "mainspring_challenger_aborted", "1 when the router stopped asking it", plane.override.aborted
        )

    def _logged(self) -> Iterator[Metric]:
        counts = self._log.counts
        yield _counter("mainspring_log_rows", "Rows on disk", counts.rows)
        yield _counter("mainspring_log_dropped_rows", "Rows that the log lost", counts.dropped_rows)
        yield _counter("mainspring_log_failures", "Failed writes", counts.failures)
        yield GaugeMetricFamily("mainspring_log_waiting_rows", "Rows that wait for the disk", self._log.waiting_rows)

    def _release(self) -> Iterator[Metric]:
        serving, last = self._plane.serving, self._reconciler.last
        info = GaugeMetricFamily(
            "mainspring_release_info", "Who serves, by role", labels=["model", "commit", "role", "version", "digest"]
        )
        for role, version in zip(("champion", "challenger"), serving.versions() if serving else (), strict=False):
            routing = serving.routing if serving else None
            if routing is not None:
                info.add_metric([routing.model, routing.commit, role, str(version.number), version.digest], 1)
        yield info
        yield GaugeMetricFamily("mainspring_ready", "1 when a verified model answers", serving is not None)
        yield GaugeMetricFamily(
            "mainspring_load_failures", "Versions of the release that may not serve", len(last.failures)
        )
        yield _counter("mainspring_model_loads", "Models loaded and checked", self._reconciler.loads)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value)
