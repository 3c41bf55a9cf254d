"""The whole example becomes the records that the layers take."""

from pathlib import Path

import pytest

from mainspring.data.expectations import ColumnRule
from mainspring.data.views import RowView, WindowView, from_json, to_json
from mainspring.deliver.gates import ChampionGate, FairnessGate, FloorGate, LatencyGate, RobustnessGate
from mainspring.deliver.rollout import RolloutPlan
from mainspring.kernel.times import DAY, HOUR
from mainspring.observe.plans import DriftRule, MonitoringPlan, RetrainPolicy
from mainspring.project.load import NoProject, load
from mainspring.project.lower import lower
from mainspring.project.mistakes import InvalidProject
from mainspring.project.settings import Alerts, Security, Settings

from .example import EXAMPLE, changed, read

TYPES = {
    "flights": {
        "flight_id": "string", "scheduled_departure": "time", "arrived_at": "time", "carrier": "string",
        "origin": "string", "dest": "string", "distance": "number", "tailnum": "string", "arrival_delay": "number",
    },
    "weather": {
        "origin": "string", "observed_at": "time", "wind_speed": "number", "precip": "number", "visib": "number"
    },
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return lower(read(tmp_path, EXAMPLE))


def test_sources_know_when_their_columns_are_known(settings: Settings) -> None:
    flights, weather = settings.definitions.sources
    assert flights.known_column("carrier") == "scheduled_departure"
    assert flights.known_column("arrival_delay") == "arrived_at"
    assert weather.known_column("wind_speed") == "observed_at"


def test_a_feature_with_a_window_is_a_window_view(settings: Settings) -> None:
    schedule, weather, lately = settings.definitions.views
    assert isinstance(schedule, RowView)
    assert schedule.derive == (("hour", "hour(scheduled_departure)"),)
    assert isinstance(weather, RowView)
    assert (weather.by, weather.max_age) == (("origin",), 3 * HOUR)
    assert isinstance(lately, WindowView)
    assert (lately.by, lately.window, lately.refresh) == (("carrier",), DAY, HOUR)
    assert lately.aggregates == (("late_share", "avg(late)"), ("flights", "count(*)"))


def test_definitions_survive_json(settings: Settings) -> None:
    assert from_json(to_json(settings.definitions)) == settings.definitions


def test_training_collects_what_the_gates_need(settings: Settings) -> None:
    plan = settings.training
    assert (plan.function, plan.window, plan.holdout) == ("flight_delay.train:fit", None, 14 * DAY)
    assert (plan.slices, plan.epsilons, plan.confidence) == (("carrier",), (0.05,), 0.95)


def test_gates_are_told_apart(settings: Settings) -> None:
    assert settings.gates == (
        ChampionGate(metric="log_loss", margin=0.01, confidence=0.95),
        FloorGate(metric="roc_auc", bound=0.6, by="carrier", min_rows=500),
        LatencyGate(p99_us=5000),
        FairnessGate(measure="equal_opportunity", by="carrier", gap_below=0.15),
        RobustnessGate(accuracy=0.55, epsilon=0.05),
    )


def test_rollout_monitoring_and_retraining_are_numbers(settings: Settings) -> None:
    assert settings.rollout == RolloutPlan(
        steps=(5, 25, 100), hold=6 * HOUR, min_requests=500, error_rate=0.01, latency_p99_us=50_000, quality=True
    )
    assert settings.monitoring == MonitoringPlan(
        every=6 * HOUR, window=7 * DAY, label_delay=12 * HOUR, drift=DriftRule(), quality_metric="log_loss"
    )
    assert settings.retraining == RetrainPolicy(
        when=("output_drift", "quality"), persist=(2, 3), cooldown=2 * DAY, min_new_labels=5000, budget=(6, 30 * DAY)
    )


def test_the_rest_is_plain_too(settings: Settings) -> None:
    assert settings.alerts == Alerts(
        page=("quality", "unavailable"), tell=("drift", "stale_features"), to=("secret://env/ALERT_WEBHOOK",)
    )
    assert settings.security == Security(
        threshold=1, query_budget=(100_000, DAY), personal=(), keep_predictions=184 * DAY
    )  # fmt: skip
    production = settings.environments["production"]
    assert (production.replicas, production.approvals, production.schedule) == ((3, 30), 1, "0 */6 * * *")
    assert dict(production.stores) == {
        "ledger": "secret://vault/ml/ledger#url", "models": "s3://models", "online": "redis://features:6379",
        "metrics": "http://prometheus-pushgateway.monitoring.svc:9091",
    }  # fmt: skip


def test_every_source_has_expectations(settings: Settings) -> None:
    assert set(settings.expectations) == {"flights", "weather"}
    assert settings.expectations["flights"].rule("distance") == ColumnRule(
        column="distance", type="int64", between=(1.0, 6000.0)
    )


def test_optional_sections_may_be_left_out(tmp_path: Path) -> None:
    short = EXAMPLE[: EXAMPLE.index("gates:")]
    settings = read(tmp_path, short).settings
    assert settings.gates == ()
    assert settings.rollout.steps == (5, 25, 100)
    assert list(settings.environments) == ["local"]
    assert settings.retraining == RetrainPolicy()


def test_column_types_are_judged_when_they_are_known(tmp_path: Path) -> None:
    project = read(tmp_path, EXAMPLE)
    assert lower(project, TYPES) is project.settings  # type: ignore[arg-type]
    without = {**TYPES, "weather": {k: v for k, v in TYPES["weather"].items() if k != "visib"}}
    with pytest.raises(InvalidProject) as caught:
        lower(project, without)  # type: ignore[arg-type]
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.code) == (project.locate(("features", "weather")), "column.unknown")
    assert "visib" in mistake.what


def test_several_windows_of_several_columns(tmp_path: Path) -> None:
    text = changed("{from: flights, by: carrier, window", "{from: flights, by: [origin, dest], window")
    view = read(tmp_path, text).settings.definitions.view("carrier_lately")
    assert view.by == ("origin", "dest")


def test_a_table_that_never_changes_has_no_event_time(tmp_path: Path) -> None:
    text = changed("event_time: observed_at}", "event_time: always}").replace(", max_age: 3h", "")
    assert read(tmp_path, text).settings.definitions.source("weather").event_time == ""


def test_an_unchanged_file_has_the_same_digest(tmp_path: Path) -> None:
    assert read(tmp_path, EXAMPLE).digest == load(tmp_path / "mainspring.yaml").digest


def test_no_project_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(NoProject, match=r"there is no mainspring\.yaml"):
        load(tmp_path)
