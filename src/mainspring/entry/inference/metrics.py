"""Export the server's counts as Prometheus metrics, read at scrape time so that a request pays nothing for them.

Label values come from closed sets (error codes, models and versions of present releases), never from a request.
"""

import mmap
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from mainspring.entry.inference.access import Gate
from mainspring.entry.inference.bodies import send_bytes
from mainspring.entry.inference.desk import Desk
from mainspring.entry.inference.probes import Probes
from mainspring.entry.inference.routed import Call, RoutedApp
from mainspring.entry.inference.routes import METRICS, RouteTable
from mainspring.kernel.indicators import FAULTS, LATENCY_BOUNDS_US
from mainspring.serve.fleet import Member

_US = 1_000_000
_VERSIONS = 20


class Metrics:
    """Scrapes one server; its registry is its own. beside: gives an exposition that is shown after it."""

    def __init__(self, desk: Desk, probes: Probes, beside: Callable[[], bytes] = bytes) -> None:
        self._beside = beside
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(desk, probes))
        self._encode, self._kind = choose_encoder("text/plain")

    def scrape(self) -> tuple[bytes, str]:
        """Return (body, content type) of the text exposition."""
        return self._encode(self._registry) + self._beside(), self._kind


class MetricsApp:
    """The handlers of the metrics port; `app` is the ASGI application."""

    def __init__(self, metrics: Metrics, probes: Probes, desk: Desk, gate: Gate) -> None:
        self._metrics = metrics
        self.app = RoutedApp(
            RouteTable(METRICS), gate, {**probes.handlers, "metrics": self._scraped}, desk.told,
        )  # fmt: skip

    async def _scraped(self, call: Call) -> None:
        body, kind = self._metrics.scrape()
        await send_bytes(call.send, 200, body, [(b"content-type", kind.encode("ascii"))])


class _Collector(Collector):
    def __init__(self, desk: Desk, probes: Probes) -> None:
        self._desk, self._probes = desk, probes

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        members = self._desk.fleet.members
        yield from self._server()
        yield from _process()
        for export in (_traffic, _cache, _lanes, _challenger, _logged, _release):
            families = [list(export(member)) for member in members]
            for same in zip(*families, strict=True):
                for other in same[1:]:
                    same[0].samples.extend(other.samples)
                yield same[0]

    def _server(self) -> Iterator[Metric]:
        desk = self._desk
        yield _labelled(
            "mainspring_refused",
            "Requests without an answer, by error code",
            "code",
            dict.fromkeys(FAULTS, 0) | desk.refused,
        )
        yield _labelled("mainspring_auth_failures", "Keys that were refused, by code", "code", desk.gate.failures)
        yield GaugeMetricFamily(
            "mainspring_ready", "1 when every model answers and requests are wanted", self._probes.ready
        )
        yield GaugeMetricFamily("mainspring_in_flight", "Requests that wait for a slow model", desk.in_flight)
        yield GaugeMetricFamily("mainspring_arriving_bytes", "Bytes of unfinished bodies", desk.arriving.held)
        yield GaugeMetricFamily(
            "mainspring_tokens_failing", "1 when the tokens cannot be read", bool(desk.gate.ring.failure)
        )
        allowed = GaugeMetricFamily("mainspring_concurrency_limit", "Requests let in at once", labels=["model"])
        for model, limit in sorted(desk.limits.items()):
            allowed.add_metric([model], limit.limit)
        yield allowed


def _traffic(member: Member) -> Iterator[Metric]:
    counts, model = member.plane.totals, member.model
    yield _counter("mainspring_requests", "Answered requests", model, counts.requests)
    yield _counter("mainspring_rows", "Answered rows", model, counts.rows)
    seconds = HistogramMetricFamily(
        "mainspring_request_seconds", "Time to answer, from body to answer", labels=["model"]
    )
    running, buckets = 0, []
    for bound, count in zip((*LATENCY_BOUNDS_US, None), counts.latency, strict=True):
        running += count
        buckets.append(("+Inf" if bound is None else str(bound / _US), float(running)))
    seconds.add_metric([model], buckets, counts.latency_sum_us / _US)
    yield seconds
    versions = CounterMetricFamily(
        "mainspring_version_rows", "Rows that a version answered", labels=["model", "version"]
    )
    for number, rows in sorted(counts.rows_by_version.items())[-_VERSIONS:]:
        versions.add_metric([model, str(number)], rows)
    yield versions
    failed = CounterMetricFamily(
        "mainspring_version_failures", "Requests that a version failed", labels=["model", "version"]
    )
    for number in sorted(counts.rows_by_version.keys() | counts.failed_by_version.keys())[-_VERSIONS:]:
        failed.add_metric([model, str(number)], counts.failed_by_version[number])
    yield failed


def _process() -> Iterator[Metric]:
    """Tell what the process costs; its memory only where the system tells it as Linux does."""
    yield CounterMetricFamily("mainspring_cpu_seconds", "CPU time of the server's processes", time.process_time())
    memory = GaugeMetricFamily("mainspring_memory_bytes", "Resident memory of the server's processes")
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
        memory.add_metric([], pages * mmap.PAGESIZE)
    yield memory


def _cache(member: Member) -> Iterator[Metric]:
    """Tell of the cache of scores, where it is on."""
    hits = CounterMetricFamily("mainspring_cache_hits", "Calls answered from the cache of scores", labels=["model"])
    misses = CounterMetricFamily("mainspring_cache_misses", "Calls that the cache did not hold", labels=["model"])
    size = GaugeMetricFamily("mainspring_cache_bytes", "What the cache keeps", labels=["model"])
    cache = member.reconciler.cache
    if cache is not None:
        hits.add_metric([member.model], cache.hits)
        misses.add_metric([member.model], cache.misses)
        size.add_metric([member.model], cache.size)
    yield from (hits, misses, size)


def _challenger(member: Member) -> Iterator[Metric]:
    plane, model = member.plane, member.model
    counts = plane.counters
    yield _counter(
        "mainspring_challenger_requests", "Requests that a challenger scored", model, counts.challenger_requests
    )
    failures = CounterMetricFamily(
        "mainspring_challenger_failures", "Requests in which the challenger failed", labels=["model", "reason"]
    )
    for reason, count in sorted(counts.challenger_failures.items()):
        failures.add_metric([model, reason], count)
    yield failures
    yield _counter(
        "mainspring_fallback_rows", "Rows that the champion answered for a challenger", model, counts.fallback_rows
    )
    yield _gauge("mainspring_challenger_weight", "Percent of rows it may answer now", model, plane.weight)
    yield _gauge("mainspring_challenger_aborted", "1 when the router stopped asking it", model, plane.override.aborted)


def _lanes(member: Member) -> Iterator[Metric]:
    turns, model = member.plane.turns, member.model
    yield _gauge("mainspring_lane_waiting", "Requests that wait for a slow version", model, turns.waiting)
    yield _counter("mainspring_lane_calls", "Calls of slow versions", model, turns.calls)
    yield _counter(
        "mainspring_lane_requests", "Requests in these calls: over calls, the batch size", model, turns.requests
    )
    yield _counter(
        "mainspring_unpaired_requests", "Answers that were not compared with the challenger's", model,
        member.plane.counters.unpaired_requests,
    )  # fmt: skip


def _logged(member: Member) -> Iterator[Metric]:
    counts, model = member.log.counts, member.model
    yield _counter("mainspring_log_rows", "Rows on disk", model, counts.rows)
    yield _counter("mainspring_log_dropped_rows", "Rows that the log lost", model, counts.dropped_rows)
    yield _counter("mainspring_log_failures", "Failed writes", model, counts.failures)
    yield _counter("mainspring_log_sampled_out_rows", "Rows that the rules leave out", model, counts.sampled_out_rows)
    yield _gauge("mainspring_log_waiting_rows", "Rows that wait for the disk", model, member.log.waiting_rows)
    rows = CounterMetricFamily("mainspring_log_sink_rows", "Rows delivered, by sink", labels=["model", "sink"])
    dropped = CounterMetricFamily("mainspring_log_sink_dropped_rows", "Rows lost, by sink", labels=["model", "sink"])
    failing = GaugeMetricFamily(
        "mainspring_log_sink_failing", "1 (a worker) while what came last was not delivered", labels=["model", "sink"]
    )
    for report in member.log.sinks():
        rows.add_metric([model, report.name], report.counts.rows)
        dropped.add_metric([model, report.name], report.counts.dropped_rows)
        failing.add_metric([model, report.name], report.state != "ok")
    yield from (rows, dropped, failing)


def _release(member: Member) -> Iterator[Metric]:
    serving, reconciler, model = member.plane.serving, member.reconciler, member.model
    info = GaugeMetricFamily(
        "mainspring_release_info", "Who serves, by role", labels=["model", "commit", "role", "version", "digest"]
    )
    engines = GaugeMetricFamily("mainspring_model_info", "What scores it", labels=["model", "version", "engine"])
    if serving is not None:
        for version in serving.versions():
            engines.add_metric([model, str(version.number), version.engine_name], 1)
        for role, version in zip(("champion", "challenger"), serving.versions(), strict=False):
            info.add_metric([model, serving.routing.commit, role, str(version.number), version.digest], 1)
    yield from (info, engines)
    yield _gauge("mainspring_model_ready", "1 when a verified version answers", model, serving is not None)
    yield _gauge(
        "mainspring_load_failures", "Versions of the release that may not serve", model, len(reconciler.last.failures)
    )
    yield _counter("mainspring_model_loads", "Versions loaded and checked", model, reconciler.loads)


def _counter(name: str, text: str, model: str, value: float) -> Metric:
    family = CounterMetricFamily(name, text, labels=["model"])
    family.add_metric([model], value)
    return family


def _gauge(name: str, text: str, model: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["model"])
    family.add_metric([model], value)
    return family


def _labelled(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family
