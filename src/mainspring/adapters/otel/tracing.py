"""A witness that makes one server span of each exchange, under the client's trace where it sent one.

The SDK's batch processor queues, samples and sends; when the collector is away, spans are dropped there and requests
go on. Attributes follow OpenTelemetry's HTTP semantic conventions; ours begin with `mainspring.`.
"""

from typing import Any

from mainspring.kernel.errors import MainspringError
from mainspring.serve.witness import Exchange

_REFUSED = 500


class TracesMissing(MainspringError):
    """Traces need an extra that is not installed."""

    code = "traces.missing"


class Tracing:
    """Sends spans to an OTLP/HTTP endpoint. processor: takes spans instead. share: of traces that are kept, 0 to 1."""

    def __init__(self, endpoint: str, *, share: float = 1.0, processor: Any = None) -> None:  # noqa: ANN401 - the SDK's
        try:
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
            from opentelemetry.trace import SpanKind, Status, StatusCode
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise TracesMissing("traces need OpenTelemetry", fix="pip install 'mainspring[otel]'") from error
        self._kind, self._status, self._error = SpanKind.SERVER, Status, StatusCode.ERROR
        self._propagator = TraceContextTextMapPropagator()
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "mainspring"}), sampler=ParentBased(TraceIdRatioBased(share)),
            shutdown_on_exit=False,
        )  # fmt: skip
        self._provider.add_span_processor(processor or _batches(endpoint))
        self._tracer = self._provider.get_tracer("mainspring")

    def saw(self, exchange: Exchange, /) -> None:
        """Make the span of one exchange, with its own start and end."""
        parent = self._propagator.extract({"traceparent": exchange.trace}) if exchange.trace else None
        span = self._tracer.start_span(
            f"{exchange.protocol} predict", context=parent, kind=self._kind,
            start_time=exchange.ended_at - exchange.took_us * 1_000,
            attributes={
                "http.response.status_code": exchange.status, "mainspring.model": exchange.model,
                "mainspring.version": exchange.version, "mainspring.request_id": exchange.request_id,
                "mainspring.rows": exchange.rows, "mainspring.code": exchange.code,
            },
        )  # fmt: skip
        if exchange.status >= _REFUSED:
            span.set_status(self._status(self._error, exchange.code))
        span.end(exchange.ended_at)

    def close(self) -> None:
        """Send what waits."""
        self._provider.shutdown()


def _batches(endpoint: str) -> Any:  # noqa: ANN401 - the SDK's
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=5))
