"""A whole project file, and a way to write a changed one."""

from pathlib import Path

from mainspring.project.load import FILE_NAME, Project, load
from mainspring.project.mistakes import InvalidProject, Mistake

EXAMPLE = """\
version: 1
project: flight-delay
description: Will this flight arrive at least 15 minutes late?
owner: ops-analytics

data:
  sources:
    flights:
      uri: data/flights.parquet
      key: flight_id
      event_time: scheduled_departure
      known_at: {scheduled_departure: [carrier, origin, dest, distance, tailnum], arrived_at: others}
    weather: {uri: data/weather.parquet, key: origin, event_time: observed_at}
  expectations:
    flights: {distance: {type: int64, between: [1, 6000]}, carrier: {pattern: '[A-Z0-9]{2}'}}

ask: {from: flights, key: flight_id, at: scheduled_departure}

features:
  schedule: {from: flights, columns: [carrier, origin, dest, distance], derive: {hour: hour(scheduled_departure)}}
  weather:  {from: weather, by: origin, max_age: 3h, columns: [wind_speed, precip, visib]}
  carrier_lately: {from: flights, by: carrier, window: 24h, refresh: 1h, aggregate: {late_share: avg(late), flights: count(*)}}

target: {name: late, from: flights, expression: arrival_delay >= 15, kind: binary}

training: {function: "flight_delay.train:fit", window: all, holdout: 14d}

gates:
  - champion: {metric: log_loss, margin: 0.01, confidence: 0.95}
  - floor: {metric: roc_auc, by: carrier, at_least: 0.60, min_rows: 500}
  - latency: {p99: 5ms}
  - fairness: {measure: equal_opportunity, by: carrier, gap_below: 0.15}
  - robustness: {accuracy: 0.55, epsilon: 0.05}

release: {canary: {steps: [5, 25, 100], hold: 6h, min_requests: 500, abort: {error_rate: 1%, latency_p99: 50ms, quality: worse}}}

monitoring: {every: 6h, window: 7d, label_delay: 12h, drift: {measure: psi, above: usual, false_discovery: 0.05}, quality: {metric: log_loss}}

retraining: {when: [output_drift, quality], persist: 2 of 3, cooldown: 2d, min_new_labels: 5000, budget: {runs: 6 per 30d}}

alerts: {page: [quality, unavailable], tell: [drift, stale_features], to: ["secret://env/ALERT_WEBHOOK"]}

security: {signing: {threshold: 1}, query_budget: 100000 per 1d, personal: [], retention: {predictions: 184d}}

environments:
  local: {}
  dev: {platform: deployment, replicas: 1}
  production:
    platform: kserve
    replicas: {min: 3, max: 30}
    approvals: 1
    scheduler: cronworkflow
    stores: {ledger: "secret://vault/ml/ledger#url", models: "s3://models", online: "redis://features:6379"}
"""


def changed(old: str, new: str) -> str:
    """Return the example with one part replaced; the part must be there."""
    if old not in EXAMPLE:
        raise AssertionError(f"{old!r} is not in the example")
    return EXAMPLE.replace(old, new, 1)


def read(folder: Path, text: str | bytes) -> Project:
    """Write `text` as the project file of `folder` and load it."""
    data = text if isinstance(text, bytes) else text.encode()
    (folder / FILE_NAME).write_bytes(data)
    return load(folder)


def mistakes(folder: Path, text: str | bytes) -> tuple[Mistake, ...]:
    """Return the mistakes of a project file; () if it is right."""
    try:
        read(folder, text)
    except InvalidProject as error:
        return error.mistakes
    return ()
