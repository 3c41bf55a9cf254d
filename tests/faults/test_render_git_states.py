"""`render` in a repository in an odd state: refused with the reason, or harmless; git's own state is never touched."""

import subprocess
from pathlib import Path

import pytest
from tests.unit.project.example import EXAMPLE

from mainspring.entry.cli.group import run
from mainspring.kernel.digests import digest_bytes

Out = pytest.CaptureFixture[str]
MADE = "security/namespaces.yaml"


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "protocol.file.allow=always")
    subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, check=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "mainspring.yaml").write_text(EXAMPLE)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    return folder


def state(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder."""
    return {str(p.relative_to(folder)): digest_bytes(p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "index.lock"])
def test_what_is_under_way_is_named_and_nothing_is_written(root: Path, name: str, capsys: Out) -> None:
    (root / ".git" / name).write_text("x")
    before = state(root)
    assert run(["-C", str(root), "render"]) == 75
    assert name in capsys.readouterr().err
    assert state(root) == before
    assert run(["-C", str(root), "render", "--check"]) == 1  # looking is always allowed
    assert state(root) == before


def test_a_bare_repository_has_no_project_to_render(root: Path, tmp_path: Path, capsys: Out) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(root), "bare.git")
    before = state(tmp_path / "bare.git")
    assert run(["-C", str(tmp_path / "bare.git"), "render"]) == 2
    assert "mainspring.yaml" in capsys.readouterr().err
    assert state(tmp_path / "bare.git") == before


def _detached(root: Path, _: Path) -> Path:
    git(root, "checkout", "-q", "--detach")
    return root


def _shallow(root: Path, elsewhere: Path) -> Path:
    git(elsewhere, "clone", "-q", "--depth", "1", f"file://{root}", "shallow")
    return elsewhere / "shallow"


def _unborn(root: Path, _: Path) -> Path:
    git(root, "checkout", "-q", "--orphan", "next")
    return root


def _submodule(root: Path, elsewhere: Path) -> Path:
    outer = elsewhere / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "submodule", "add", "-q", str(root), "inner")
    return outer / "inner"


def _no_repository(root: Path, elsewhere: Path) -> Path:
    plain = elsewhere / "plain"
    plain.mkdir()
    (plain / "mainspring.yaml").write_bytes((root / "mainspring.yaml").read_bytes())
    return plain


@pytest.mark.parametrize("change", [_detached, _shallow, _unborn, _submodule, _no_repository])
def test_where_nothing_is_under_way_only_work_files_are_written(
    root: Path, tmp_path: Path, change: object, capsys: Out
) -> None:
    folder = change(root, tmp_path)  # type: ignore[operator]
    hidden = {path: digest for path, digest in state(tmp_path).items() if ".git/" in path}
    assert run(["-C", str(folder), "render"]) == 0, capsys.readouterr().err
    assert (folder / MADE).is_file()
    assert {path: digest for path, digest in state(tmp_path).items() if ".git/" in path} == hidden
    assert run(["-C", str(folder), "render", "--check"]) == 0


def test_a_tracked_link_out_of_the_repository_is_not_written_through(root: Path, tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "outside").mkdir()
    (root / "security").symlink_to(tmp_path / "outside", target_is_directory=True)
    assert run(["-C", str(root), "render"]) == 2
    assert "symbolic link" in capsys.readouterr().err
    assert not list((tmp_path / "outside").iterdir())
