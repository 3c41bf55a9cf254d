"""OpenTelemetry traces of predictions (extra `otel`), sent over OTLP/HTTP by the SDK's own batching thread."""
