"""Repositories in any odd state, cases 95 to 102 of the corpus (group C7), by the real commands.

Each is refused with its reason and untouched, or answered rightly; nothing that a repository configures ever runs.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.corpus import cases, numbers_of, proves
from tests.unit.app.small_workspace import FILE, add_model, opened

from mainspring.adapters.git.repository import describe_code, init_repository
from mainspring.deliver.ports import SIGNATURE
from mainspring.entry.cli.group import run
from mainspring.kernel.errors import MainspringError

Out = pytest.CaptureFixture[str]
RELEASE = "environments/local/release.yaml"
TOKEN = "AKIA" + "ABCDEFGHIJKLMNOP"


def git(root: Path, *words: str, check: bool = True) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "protocol.file.allow=always")
    done = subprocess.run(["git", *who, *words], cwd=root, capture_output=True, text=True, check=check)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two versions; 1 was released, then 2."""
    root = tmp_path_factory.mktemp("states") / "small"
    root.mkdir()
    (root / "mainspring.yaml").write_text(FILE, "utf-8")
    (root / ".gitignore").write_text(".mainspring/\n", "utf-8")
    init_repository(root)
    for number in (1, 2):
        add_model(root, number)
        assert run(["-C", str(root), "promote", str(number), "--now"]) == 0
    return root


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "small", symlinks=True))


def state(root: Path) -> list[tuple[Path, bytes]]:
    """Return what a command that is refused must leave alone: refs, HEAD, index, locks, release file, ledger."""
    home = root if (root / "HEAD").exists() else root / ".git"
    kept = [home / "HEAD", home / "index", home / "packed-refs", home / "index.lock", *(home / "refs").rglob("*")]
    kept += [*(root / "environments").rglob("*"), root / ".mainspring" / "ledger.db"]
    return [(path, path.read_bytes()) for path in sorted(kept) if path.is_file()]


def object_file(root: Path, name: str) -> Path:
    found = git(root, "rev-parse", name)
    place = root / ".git" / "objects" / found[:2] / found[2:]
    place.chmod(0o644)
    return place


def no_repository(root: Path) -> Path:
    shutil.rmtree(root / ".git")
    return root


def bare(root: Path) -> Path:
    git(root.parent, "clone", "-q", "--bare", str(root), "bare.git")
    return root.parent / "bare.git"


def no_commits(root: Path) -> Path:
    shutil.rmtree(root / ".git")
    git(root, "init", "-q", "-b", "main")
    return root


def shallow(root: Path) -> Path:
    git(root.parent, "clone", "-q", "--depth=1", f"file://{root}", "shallow")
    shutil.copytree(root / ".mainspring", root.parent / "shallow" / ".mainspring")
    return root.parent / "shallow"


def edited(root: Path) -> Path:
    (root / RELEASE).write_text("# mine\n" + (root / RELEASE).read_text("utf-8"), "utf-8")
    return root


def merging(root: Path) -> Path:
    git(root, "checkout", "-q", "-b", "other", "HEAD~1")
    (root / "a.txt").write_text("a")
    git(root, "add", "a.txt")
    git(root, "commit", "-qm", "a")
    git(root, "checkout", "-q", "main")
    git(root, "merge", "-q", "--no-commit", "--no-ff", "other")
    return root


def conflicted(root: Path) -> Path:
    git(root, "checkout", "-q", "-b", "other")
    for branch in ("other", "main"):
        git(root, "checkout", "-q", branch)
        (root / "a.txt").write_text(branch)
        git(root, "add", "a.txt")
        git(root, "commit", "-qm", branch)
    git(root, "merge", "-q", "other", check=False)
    return root


def locked(root: Path) -> Path:
    (root / ".git" / "index.lock").touch()
    return root


def branch_locked(root: Path) -> Path:
    (root / ".git" / "refs" / "heads" / "main.lock").touch()
    return root


def corrupt(name: str) -> Callable[[Path], Path]:
    def change(root: Path) -> Path:
        object_file(root, name).write_bytes(b"no object")
        return root

    return change


def gone(name: str) -> Callable[[Path], Path]:
    def change(root: Path) -> Path:
        object_file(root, name).unlink()
        return root

    return change


def broken(path: str, data: bytes) -> Callable[[Path], Path]:
    def change(root: Path) -> Path:
        (root / ".git" / path).write_bytes(data)
        return root

    return change


def linked_folder(root: Path) -> Path:
    (root.parent / "outside").mkdir()
    shutil.rmtree(root / "environments")
    (root / "environments").symlink_to(root.parent / "outside")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "a link")
    return root


def linked_release(root: Path) -> Path:
    (root.parent / "secret").write_text("canary")
    (root / RELEASE).unlink()
    (root / RELEASE).symlink_to(root.parent / "secret")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "a link")
    return root


def pushed_back(root: Path) -> Path:
    git(root, "reset", "-q", "--hard", "HEAD~1")
    return root


def swapped(root: Path) -> Path:
    """Let main, pushed with force, name version 1 by a digest of somebody's own making."""
    text = (root / RELEASE).read_text("utf-8")
    digest = opened(root).versions.get("small", 1)
    (root / RELEASE).write_text(text.replace(digest, "sha256:" + "0" * 64), "utf-8")
    git(root, "commit", "-q", "--amend", "-am", "not ours")
    return root


def leaked(root: Path) -> Path:
    (root / "settings.py").write_text(f"a = 1\nkey = '{TOKEN}'\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "oops")
    git(root, "rm", "-q", "settings.py")
    git(root, "commit", "-qm", "removed")
    return root


BUSY, ASKED = 75, "promote 1 --now"
REFUSED = [
    ("95 no repository", no_repository, ASKED, 2, "not in a git repository"),
    ("95 bare", bare, ASKED, 2, "no mainspring.yaml"),
    ("95 no commits, files of another history", no_commits, ASKED, 2, "edits that are not committed"),
    ("95 shallow", shallow, "rollback", 2, "the clone is shallow"),
    ("95 head is no text", broken("HEAD", b"\xff\xfe\x00"), ASKED, 2, "not in a git repository"),
    ("95 configuration is broken", broken("config", b"[core\n"), ASKED, 2, "bad config line 1"),
    ("96 release file edited", edited, ASKED, 2, "edits that are not committed"),
    ("97 merge under way", merging, ASKED, BUSY, "MERGE_HEAD"),
    ("97 merge in conflict", conflicted, "rollback", BUSY, "MERGE_HEAD"),
    ("97 lock", locked, ASKED, BUSY, "index.lock"),
    ("97 lock of the branch", branch_locked, ASKED, BUSY, "holds a lock"),
    ("97 release is corrupt", corrupt(f"main:{RELEASE}"), "rollback", 1, f"git cannot read {RELEASE}"),
    ("97 release is gone", gone(f"main:{RELEASE}"), "audit verify", 1, f"git cannot read {RELEASE}"),
    ("97 commit is corrupt", corrupt("main~1"), "rollback", 2, "is corrupt"),
    ("97 tree is gone", gone("main^{tree}"), "promote 1", 2, "not a tree object"),
    ("97 branch names no commit", broken("refs/heads/main", b"zzz\n"), "promote 1", 2, "'main' is broken"),
    ("97 branch is empty", broken("refs/heads/main", b""), "status", 2, "'main' is broken"),
    ("99 environment like an option", Path, "promote 1 --to --upload-pack=x", 2, "cannot name a environment"),
    ("99 revision like an option", Path, "audit releases --since --upload-pack=x", 2, "no commit '--upload-pack=x'"),
    ("99 revision with a newline", Path, ["check", "--history", "--since", "a\nb"], 2, r"has no commit 'a\nb'"),
    ("100 folder leads out", linked_folder, ASKED, 2, "above it is a submodule, a link or a file"),
    ("100 release leads out", linked_release, "rollback", 2, "the file is not a mapping"),
    ("102 removed secret", leaked, "check --history", 2, "1 things must be mended"),
    ("102 cut history", shallow, "check --history", 2, "the clone is shallow"),
]  # fmt: skip
ELSEWHERE = {
    96: ("tests/flows/test_promotion.py::test_what_nobody_can_see_again_goes_no_further_than_the_first_rung",),
    98: ("tests/faults/test_release_git_states.py::test_hooks_filters_pagers_and_monitors_of_a_repository_never_run",),
    99: ("tests/faults/test_release_git_states.py::test_a_branch_name_that_git_could_misread_is_refused",),
}


@cases(REFUSED)
def test_an_odd_repository_is_refused_with_the_reason_and_untouched(
    root: Path, capsys: Out, change: Callable[[Path], Path], command: str | list[str], code: int, words: str
) -> None:
    place = change(root)
    before = state(root), state(place)
    capsys.readouterr()
    assert run(["-C", str(place), *(command.split() if isinstance(command, str) else command)]) == code
    told = capsys.readouterr()
    assert words in told.err
    assert not {"Traceback", "canary", TOKEN} & set((told.out + told.err).split())
    assert (state(root), state(place)) == before
    outside = root.parent / "outside"
    assert not outside.exists() or not list(outside.iterdir())


def detached(root: Path) -> Path:
    git(root, "checkout", "-q", "--detach")
    return root


def twins(root: Path) -> Path:
    """Commit a file whose name differs from the release's by case alone, as a case-blind disk cannot hold both."""
    blob = git(root, "hash-object", "-w", "mainspring.yaml")
    git(root, "update-index", "--add", "--cacheinfo", f"100644,{blob},environments/local/Release.yaml")
    git(root, "commit", "-qm", "twins")
    return root


def on_option_branch(root: Path) -> Path:
    git(root, "update-ref", "refs/heads/--upload-pack=x", "HEAD")
    git(root, "symbolic-ref", "HEAD", "refs/heads/--upload-pack=x")
    return root


def on_newline_branch(root: Path) -> Path:
    (root / ".git" / "HEAD").write_bytes(b"ref: refs/heads/a\nb\n")
    return root


def moved_tag(root: Path) -> Path:
    """Tag the release of version 2, then move the tag to version 1's: what serves is named by digest, not by tag."""
    git(root, "tag", "released")
    git(root, "tag", "-f", "released", "HEAD~1")
    return root


ANSWERED = [
    ("95 detached head", detached, 1),
    ("96 dirty file beside", lambda root: (root / "note.txt").write_text("x") and root, 1),
    ("99 branch like an option", on_option_branch, 1),
    ("99 branch with a newline", on_newline_branch, 1),
    ("100 twins by case", twins, 1),
    ("101 tag moved", moved_tag, 1),
]


@pytest.mark.slow
@cases(ANSWERED)
def test_what_is_no_obstacle_is_none(root: Path, change: Callable[[Path], Path], version: int) -> None:
    place = change(root)
    assert run(["-C", str(place), "rollback"]) == 0
    release, _ = opened(place).releases.read("local")
    assert release is not None
    assert release.champion.version == version
    assert release.champion.digest == opened(place).versions.get("small", version)
    assert run(["-C", str(place), "audit", "verify"]) == 0


@pytest.mark.slow
def test_101_a_main_that_was_pushed_with_force_cannot_bring_in_other_bytes(root: Path, capsys: Out) -> None:
    at = opened(pushed_back(root))
    release, _ = at.releases.read("local")
    assert release is not None
    files = at.models.open(release.champion.digest, at.keys.trusted("local"))
    assert files["contract.json"] == b"1"  # what answers is what was signed under that digest
    assert run(["-C", str(root), "audit", "verify"]) == 1
    assert "is not in local's history" in capsys.readouterr().out
    swapped(root)
    release, _ = opened(root).releases.read("local")
    assert release is not None
    with pytest.raises(MainspringError):
        at.models.open(release.champion.digest, at.keys.trusted("local"))
    assert run(["-C", str(root), "audit", "verify"]) == 1
    assert at.models.evidence(opened(root).versions.get("small", 1), SIGNATURE)


def test_102_the_history_names_file_line_and_commit_and_never_the_secret(root: Path, capsys: Out) -> None:
    leaked(root)
    commit = git(root, "rev-parse", "HEAD~1")
    assert run(["-C", str(root), "check", "--history"]) == 2
    told = capsys.readouterr()
    assert f"settings.py:2: commit {commit[:12]} holds a credential" in told.out
    assert TOKEN not in told.out + told.err
    assert run(["-C", str(root), "check", "--history", "--since", "HEAD"]) == 0
    text = f"key = '{TOKEN}'  # mainspring: allow secret-inline because it is the example of the issuer's manual\n"
    (root / "doc.py").write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "an example")
    assert run(["-C", str(root), "check", "--history", "--since", "HEAD~1"]) == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the sentinel is a shell script")
def test_98_nothing_that_a_submodule_configures_runs_and_its_drift_is_dirt(root: Path, tmp_path: Path) -> None:
    inner, sentinel = tmp_path / "inner", tmp_path / "ran"
    inner.mkdir()
    (inner / "f.txt").write_text("a\n")
    (inner / ".gitattributes").write_text("* filter=evil\n")
    init_repository(inner, at=0)
    git(root, "submodule", "add", "-q", str(inner), "sub")
    git(root, "commit", "-qm", "a submodule")
    assert describe_code(root)[1] is False
    script = tmp_path / "evil.sh"
    script.write_text(f"#!/bin/sh\necho ran >> {sentinel}\ncat\n")
    script.chmod(0o755)
    for name in ("filter.evil.clean", "filter.evil.process", "core.fsmonitor", "diff.external"):
        git(root / "sub", "config", name, str(script))
    sentinel.unlink(missing_ok=True)
    (root / "sub" / "f.txt").write_text("b\n")
    assert describe_code(root)[1] is True
    os.utime(root / "sub" / ".gitattributes")
    describe_code(root)
    assert not sentinel.exists()
    (root / "sub" / "f.txt").write_text("a\n")
    tree = git(root / "sub", "rev-parse", "HEAD^{tree}")
    git(root / "sub", "update-ref", "HEAD", git(root / "sub", "commit-tree", tree, "-p", "HEAD", "-m", "drift"))
    assert describe_code(root)[1] is True


def test_every_number_of_the_group_is_proved() -> None:
    own = {int(name.split("_")[1]) for name in globals() if name.startswith("test_1") or name.startswith("test_9")}
    assert numbers_of(REFUSED) | numbers_of(ANSWERED) | own | set(ELSEWHERE) == set(range(95, 103))
    proves(ELSEWHERE)
