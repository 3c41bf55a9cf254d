"""The templates: whole projects that load, and the flights one is the example that this repository shows."""

from pathlib import Path

import pytest

from mainspring.project.load import FILE_NAME, load
from mainspring.project.new import create, templates

EXAMPLE = Path(__file__).parents[3] / "examples" / "flight_delay"
SCHEMA = "mainspring.schema.json"


def content(folder: Path) -> dict[str, bytes]:
    made = (".mainspring", "data", "__pycache__", ".git")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not any(part in made for part in path.relative_to(folder).parts)
    }


@pytest.mark.parametrize("template", templates())
def test_a_template_is_a_whole_project_that_loads(tmp_path: Path, template: str) -> None:
    create(tmp_path / "mine", template=template, name="mine")
    assert load(tmp_path / "mine" / FILE_NAME)
    assert {"README.md", ".gitignore", "environments/README.md"} <= set(content(tmp_path / "mine"))


def test_the_example_is_what_init_writes(tmp_path: Path) -> None:
    """To mend it: remove examples/flight_delay and run `mainspring init examples/flight_delay --template flights`."""
    create(tmp_path / "flight_delay", template="flights", name="flight-delay")
    ours, theirs = content(EXAMPLE), content(tmp_path / "flight_delay")
    assert set(ours) == set(theirs)
    assert {name: data for name, data in ours.items() if name != SCHEMA} == {
        name: data for name, data in theirs.items() if name != SCHEMA
    }
