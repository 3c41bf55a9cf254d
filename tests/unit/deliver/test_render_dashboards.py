"""Dashboards read as a person would: every panel named, explained, with a unit, a bounded legend, its own place."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.deliver.render_subject import place, subject

from mainspring.adapters.yaml.dump import dump
from mainspring.adapters.yaml.read import read_text
from mainspring.deliver.render import dashboards, monitoring
from mainspring.deliver.render.content import Json, Objects
from mainspring.deliver.render.kubernetes import namespace_of
from mainspring.deliver.render.panels import TOP
from mainspring.security.lint import lint

PROJECT = subject(place("dev", "deployment"), place("on_prod", "kserve", scheduler="cronjob"))
UNITS = {"reqps", "short", "s", "percentunit", "percent", "bytes", "bool", "none"}
BOUNDED = {"code", "sink", "version", "reason", "kind", "role", "view", "column"}  # closed sets; columns by topk


def made() -> dict[str, dict[str, Any]]:
    files = dashboards.files(PROJECT)
    return {path: dict(content.document) for path, content in files.items() if isinstance(content, Json)}


def panels() -> Iterator[dict[str, Any]]:
    for board in made().values():
        yield from board["panels"]


def test_there_are_five_boards_and_the_sidecar_gets_the_same_as_the_files() -> None:
    files = dashboards.files(PROJECT)
    names = ["cost", "drift", "quality", "rollout", "service"]
    assert sorted(made()) == [f"monitoring/grafana/dashboards/{name}.json" for name in names]
    content = files["monitoring/grafana/dashboards.yaml"]
    assert isinstance(content, Objects)
    (map_,) = content.documents
    assert (map_["kind"], map_["metadata"]["namespace"]) == ("ConfigMap", "flight-delay-on-prod")
    assert map_["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert {k.removeprefix("flight-delay-"): json.loads(v) for k, v in map_["data"].items()} == {
        path.rpartition("/")[2]: body for path, body in made().items()
    }
    assert sum(len(text) for text in map_["data"].values()) < 500_000  # a ConfigMap holds 1 MiB
    assert [str(f) for f in lint([read_text("d.yaml", "kubernetes", dump(content))])] == []
    assert dashboards.files(replace(PROJECT, places=())) == {}


def test_addresses_are_stable_and_of_this_model_alone() -> None:
    ours = [board["uid"] for board in made().values()]
    again = [board["uid"] for board in made().values()]
    others = [
        dict(c.document)["uid"]
        for c in dashboards.files(replace(PROJECT, model="other")).values()
        if isinstance(c, Json)
    ]
    assert ours == again
    assert len({*ours, *others}) == 10
    assert all(re.fullmatch("[a-z0-9-]{1,40}", uid) for uid in ours)


def test_every_panel_can_be_read() -> None:
    for board in made().values():
        titles = [panel["title"] for panel in board["panels"]]
        assert len(titles) == len(set(titles)) >= 4
        for panel in board["panels"]:
            defaults = panel["fieldConfig"]["defaults"]
            assert 5 <= len(panel["title"]) <= 45
            assert 5 <= len(panel["description"]) <= 120
            assert panel["description"].endswith(".")
            assert defaults["unit"] in UNITS
            assert defaults["unit"] != "percentunit" or "hare" in panel["title"]
            assert defaults["unit"] != "s" or re.search("[Tt]ime|Age", panel["title"])
            assert panel["options"]["legend"]["showLegend"]


def test_every_panel_asks_something_and_legends_tell_its_lines_apart_without_end() -> None:
    for panel in panels():
        targets = panel["targets"]
        legends = [target["legendFormat"] for target in targets]
        assert 1 <= len(targets) <= 4
        assert len(set(legends)) == len(legends)
        assert "" not in legends
        for target in targets:
            labels = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
            assert set(labels) <= BOUNDED
            by = {name for found in re.findall(r"by \(([\w, ]+)\)", target["expr"]) for name in found.split(", ")} - {
                "le"
            }
            assert by == set(labels)
            assert "column" not in by or target["expr"].startswith(f"topk ({TOP}, ")
            assert re.search(r'namespace=~"flight-delay-\$environment"|environment=~"\$environment"', target["expr"])


def test_no_panel_lies_over_another_or_beside_the_page() -> None:
    for board in made().values():
        cells: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            at = panel["gridPos"]
            mine = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not mine & cells
            assert at["x"] + at["w"] <= 24
            cells |= mine
        assert [panel["id"] for panel in board["panels"]] == list(range(1, len(board["panels"]) + 1))


def test_limits_are_those_of_the_project_file() -> None:
    def limits(project: Any) -> dict[str, float | None]:  # noqa: ANN401 - a subject
        found = dashboards.files(project)["monitoring/grafana/dashboards/service.json"]
        assert isinstance(found, Json)
        return {
            p["title"]: p["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"]
            for p in found.document["panels"]
        }

    strict = limits(replace(PROJECT, error_rate=0.003, latency_p99_us=7_000))
    assert (strict["Share of failures"], strict["Time to answer"]) == (0.003, 0.007)
    without = limits(replace(PROJECT, latency_p99_us=None))
    assert without["Time to answer"] is None
    assert "Share of slow answers" not in without


@settings(max_examples=30)
@given(
    project=st.from_regex(r"[a-z][a-z0-9]{0,20}(-[a-z0-9]{1,18})?", fullmatch=True),
    name=st.from_regex(r"[a-z][a-z0-9]*([-_][a-z0-9]+){0,3}", fullmatch=True).filter(lambda text: len(text) <= 60),
)
def test_the_variable_completes_the_namespace_and_names_the_environment(project: str, name: str) -> None:
    where = place(name, "deployment")
    whose = replace(subject(where), name=project)
    value = dashboards.matching(whose, where)
    assert re.fullmatch(f"{project}-{value}", namespace_of(whose, where))
    assert re.fullmatch(value, name)
    assert value == name or "_" in name or len(name) + len(project) >= 62


def test_monitoring_renders_the_dashboards_too() -> None:
    assert set(dashboards.files(PROJECT)) <= set(monitoring.files(PROJECT))


@pytest.mark.parametrize("name", ["service", "quality", "drift", "rollout", "cost"])
def test_the_environment_shown_first_is_the_last_of_the_file(name: str) -> None:
    variables = made()[f"monitoring/grafana/dashboards/{name}.json"]["templating"]["list"]
    assert [variable["name"] for variable in variables] == ["datasource", "environment"]
    assert variables[1]["current"]["value"] == "on[-_]prod"
    assert variables[1]["query"] == "dev : dev,on_prod : on[-_]prod"
