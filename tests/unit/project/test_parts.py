"""The small parts of the project room: cron, secrets, schema, presence, new projects."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.times import DAY, HOUR, MINUTE
from mainspring.project import cron
from mainspring.project.load import load
from mainspring.project.mistakes import InvalidProject, path_text
from mainspring.project.new import NoTemplate, NotEmpty, create, templates
from mainspring.project.presence import check_presence
from mainspring.project.schema import HINT, keys_at, project_schema, wanted_at
from mainspring.project.secrets import looks_secret

from .example import EXAMPLE, read


@given(minute=st.integers(0, 59), hour=st.integers(0, 23))
def test_a_daily_schedule_fires_once_a_day(minute: int, hour: int) -> None:
    assert cron.shortest_gap(f"{minute} {hour} * * *") == DAY


@pytest.mark.parametrize(
    ("text", "gap"),
    [("* * * * *", MINUTE), ("0 */6 * * *", 6 * HOUR), ("0,30 1-5 * * 1", 30 * MINUTE), ("5/20 * * * *", 20 * MINUTE)],
)  # fmt: skip
def test_the_shortest_gap_is_found(text: str, gap: int) -> None:
    assert cron.shortest_gap(text) == gap


@pytest.mark.parametrize(
    "text", ["", "* * * *", "60 * * * *", "* 24 * * *", "*/0 * * * *", "5-1 * * * *", "a * * * *", "0 /6 *"]
)
def test_a_cron_mistake_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        cron.parse_cron(text)


@pytest.mark.parametrize("hours", [1, 2, 6, 12, 24])
def test_a_tick_has_a_schedule(hours: int) -> None:
    assert cron.shortest_gap(cron.every(hours * HOUR)) == hours * HOUR


@pytest.mark.parametrize(
    ("text", "name", "secret"),
    [
        ("AKIAABCDEFGHIJKLMNOP", "", True), ("ghp_" + "a1" * 18, "", True), ("hunter2", "db_password", True),
        ("postgresql://u:p@db/ml", "", True), ("-----BEGIN EC PRIVATE KEY-----", "", True),
        ("aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW", "", True), ("https://hooks.slack.com/services/T0/B0/x", "", True),
        ("secret://vault/ml/token", "token", False), ("arrival_delay >= 15 and distance > 300", "", False),
        ("registry/ml-api@sha256:" + "a" * 64, "image", False),
        ("scheduled_departure_at_the_origin_airport", "", False),
        ("http://mlflow:5000", "tracking", False), ("", "password", False), ("flight_id", "key", False),
    ],
)  # fmt: skip
def test_secrets_are_told_from_settings(text: str, name: str, secret: bool) -> None:
    assert looks_secret(text, name) is secret


def test_the_schema_describes_every_setting() -> None:
    schema = project_schema()
    for name, section in (("the file", schema), *schema["$defs"].items()):
        for key, value in section.get("properties", {}).items():
            told = value.get("description") or schema["$defs"].get(value.get("$ref", "").rsplit("/", 1)[-1], {}).get(
                "description"
            )
            assert told, f"{name}.{key}"
    assert json.loads(json.dumps(schema)) == schema


def test_the_schema_knows_what_may_stand_where() -> None:
    assert {"from", "by", "window", "columns"} <= keys_at(("features", "weather"))
    assert keys_at(("gates", 0)) == {"champion", "floor", "latency", "fairness", "robustness"}
    assert wanted_at(("release", "canary", "hold")) == "text such as 6h"
    assert wanted_at(("features", "x", "by")) == "text such as carrier or a list"
    assert wanted_at(("no", "where")) == "something else"


def test_what_the_file_names_must_be_there(tmp_path: Path) -> None:
    project = read(tmp_path, EXAMPLE)
    with pytest.raises(InvalidProject) as caught:
        check_presence(project)
    assert [path_text(mistake.path) for mistake in caught.value.mistakes] == [
        "data.sources.flights.uri", "data.sources.weather.uri", "training.function",
    ]  # fmt: skip
    for name in ("flights", "weather"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / f"{name}.parquet").write_bytes(b"")
    module = tmp_path / "src" / "flight_delay" / "train.py"
    module.parent.mkdir(parents=True)
    for text, words in [("fit(", "is not Python"), ("def other(): ...", "has no function fit")]:
        module.write_text(text)
        with pytest.raises(InvalidProject, match=words):
            check_presence(project)
    module.write_text("from elsewhere import fit\n")
    check_presence(project)


@pytest.mark.parametrize("template", templates())
def test_a_new_project_is_right(tmp_path: Path, template: str) -> None:
    files = create(tmp_path / "My_Project", template=template)
    project = load(tmp_path / "My_Project")
    assert project.settings.name == "my-project"
    assert {"mainspring.yaml", "mainspring.schema.json", ".gitignore"} <= set(files)
    assert project.file.read_text(encoding="utf-8").startswith(HINT)
    assert [path.name for path in tmp_path.iterdir()] == ["My_Project"]


def test_a_new_project_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(NotEmpty):
        create(tmp_path, name="x")
    with pytest.raises(NotEmpty):
        create(tmp_path / "a", name="x")
    with pytest.raises(NoTemplate, match="flihts"):
        create(tmp_path / "b", template="flihts")
    with pytest.raises(InvalidValue):
        create(tmp_path / "b", name="Not A Name")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    assert create(tmp_path / "here", name="x")
