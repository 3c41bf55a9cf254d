"""The chart and its values: copied as they ship, by digest, with every address and key that the server needs."""

import json
from dataclasses import replace
from typing import Any, get_args

import jsonschema_rs
import pytest
from ruamel.yaml import YAML
from tests.unit.deliver.render_subject import IMAGE, place, subject

from mainspring.deliver.documents import to_document
from mainspring.deliver.release import Challenger, Champion, Mode, Plan, Release
from mainspring.deliver.render import chart
from mainspring.deliver.render.content import Json, Objects, Text
from mainspring.deliver.render.needs import store_names
from mainspring.deliver.render.subject import PLATFORMS
from mainspring.kernel.digests import digest_of
from mainspring.project.serving_file import read_serving_file


def values(**more: object) -> dict[str, Any]:
    return chart.values(subject(), place("dev", "deployment", **more))


def test_the_chart_is_copied_as_it_ships_and_versioned_as_the_package() -> None:
    files = chart.files(subject())
    head = files["helm/ml-api-chart/Chart.yaml"]
    assert isinstance(head, Objects)
    assert head.documents[0]["appVersion"] == "0.1.0"
    template = files["helm/ml-api-chart/templates/deployment.yaml"]
    assert isinstance(template, Text)
    assert template.body == subject().shipped["chart/templates/deployment.yaml"]
    assert template.comment == ""
    assert isinstance(files["helm/ml-api-chart/values.schema.json"], Json)


def test_values_name_the_image_by_digest_and_the_bounds() -> None:
    found = values(replicas=(2, 9))
    assert found["image"] == IMAGE
    assert found["replicas"] == {"min": 2, "max": 9}
    assert values(replicas=(0, 0))["replicas"] == {"min": 0, "max": 0}  # none, and no autoscaler that starts one


@pytest.mark.parametrize(
    ("url", "first"),
    [("s3://models/a", "AWS_ACCESS_KEY_ID"), ("gs://models", "GOOGLE_SERVICE_ACCOUNT_KEY"),
     ("abfss://models/a", "AZURE_STORAGE_ACCOUNT_NAME")],
)  # fmt: skip
def test_a_store_brings_the_keys_that_its_client_reads(url: str, first: str) -> None:
    stores = values(stores={"models": url})["stores"]
    assert stores["models"] == url
    assert stores["secretKeys"][0] == first
    job = set(store_names(place("dev", "deployment", stores={"models": url.replace("abfss", "az")})))
    assert job <= set(stores["secretKeys"])  # the server reaches the bucket that the steps reach


def test_what_the_log_rules_refer_to_becomes_a_variable() -> None:
    rules = {
        "log": {"key_secret": "secret://env/KEY", "sinks": ({"to": "https://x", "authorization": "secret://env/A"},)}
    }
    found = values(serving=rules)
    assert found["stores"]["secretKeys"] == ["A", "KEY"]
    assert found["serving"] == rules


OPTIONS = {
    "server": {"cpu": 0.5, "memory": "1Gi", "workers": 2, "grpc": True, "tls_secret": "cert"},
    "autoscaling": {"kind": "keda", "cpu": 60, "rows_per_second": 900},
    "placement": {"server": {"node_selector": {"pool": "0e1"}, "tolerations": ({"key": "spot"},),
                             "pull_secrets": ("pull",), "priority_class": "high"}},
    "gateway": {"name": "edge", "namespace": "gateways", "hostnames": ("a.example",)},
}  # fmt: skip


def test_what_the_project_file_says_of_pods_becomes_the_charts_values() -> None:
    found = values(replicas=(2, 9), options=OPTIONS, identity={"azure.workload.identity/client-id": "x"})
    assert found["resources"] == {
        "requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2000m", "memory": "1Gi"},
    }  # fmt: skip
    assert found["server"] == {"workers": 2, "grpc": True, "tlsSecret": "cert"}
    assert found["autoscaling"]["prometheus"]["rowsPerSecond"] == 900
    assert found["gateway"] == {"enabled": True, "name": "edge", "namespace": "gateways", "hostnames": ["a.example"]}
    assert (found["nodeSelector"], found["priorityClassName"]) == ({"pool": "0e1"}, "high")
    assert found["tolerations"] == [{"key": "spot", "operator": "Exists"}]
    assert found["imagePullSecrets"] == [{"name": "pull"}]
    assert found["podLabels"] == {"azure.workload.identity/use": "true"}
    ingress = {"host": "a.example", "class_name": "nginx", "certificate": "tls", "annotations": {"a/b": "no"}}
    more = values(options={"ingress": ingress}, identity={"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"})
    assert more["ingress"] == {"enabled": True, "host": "a.example", "className": "nginx", "tlsSecret": "tls",
                               "annotations": {"a/b": "no"}}  # fmt: skip
    assert more["serviceAccount"] == {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}}
    assert "podLabels" not in more
    for made in (found, more):
        assert [str(error) for error in schema().iter_errors(json.loads(json.dumps({**defaults(), **made})))] == []


def test_a_redis_with_features_is_named_and_its_password_is_a_secret() -> None:
    written = {
        "redis://f.redis.svc:6379": [],
        "secret://env/FEATURES": ["FEATURES"],
        "secret://vault/a/b#url": ["ONLINE_URL"],
    }
    for address, keys in written.items():
        found = values(stores={"online": address})["stores"]
        assert found == {"models": "", "online": address, "secretKeys": [*keys, "ONLINE_USERNAME", "ONLINE_PASSWORD"]}
        made = json.loads(json.dumps({**defaults(), **values(stores={"online": address})}))
        assert [str(error) for error in schema().iter_errors(made)] == []
    loose = {**defaults(), **values(stores={"online": "redis://user:word@f:6379"})}
    assert list(schema().iter_errors(json.loads(json.dumps(loose))))


def test_a_project_that_runs_nowhere_has_no_chart() -> None:
    assert chart.files(replace(subject(), places=())) == {}


def test_a_log_in_an_object_store_brings_its_keys_too() -> None:
    found = values(stores={"models": "gs://models"}, serving={"log": {"sinks": ("s3://logs/a",)}})["stores"]
    assert found["secretKeys"][:2] == ["GOOGLE_SERVICE_ACCOUNT_KEY", "AWS_ACCESS_KEY_ID"]


def schema() -> jsonschema_rs.Draft7Validator:
    return jsonschema_rs.Draft7Validator(json.loads(subject().shipped["chart/values.schema.json"]))


def test_the_values_schema_takes_whatever_the_readers_of_these_files_take() -> None:
    serving = {
        "log": {"sample": 0.5, "redact": ["a", "@key"], "key_secret": "secret://env/K", "sinks": [
            "s3://logs/a", {"to": "https://x.example", "authorization": "secret://env/A"}]},
        "trust": ["sklearn.tree.DecisionTreeClassifier"],
    }  # fmt: skip
    assert read_serving_file(json.dumps(serving).encode()).trust
    digests = [digest_of({"a": number}) for number in range(2)]
    plan = Plan(steps=(5, 100), hold=90_000_000, abort={
        "min_requests": 1, "error_rate": 0.01, "latency_p99": 1_500, "quality": True})  # fmt: skip
    releases = [
        Release(model="on", champion=Champion(version=1, digest=digests[0]), plan=plan, challenger=Challenger(
            version=2, digest=digests[1], weight=50, mode=mode, floor=10 if mode == "bandit" else 0))
        for mode in get_args(Mode)
    ]  # fmt: skip
    judge, usual = schema(), defaults()
    for name in PLATFORMS[1:]:
        for release in releases:
            made = {**values(serving=serving), "platform": name, **to_document(release)}
            written = json.loads(json.dumps({**usual, **made}))
            assert [str(error) for error in judge.iter_errors(written)] == []


def defaults() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(subject().shipped["chart/values.yaml"])
    return found
