"""The workspace file is read as strictly as a project file: every mistake at once, with its line."""

import json
from pathlib import Path

import pytest

from mainspring.project.load import NoProject
from mainspring.project.mistakes import InvalidProject
from mainspring.project.workspace_file import FILE_NAME, is_workspace, load_workspace, workspace_schema


def write(root: Path, text: str) -> Path:
    (root / FILE_NAME).write_text(text, "utf-8")
    for name in ("a", "b/c"):
        (root / name).mkdir(parents=True, exist_ok=True)
    return root


def test_the_projects_come_back_as_folders_in_order(tmp_path: Path) -> None:
    root = write(tmp_path, "version: 1\nprojects: [b/c, a]\n")
    assert is_workspace(root)
    assert list(load_workspace(root).projects) == [root.resolve() / "b" / "c", root.resolve() / "a"]


def test_without_a_file_there_is_no_workspace(tmp_path: Path) -> None:
    assert not is_workspace(tmp_path)
    with pytest.raises(NoProject):
        load_workspace(tmp_path)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("version: 2\nprojects: [a]\n", "project.value"),
        ("version: 1\n", "project.missing"),
        ("version: 1\nprojects: []\n", "project.value"),
        ("version: 1\nprojects: [1]\n", "project.type"),
        ("version: 1\nprojects: [a]\nmore: 1\n", "project.unknown"),
        ("version: 1\nversion: 1\nprojects: [a]\n", "project.duplicate"),
        ("version: 1\nprojects: [../a]\n", "project.path"),
        ("version: 1\nprojects: [/etc]\n", "project.path"),
        ("version: 1\nprojects: [.]\n", "project.path"),
        ("version: 1\nprojects: ['a\\b']\n", "project.path"),
        ("version: 1\nprojects: [nowhere]\n", "project.reference"),
        ("version: 1\nprojects: [a, a]\n", "project.duplicate"),
        ("- a\n", "project.type"),
        ("", "project.yaml"),
    ],
)
def test_a_mistake_is_told_with_its_code(tmp_path: Path, text: str, code: str) -> None:
    with pytest.raises(InvalidProject) as caught:
        load_workspace(write(tmp_path, text))
    assert code in {mistake.code for mistake in caught.value.mistakes}
    assert FILE_NAME in str(caught.value)


def test_every_bad_folder_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidProject) as caught:
        load_workspace(write(tmp_path, "version: 1\nprojects:\n  - a\n  - ../b\n  - nowhere\n"))
    assert [(mistake.line, mistake.code) for mistake in caught.value.mistakes] == [
        (4, "project.path"), (5, "project.reference"),
    ]  # fmt: skip


def test_a_link_out_of_the_workspace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    root = write(tmp_path / "w", "version: 1\nprojects: [out]\n")
    try:
        (root / "out").symlink_to(tmp_path, target_is_directory=True)
    except OSError:  # Windows without the right to make links: then nobody can make one there
        (root / "out").mkdir()
        return
    with pytest.raises(InvalidProject, match="not a folder inside"):
        load_workspace(root)


def test_the_schema_is_plain_json_and_describes_every_key() -> None:
    schema = workspace_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert all(value["description"] for value in schema["properties"].values())
    assert schema["additionalProperties"] is False
