"""Repositories in odd or hostile states: a clear error or the right answer, and nobody else's code ever runs."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mainspring.adapters.git.commands import GitBusy, GitFailed
from mainspring.adapters.git.releases import ReleaseFiles
from mainspring.adapters.git.repository import describe_code, init_repository
from mainspring.deliver.documents import InvalidRelease
from mainspring.deliver.release import Champion, Release
from mainspring.kernel.digests import digest_of
from mainspring.kernel.errors import Conflict, InvalidValue, MainspringError

PATH = "environments/local/release.yaml"


def release(version: int) -> Release:
    return Release(model="m", champion=Champion(version=version, digest=digest_of(version)))


def git(root: Path, *args: str) -> str:
    settings = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(["git", *settings, *args], cwd=root, capture_output=True, check=True, text=True)
    return done.stdout


def put(files: ReleaseFiles, version: int) -> str:
    _, expected = files.read("local")
    return files.write("local", release(version), expected=expected, message=f"version {version}", trailers={})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    made.mkdir()
    (made / "README.md").write_text("hello\n")
    init_repository(made, at=0)
    return made


def test_the_checked_out_file_follows_and_the_tree_stays_clean(root: Path) -> None:
    files = ReleaseFiles(root)
    for version in (1, 2):
        put(files, version)
        assert f"version: {version}" in (root / PATH).read_text()
        assert describe_code(root) == (files.head("local"), False)
        assert git(root, "status", "--porcelain") == ""


def test_a_dirty_release_file_is_left_alone_and_changes_nothing_that_serves(root: Path) -> None:
    files = ReleaseFiles(root)
    put(files, 1)
    (root / PATH).write_text("my own edit")
    put(files, 2)
    assert (root / PATH).read_text() == "my own edit"
    assert files.read("local")[0] == release(2)
    assert describe_code(root)[1]


def test_comments_survive_an_edit(root: Path) -> None:
    files = ReleaseFiles(root)
    put(files, 1)
    text = (root / PATH).read_text()
    assert text.startswith("# What serves in local")
    (root / PATH).write_text("# mine\n" + text.replace("model: m", "model: m  # the only one"))
    git(root, "commit", "-qam", "comment")
    put(files, 2)
    kept = (root / PATH).read_text()
    assert kept.startswith("# mine\n# What serves")
    assert "model: m  # the only one" in kept
    assert "version: 2" in kept


def _detach(root: Path) -> None:
    git(root, "checkout", "-q", "--detach")


def _pack(root: Path) -> None:
    git(root, "pack-refs", "--all")


def _other_branch(root: Path) -> None:
    git(root, "checkout", "-q", "-b", "feature")


@pytest.mark.parametrize("change", [_detach, _pack, _other_branch])
def test_head_and_ref_storage_do_not_matter(root: Path, change: Callable[[Path], None]) -> None:
    files = ReleaseFiles(root)
    first = put(files, 1)
    change(root)
    assert files.read("local") == (release(1), first)
    second = put(files, 2)
    assert ReleaseFiles(root).read("local") == (release(2), second)
    assert [logged.commit for logged in files.log("local")] == [second, first]


def test_a_bare_and_a_shallow_repository_work(root: Path, tmp_path: Path) -> None:
    put(ReleaseFiles(root), 1)
    git(tmp_path, "clone", "-q", "--bare", str(root), "bare.git")
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{root}", "shallow")
    for name in ("bare.git", "shallow"):
        files = ReleaseFiles(tmp_path / name)
        put(files, 2)
        assert files.read("local")[0] == release(2)


def test_a_project_inside_a_repository_has_its_own_release_files(root: Path) -> None:
    project = root / "teams" / "a"
    project.mkdir(parents=True)
    files = ReleaseFiles(project)
    put(files, 1)
    assert (project / PATH).exists()
    assert not (root / PATH).exists()
    assert git(root, "status", "--porcelain") == ""


def test_a_repository_without_commits_gets_its_first(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    files = ReleaseFiles(tmp_path)
    assert files.read("local") == (None, "")
    assert files.log("local") == []
    put(files, 1)
    assert files.read("local")[0] == release(1)


def test_no_repository_and_no_branch_are_clear_errors(root: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(GitFailed, match="not in a git repository"):
        ReleaseFiles(tmp_path / "plain").read("local")
    with pytest.raises(GitFailed, match="no branch called 'release'"):
        ReleaseFiles(root, "release").read("local")
    with pytest.raises(GitFailed, match="does not exist"):
        ReleaseFiles(tmp_path / "absent").read("local")


@pytest.mark.parametrize("name", ["index.lock", "MERGE_HEAD", "rebase-merge"])
def test_a_merge_or_another_command_under_way_means_try_again(root: Path, name: str) -> None:
    files = ReleaseFiles(root)
    head = put(files, 1)
    (root / ".git" / name).write_text(head)
    with pytest.raises(GitBusy) as caught:
        put(files, 2)
    assert caught.value.exit_code == 75
    assert files.read("local") == (release(1), head)


def test_a_locked_branch_means_try_again(root: Path) -> None:
    files = ReleaseFiles(root)
    head = put(files, 1)
    (root / ".git/refs/heads/main.lock").write_text("")
    with pytest.raises((GitBusy, Conflict)):
        put(files, 2)
    assert files.head("local") == head


BRANCHES = [
    "--upload-pack=x",
    "-x",
    "a\nb",
    "a..b",
    "a b",
    "",
    "a.lock",
    "/a",
    "a/",
    "a~1",
    "a^",
    "a:b",
    "@{-1}",
    "a//b",
]


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_branch_name_that_git_could_misread_is_refused(root: Path, branch: str) -> None:
    with pytest.raises(InvalidValue):
        ReleaseFiles(root, branch)


@pytest.mark.skipif(sys.platform == "win32", reason="the sentinels are shell scripts")
def test_hooks_filters_pagers_and_monitors_of_a_repository_never_run(root: Path, tmp_path: Path) -> None:
    sentinel = tmp_path / "ran"
    script = tmp_path / "evil.sh"
    script.write_text(f'#!/bin/sh\necho "$0 $@" >> {sentinel}\ncat\n')
    script.chmod(0o755)
    files = ReleaseFiles(root)
    put(files, 1)
    (root / ".gitattributes").write_text("* filter=evil diff=evil\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "attributes")
    hooks = root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("pre-commit", "post-commit", "reference-transaction", "post-index-change", "post-checkout", "update"):
        (hooks / hook).write_text(script.read_text())
        (hooks / hook).chmod(0o755)
    programs = "core.fsmonitor core.pager pager.log core.editor core.sshCommand diff.external gpg.program core.askPass "
    programs += "filter.evil.clean filter.evil.smudge filter.evil.process diff.evil.textconv"
    for name in programs.split():
        git(root, "config", name, str(script))
    for name in ("log.showSignature", "commit.gpgSign", "tag.gpgSign", "filter.evil.required"):
        git(root, "config", name, "true")
    git(root, "config", "core.hooksPath", str(hooks))
    sentinel.unlink(missing_ok=True)
    put(files, 2)
    files.log("local")
    (root / "README.md").write_text("changed\n")
    os.utime(root / PATH)
    describe_code(root)
    assert files.read("local")[0] == release(2)
    assert not sentinel.exists(), sentinel.read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_tracked_link_out_of_the_repository_is_not_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "environments").symlink_to(outside)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "link")
    files = ReleaseFiles(root)
    assert files.read("local")[0] is None
    with pytest.raises(MainspringError):
        put(files, 1)
    assert list(outside.iterdir()) == []


TEXTS = {
    "not yaml": "a: [",
    "duplicate key": "schema: 1\nschema: 1\n",
    "alias": "a: &x 1\nb: *x\n",
    "tag": "a: !!python/object:os.system x\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "binary": "\x00\x01",
    "empty": "",
    "newer schema": "schema: 2\nmodel: m\nchampion: {}\n",
}


@pytest.mark.parametrize("name", list(TEXTS))
def test_a_damaged_release_file_is_refused_and_left_out_of_the_history(root: Path, name: str) -> None:
    files = ReleaseFiles(root)
    first = put(files, 1)
    (root / PATH).write_text(TEXTS[name])
    git(root, "commit", "-qam", "damage")
    with pytest.raises(InvalidRelease):
        files.read("local")
    assert [logged.commit for logged in files.log("local")] == [first]
    files.write("local", release(2), expected=files.head("local"), message="repair", trailers={})
    assert files.read("local")[0] == release(2)


def test_a_message_cannot_pose_as_a_trailer(root: Path) -> None:
    files = ReleaseFiles(root)
    head = files.head("local")
    trailers = {"Mainspring-Reason": "x\nMainspring-Rolls-Back: y"}
    files.write("local", release(1), expected=head, message="a\n\nMainspring-Ledger: 1:x", trailers=trailers)
    assert files.log("local")[0].trailers == {"Mainspring-Reason": "x Mainspring-Rolls-Back: y"}
    git(root, "commit", "-q", "--allow-empty", "-m", "Mainspring-Ledger: 1:x")
    assert len(files.log("local")) == 1


def test_history_of_a_shallow_clone_is_refused_not_guessed(root: Path, tmp_path: Path) -> None:
    for version in (1, 2):
        put(ReleaseFiles(root), version)
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{root}", "shallow")
    files = ReleaseFiles(tmp_path / "shallow")
    before = git(tmp_path / "shallow", "for-each-ref")
    with pytest.raises(GitFailed, match="shallow") as caught:
        files.log("local")
    assert caught.value.fix == "git fetch --unshallow"
    assert git(tmp_path / "shallow", "for-each-ref") == before


def test_a_branch_that_another_work_tree_stands_on_is_left_alone(root: Path, tmp_path: Path) -> None:
    files = ReleaseFiles(root)
    head = put(files, 1)
    git(root, "checkout", "-q", "-b", "feature")
    git(root, "worktree", "add", "-q", str(tmp_path / "other"), "main")
    with pytest.raises(GitBusy, match="checked out in another work tree"):
        put(files, 2)
    assert files.read("local") == (release(1), head)
    assert git(tmp_path / "other", "status", "--porcelain") == ""
    inside = ReleaseFiles(tmp_path / "other")
    put(inside, 2)
    assert files.read("local")[0] == release(2)
    assert git(tmp_path / "other", "status", "--porcelain") == ""


def _outer(tmp_path: Path, root: Path) -> Path:
    """A repository that holds the project as a submodule."""
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q", "-b", "main")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(root), "project")
    git(outer, "commit", "-qm", "a submodule")
    return outer


def test_a_project_in_a_submodule_has_releases_of_its_own(root: Path, tmp_path: Path) -> None:
    outer = _outer(tmp_path, root)
    before = git(outer, "for-each-ref")
    files = ReleaseFiles(outer / "project")
    put(files, 1)
    assert files.read("local")[0] == release(1)
    assert git(outer, "for-each-ref") == before
    assert git(outer / "project", "status", "--porcelain") == ""


def test_environments_that_are_a_submodule_are_refused(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "a.txt").write_text("a")
    init_repository(other, at=0)
    git(root, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "environments")
    git(root, "commit", "-qm", "environments live elsewhere")
    files = ReleaseFiles(root)
    head = files.head("local")
    assert files.read("local")[0] is None
    with pytest.raises(GitFailed, match="above it is a submodule"):
        put(files, 1)
    assert files.head("local") == head
    assert git(root, "status", "--porcelain") == ""


@pytest.mark.parametrize("name", ["CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-apply"])
def test_whatever_is_under_way_is_named_and_left_alone(root: Path, name: str) -> None:
    files = ReleaseFiles(root)
    head = put(files, 1)
    (root / ".git" / name).write_text(head)
    before = sorted(path.name for path in (root / ".git").iterdir())
    with pytest.raises(GitBusy, match=name):
        put(files, 2)
    assert sorted(path.name for path in (root / ".git").iterdir()) == before


def test_papers_are_committed_in_any_state_that_takes_releases(root: Path) -> None:
    files = ReleaseFiles(root)
    head = put(files, 1)
    git(root, "checkout", "-q", "--detach")
    files.keep("local", {"approvals/x.json": b"yes"}, expected=head, message="m", trailers={})
    assert files.folder("local", "approvals") == {"x.json": b"yes"}
    assert git(root, "status", "--porcelain") == ""
