"""Rules, their tests, routes and runbook: right by the schema, one alert each told as the project file says."""

import re
from dataclasses import replace
from typing import Any

import pytest
from tests import crd_schemas
from tests.unit.deliver.render_subject import place, subject

from mainspring.adapters.yaml.dump import dump
from mainspring.adapters.yaml.read import read_text
from mainspring.deliver.render import alerting, alerts, monitoring, rule_tests, workflows
from mainspring.deliver.render.content import Files, Json, Objects, Text
from mainspring.deliver.render.kubernetes import MONITORED
from mainspring.deliver.render.subject import Place, Subject
from mainspring.kernel.indicators import FAULTS, LATENCY_BOUNDS_US
from mainspring.security.lint import lint
from mainspring.serve import errors

STORES = {name: f"s3://{name}" for name in ("ledger", "models", "tables")}
WATCHED = place("production", "deployment", scheduler="cronworkflow", stores=STORES)
PROJECT = replace(subject(place("dev", "deployment"), WATCHED), retrains_on=("output_drift", "quality"))


def documents(files: Files) -> list[dict[str, Any]]:
    return [dict(d) for content in files.values() if isinstance(content, Objects) for d in content.documents]


def test_every_object_is_right_and_safe() -> None:
    files = monitoring.files(PROJECT)
    found = [document for document in documents(files) if "kind" in document]
    assert crd_schemas.check(found) == 2  # the two PrometheusRules; AlertmanagerConfig has no schema
    assert {d["kind"] for d in found} == {"PrometheusRule", "AlertmanagerConfig", "ConfigMap"}
    assert all(d["metadata"]["labels"].items() >= MONITORED.items() for d in found if d["kind"] != "ConfigMap")
    texts = [read_text(path, "kubernetes", dump(c)) for path, c in files.items() if isinstance(c, Objects)]
    assert [str(finding) for finding in lint(texts)] == []


def test_what_argo_cd_reads_is_objects_and_what_promtool_reads_is_the_same_rules() -> None:
    files = monitoring.files(PROJECT)
    beside = {path: content for path, content in files.items() if path.rpartition("/")[0] == monitoring.FOLDER}
    assert set(beside) == {
        f"monitoring/prometheus/{kind}-{name}.yaml" for kind in ("rules", "alerting") for name in ("dev", "production")
    }
    for name in ("dev", "production"):
        (object_,), (plain,) = (
            documents({path: files[path]})
            for path in (f"monitoring/prometheus/rules-{name}.yaml", f"monitoring/prometheus/promtool/{name}.yaml")
        )
        assert object_["spec"] == plain
        tests = files[f"monitoring/prometheus/promtool/{name}.test.json"]
        assert isinstance(tests, Json)
        assert tests.document["rule_files"] == [f"{name}.yaml"]


def test_without_a_cluster_there_is_nothing_to_watch() -> None:
    nowhere = replace(PROJECT, places=())
    assert monitoring.files(nowhere) == alerting.files(nowhere) == {}


@pytest.mark.parametrize("where", PROJECT.places, ids=lambda where: where.name)
def test_the_cases_make_every_alert_fire_and_each_names_alerts_that_exist(where: Place) -> None:
    known = {(alert.name, alert.burn) for alert in alerts.alerts(PROJECT, where)}
    fired = {which for case in rule_tests.cases(PROJECT, where) for which in case.fires}
    assert fired == known
    assert rule_tests.cases(PROJECT, where)[0].fires == ()


def test_a_place_that_nobody_watches_has_no_rule_about_its_watch() -> None:
    dev = dump(monitoring.files(PROJECT)["monitoring/prometheus/rules-dev.yaml"])  # type: ignore[arg-type]
    assert "mainspring_watch" not in dev


def test_severity_is_the_project_files_word() -> None:
    found = {alert.name: alert.severity for alert in alerts.alerts(PROJECT, WATCHED)}
    assert found["MainspringQualityWorse"] == found["MainspringAbsent"] == "critical"
    assert found["MainspringOutputDrift"] == "warning"
    assert found["MainspringStaleFeatures"] == found["MainspringTrainingFailed"] == "info"
    assert found["MainspringWatchStale"] == "critical"  # without watch no verdict comes, not even one that pages
    burns = {
        alert.burn: alert.severity for alert in alerts.alerts(PROJECT, WATCHED) if alert.name == "MainspringErrors"
    }
    assert burns == {"14.4x": "critical", "6x": "critical", "1x": "warning"}
    silent = replace(PROJECT, page=(), tell=())
    assert {alert.severity for alert in alerts.alerts(silent, WATCHED)} == {"info"}


@pytest.mark.parametrize(("budget", "limits"), [
    (0.0, (0.0, 0.0, 0.0)), (0.01, (0.144, 0.06, 0.01)), (0.1, (0.55, 0.55, 0.1)), (0.9, (0.95, 0.95, 0.9)),
])  # fmt: skip
def test_a_burn_can_always_be_exceeded(budget: float, limits: tuple[float, ...]) -> None:
    assert tuple(alerts.threshold(factor, budget) for factor, *_ in alerts.BURNS) == limits


def test_a_latency_limit_is_judged_by_the_first_bucket_not_below_it() -> None:
    assert alerts.latency_bound(50_000) == "0.05"
    assert alerts.latency_bound(50_001) == "0.1"
    assert alerts.latency_bound(10**9) == str(LATENCY_BOUNDS_US[-1] / 1_000_000)
    without = replace(PROJECT, latency_p99_us=None)
    assert "MainspringSlow" not in {alert.name for alert in alerts.alerts(without, WATCHED)}
    assert "MainspringSlow" in {alert.name for alert in alerts.alerts(PROJECT, WATCHED)}


def test_availability_counts_the_codes_that_are_our_fault() -> None:
    def below(kind: type[errors.RequestRefused]) -> set[type[errors.RequestRefused]]:
        return {kind, *(found for child in kind.__subclasses__() for found in below(child))}

    ours = {kind.code for kind in below(errors.RequestRefused) if kind.status >= 500}
    assert set(FAULTS) == ours - {"server.not_ready", "labels.full"} | {"server.fault"}


def test_every_alert_leads_to_its_section_of_the_runbook() -> None:
    files = monitoring.files(PROJECT)
    book = files["monitoring/runbook.md"]
    assert isinstance(book, Text)
    sections = {line[3:].lower() for line in book.body.splitlines() if line.startswith("## ")}
    rules = [rule for d in documents(files) if "groups" in d for rule in d["groups"][1]["rules"]]
    assert {rule["annotations"]["runbook_url"].partition("#")[2] for rule in rules} == sections
    assert rules[0]["annotations"]["runbook_url"].startswith(
        "https://git.example/ops/flight-delay/blob/main/monitoring/runbook.md#"
    )
    elsewhere = replace(PROJECT, repository="git@git.example:ops/x.git")
    shown = dump(monitoring.files(elsewhere)["monitoring/prometheus/rules-dev.yaml"])  # type: ignore[arg-type]
    assert "runbook_url: monitoring/runbook.md#mainspringabsent" in shown


def configs(project: Subject, name: str) -> dict[str, dict[str, Any]]:
    found = documents({"": alerting.files(project)[f"monitoring/prometheus/alerting-{name}.yaml"]})
    return {document["metadata"]["name"]: document["spec"] for document in found}


def test_people_are_told_by_severity_and_addresses_stay_secret() -> None:
    (spec,) = configs(PROJECT, "dev").values()
    assert [receiver["name"] for receiver in spec["receivers"]] == ["nobody", "people"]
    assert spec["receivers"][1]["webhookConfigs"] == [
        {"urlSecret": {"name": "flight-delay-alerts", "key": "ALERT_WEBHOOK"}, "sendResolved": True}
    ]
    told = [(route["receiver"], route["matchers"][0]["value"]) for route in spec["route"]["routes"]]
    assert told == [("people", "critical"), ("people", "warning")]
    assert spec["route"]["receiver"] == "nobody"


def test_what_calls_for_a_training_also_starts_one_where_a_binding_waits_for_it() -> None:
    bindings = [d for d in documents(workflows.files(PROJECT)) if d["kind"] == "WorkflowEventBinding"]
    assert [d["metadata"]["name"] for d in bindings] == ["flight-delay-drift"]
    lonely = replace(PROJECT, places=(replace(WATCHED, scheduler="cronjob"),))
    assert "events/" not in str(alerting.files(lonely))
    found = configs(PROJECT, "production")
    assert set(found) == {"flight-delay", "flight-delay-retrain"}  # without its Secret one falls out, not both
    assert "submit" not in str(found["flight-delay"])
    spec = found["flight-delay-retrain"]
    (event,) = spec["receivers"][1]["webhookConfigs"]
    assert event["url"].endswith("/api/v1/events/flight-delay-production/flight-delay-drift")
    assert event["httpConfig"]["authorization"]["credentials"] == {"name": "flight-delay-submit", "key": "token"}
    (route,) = spec["route"]["routes"]
    assert route["matchers"][0]["value"] == "MainspringOutputDrift|MainspringQualityWorse"
    names = {alert.name for alert in alerts.alerts(PROJECT, WATCHED)}
    assert set(alerting.CALLS_FOR.values()) <= names
    nobody = replace(PROJECT, retrains_on=(), webhooks=())
    assert alerting.files(nobody) == {}


def test_labels_that_rules_use_are_names_prometheus_takes() -> None:
    for document in documents(monitoring.files(PROJECT)):
        for group in document.get("groups", ()):
            for rule in group["rules"]:
                assert all(re.fullmatch("[a-z_][a-z0-9_]*", name) for name in rule["labels"])
