"""The chart and its values: copied as they ship, by digest, with every address and key that the server needs."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.deliver.render_subject import IMAGE, place, subject

from mainspring.deliver.render import chart
from mainspring.deliver.render.content import Json, Objects, Text


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
    assert values(replicas=(0, 0))["replicas"] == {"min": 0, "max": 1}


@pytest.mark.parametrize(
    ("url", "first"),
    [("s3://models/a", "AWS_ACCESS_KEY_ID"), ("gs://models", "GOOGLE_SERVICE_ACCOUNT_KEY"),
     ("abfss://models/a", "AZURE_STORAGE_ACCOUNT_NAME")],
)  # fmt: skip
def test_a_store_brings_the_keys_that_its_client_reads(url: str, first: str) -> None:
    stores = values(stores={"models": url})["stores"]
    assert stores["models"] == url
    assert stores["secretKeys"][0] == first


def test_what_the_log_rules_refer_to_becomes_a_variable() -> None:
    rules = {
        "log": {"key_secret": "secret://env/KEY", "sinks": ({"to": "https://x", "authorization": "secret://env/A"},)}
    }
    found = values(serving=rules)
    assert found["stores"]["secretKeys"] == ["A", "KEY"]
    assert found["serving"] == rules


def test_a_project_that_runs_nowhere_has_no_chart() -> None:
    assert chart.files(replace(subject(), places=())) == {}
