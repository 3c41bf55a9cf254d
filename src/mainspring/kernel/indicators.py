"""What the server counts and what alerts judge by it: the words that serving and rendered rules share."""

LATENCY_BOUNDS_US = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000)
"""Upper bounds of the latency histogram's buckets, microseconds."""

FAULTS = (
    "features.failed", "limit.bodies", "limit.concurrency", "model.failed", "request.deadline", "server.fault"
)  # fmt: skip
"""Codes of predictions that were not answered though the client did nothing wrong: what availability counts.

`server.not_ready` is none of them: probes are told it too, and an alert of its own watches readiness.
"""
