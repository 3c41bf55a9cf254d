"""Image definitions: unprivileged, installed from hashed locks, nothing fetched by name, code in the last layer."""

import re

import pytest
from tests.unit.deliver.render_subject import place, subject

from mainspring.adapters.yaml.read import read_text
from mainspring.app.rendering import shipped
from mainspring.deliver.render import images
from mainspring.deliver.render.content import Text
from mainspring.security.lint import lint

LINUX = ("ml-api/Dockerfile", "ml-api/steps.Dockerfile")


def text(path: str) -> str:
    content = images.files(subject())[path]
    assert isinstance(content, Text)
    return content.body


@pytest.mark.parametrize("path", LINUX)
def test_the_policy_lint_finds_nothing(path: str) -> None:
    assert [str(finding) for finding in lint([read_text(path, "dockerfile", text(path))])] == []


@pytest.mark.parametrize("path", LINUX)
def test_the_user_is_a_number_and_the_environment_has_no_installer(path: str) -> None:
    found = text(path)
    assert "USER 10001:10001" in found
    assert "venv --without-pip" in found
    assert not re.search(r"\b(gcc|curl|wget)\b", found)
    assert 'ENTRYPOINT ["mainspring"]' in found


def test_what_changes_most_comes_last() -> None:
    steps = text("ml-api/steps.Dockerfile")
    assert steps.index("steps.lock") < steps.index("wheels/") < steps.index("COPY src/")


@pytest.mark.parametrize("name", ["images/serve.lock", "images/steps.lock"])
def test_locks_that_travel_with_the_package_pin_and_hash_everything(name: str) -> None:
    rows = [row for row in shipped()[name].splitlines() if row and not row.startswith((" ", "#"))]
    assert rows
    assert all(re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+ .*\\$", row) for row in rows), rows
    assert shipped()[name].count("--hash=sha256:") >= len(rows)


def test_the_serving_lock_holds_no_training_stack() -> None:
    lock = shipped()["images/serve.lock"]
    assert not re.search(r"^(pandas|scikit-learn|duckdb|mlflow|onnx|scipy|pydantic)==", lock, re.MULTILINE)


def test_a_base_by_digest_is_taken_from_the_project_file() -> None:
    from dataclasses import replace

    pinned = "registry.example/python@sha256:" + "b" * 64
    content = images.files(replace(subject(), base=pinned))["ml-api/Dockerfile"]
    assert isinstance(content, Text)
    assert f"ARG BASE={pinned}\n" in content.body


def test_a_project_that_runs_nowhere_has_no_image() -> None:
    from dataclasses import replace

    assert images.files(replace(subject(), places=())) == {}
    assert images.files(subject(place("dev", "deployment")))
