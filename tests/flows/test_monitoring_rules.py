"""The rendered rules and their tests under the real promtool."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from tests import charts, tools
from tests.unit.deliver.render_subject import HOUR, place, subject

from mainspring.adapters.yaml.dump import dump
from mainspring.deliver.render import dashboards, monitoring
from mainspring.deliver.render.content import Json, Objects
from mainspring.deliver.render.kubernetes import MONITORED
from mainspring.deliver.render.subject import Subject

WATCHED = place("production", "deployment", scheduler="cronworkflow")
FULL = subject(place("dev", "deployment"), WATCHED)
STRICT = replace(
    subject(WATCHED), error_rate=0.0, latency_p99_us=None, every_us=HOUR // 6, page=(), tell=("rollout", "retraining")
)
LOOSE = replace(subject(WATCHED), error_rate=0.4, latency_p99_us=3 * HOUR, every_us=12 * HOUR, repository="")


def written(project: Subject, root: Path) -> Path:
    """Write what `render` would of the rules; return the folder that promtool reads."""
    root.mkdir(parents=True, exist_ok=True)
    for path, content in monitoring.files(project).items():
        if path.startswith(f"{monitoring.FOLDER}/promtool/"):
            text = json.dumps(content.document) if isinstance(content, Json) else dump(cast("Objects", content))
            (root / Path(path).name).write_text(text, encoding="utf-8")
    return root


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [tools.command("promtool"), *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.tools
@pytest.mark.parametrize("project", [FULL, STRICT, LOOSE], ids=["full", "strict", "loose"])
def test_each_alert_fires_for_its_fault_and_for_nothing_else(project: Subject, tmp_path: Path) -> None:
    root = written(project, tmp_path)
    checked = promtool("check", "rules", *sorted(root.glob("*.yaml")))
    assert checked.returncode == 0, checked.stderr
    tested = promtool("test", "rules", *sorted(root.glob("*.test.json")))
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert (tested.stdout + tested.stderr).count("SUCCESS") == len(project.places)


@pytest.mark.tools
def test_the_tests_see_a_rule_that_is_wrong(tmp_path: Path) -> None:
    rules = monitoring.rule_file(FULL, WATCHED)
    alerts = {rule["alert"]: rule for rule in rules["groups"][1]["rules"] if not rule["labels"].get("burn")}
    wrong = {
        "MainspringLogDrops": "vector(1) > 0",
        "MainspringWatchStale": alerts["MainspringWatchStale"]["expr"].replace("> ", "> 1"),
    }
    for name, expr in wrong.items():
        alerts[name]["expr"] = expr
    root = written(FULL, tmp_path)
    (root / "production.yaml").write_text(dump(Objects([rules])), encoding="utf-8")
    tested = promtool("test", "rules", root / "production.test.json")
    assert tested.returncode == 1
    assert all(name in tested.stdout + tested.stderr for name in wrong)


PARSE = """
import json, sys, promql_parser
for text in json.load(sys.stdin):
    promql_parser.parse(text)
"""


@pytest.mark.tools
def test_every_query_is_promql_and_one_that_is_not_is_seen() -> None:
    boards = [content.document for content in dashboards.files(FULL).values() if isinstance(content, Json)]
    asked = [target["expr"] for board in boards for panel in board["panels"] for target in panel["targets"]]
    asked += [rule["expr"] for group in monitoring.rule_file(FULL, WATCHED)["groups"] for rule in group["rules"]]
    assert len(asked) > 80
    texts = [text.replace("$__rate_interval", "1m") for text in asked]
    for given, code in ((texts, 0), ([*texts, "sum(rate(x[1m])"], 1)):
        argv = [tools.python("delivery"), "-c", PARSE]
        done = subprocess.run(argv, input=json.dumps(given), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stderr


@pytest.mark.tools
def test_each_environment_is_scraped_by_exactly_one_monitor_that_the_stack_selects(tmp_path: Path) -> None:
    places = [place(f"on-{name}", name) for name in ("deployment", "rollouts", "kserve", "seldon")]
    charts.write(subject(*places), tmp_path)
    for where in places:
        made = charts.read(charts.template(tmp_path, where.name, charts.release()))
        monitors = [one for one in made if one["kind"] in ("ServiceMonitor", "PodMonitor")]
        assert len(monitors) == 1, where.name
        assert monitors[0]["metadata"]["labels"].items() >= MONITORED.items()
        spec = monitors[0]["spec"]
        (endpoint,) = spec.get("endpoints") or spec["podMetricsEndpoints"]
        assert endpoint["authorization"]["credentials"] == {"name": "flight-delay-scrape", "key": "token"}
    assert not any(b"kind: ServiceMonitor" in data for data in map(Path.read_bytes, tmp_path.glob("monitoring/**/*.*")))
