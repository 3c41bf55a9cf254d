"""Decide the next step of a canary rollout. Pure: no clock, no network."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan:
    """How fast traffic moves to a challenger, and when it moves back.

    steps: percent at each step; strictly rising; the last is 100. hold: microseconds to watch a step.
    min_requests: rows a step needs before it may advance. error_rate: fraction of failed rows tolerated.
    latency_p99_us: microseconds, or None. quality: abort when matured paired loss is worse.
    """

    steps: tuple[int, ...]
    hold: int
    min_requests: int
    error_rate: float
    latency_p99_us: int | None
    quality: bool
