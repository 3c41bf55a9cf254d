"""Bad input to commands, cases 87 to 94 of the corpus (group C6): each is refused in words, and nothing is changed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.corpus import cases, numbers_of, proves
from tests.unit.app.small_workspace import FILE, add_model, opened

from mainspring.adapters.git.repository import init_repository
from mainspring.entry.cli.group import run

ENVIRONMENTS = "environments:\n  local: {}\n  dev: {approvals: 1}\n"
Out = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with versions 1, 2 and 4, version 3 whose gate failed, 1 released; its own key may approve for dev."""
    root = tmp_path_factory.mktemp("commands") / "small"
    root.mkdir()
    (root / "mainspring.yaml").write_text(FILE.replace("environments: {local: {}}\n", ENVIRONMENTS), "utf-8")
    (root / ".gitignore").write_text(".mainspring/\n", "utf-8")
    for number in (1, 2, 3, 4):
        add_model(root, number, passed=number != 3)
    for name in ("approvers", "trust"):
        place = root / "environments" / "dev" / name / "me.pem"
        place.parent.mkdir(parents=True)
        shutil.copy(root / ".mainspring" / "keys" / "signing.pub", place)
    init_repository(root)
    assert run(["-C", str(root), "promote", "1"]) == 0
    return root


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "small", symlinks=True))


def state(root: Path) -> list[bytes]:
    """Return what says where the branch stands, what serves, and what happened."""
    kept = (".git/refs/heads/main", "environments/local/release.yaml", ".mainspring/ledger.db")
    return [(root / path).read_bytes() for path in kept]


def model_folder(root: Path, version: int) -> Path:
    digest = opened(root).versions.get("small", version).removeprefix("sha256:")
    return root / ".mainspring" / "models" / "sha256" / digest[:2] / digest


def as_it_is(root: Path) -> None:
    """Change nothing."""


def unsigned(root: Path) -> None:
    (model_folder(root, 2) / "model.sig").unlink()


def gone(root: Path) -> None:
    shutil.rmtree(model_folder(root, 2) / "files")


def on_trial(root: Path) -> None:
    assert run(["-C", str(root), "promote", "2"]) == 0


def rolled_back(root: Path) -> None:
    assert run(["-C", str(root), "promote", "2", "--now"]) == 0
    assert run(["-C", str(root), "rollback"]) == 0


def approved_by_itself(root: Path) -> None:
    assert run(["-C", str(root), "approve", "1", "--env", "dev"]) == 0


def champion_gone(root: Path) -> None:
    assert run(["-C", str(root), "promote", "2", "--now"]) == 0
    shutil.rmtree(model_folder(root, 1))


def renamed(root: Path) -> None:
    file = root / "mainspring.yaml"
    file.write_text(file.read_text("utf-8").replace("project: small", "project: other"), "utf-8")


CASES = [
    ("87 unknown", as_it_is, "promote 9", 3, "has no version 9"),
    ("87 no number", as_it_is, "promote ../x", 3, "has no version ../x"),
    ("87 newline", as_it_is, ["promote", "1\n2"], 3, r"has no version '1\n2'"),
    ("87 looks like an option", as_it_is, "promote --upload-pack=x", 2, "No such option"),
    ("87 unsigned", unsigned, "promote 2", 3, "[signature.refused]"),
    ("87 gate failed", as_it_is, "promote 3 --now", 3, "version 3 did not pass its gate"),
    ("87 gate failed, first there", as_it_is, "promote 3 --to dev --emergency now", 3, "did not pass its gate"),
    ("87 taken from the store", gone, "promote 2", 2, "[not_found]"),
    ("88 while another is on trial", on_trial, "promote 4 --now", 3, "a rollout of version 2 is running"),
    ("88 the same in another mode", on_trial, "promote 2 --mode ab --weight 30", 3, "on trial already: canary at 5 %"),
    ("88 no trial to end", as_it_is, "rollback", 3, "no earlier version"),
    ("89 negative", as_it_is, "promote 2 --mode ab --weight -1", 2, "weight '-1' cannot be"),
    ("89 above", as_it_is, "promote 2 --mode ab --weight 101", 2, "weight '101' cannot be"),
    ("89 nan", as_it_is, "promote 2 --mode ab --weight nan", 2, "not a valid integer"),
    ("89 percent", as_it_is, "promote 2 --mode ab --weight 50%", 2, "not a valid integer"),
    ("89 negative, on trial already", on_trial, "promote 2 --mode ab --weight -1", 3, "on trial already: canary"),
    ("90 nothing released", as_it_is, "rollback --env dev", 2, "nothing serves in dev yet"),
    ("90 no previous version", as_it_is, "rollback", 3, "no earlier version to go back to"),
    ("90 twice in a row", rolled_back, "rollback", 3, "no earlier version to go back to"),
    ("91 own approval", approved_by_itself, "promote 1 --to dev", 3, "it has 0 of 1 approvals"),
    ("92 the version to go back to was deleted", champion_gone, "rollback", 2, "[not_found]"),
    ("92 renamed while in use", renamed, "rollback", 3, "local serves 'small', not 'other'"),
    ("92 renamed, another version", renamed, "promote 2", 3, "other has no version 2"),
]  # fmt: skip
SHELL = (
    "test_a_closed_pipe_is_quiet", "test_a_poor_terminal_is_served", "test_no_stdout_at_all_is_no_failure",
    "test_a_result_that_cannot_be_written_is_told",
)  # fmt: skip
ELSEWHERE = {
    93: (
        "tests/unit/security/test_tokens.py::test_revoked_and_expired_are_told_apart_and_a_remembered_secret_expires_too",
        "tests/flows/test_server_access.py::test_a_key_opens_its_role_and_no_other",
    ),
    94: tuple(f"tests/unit/entry/test_cli_shell.py::{name}" for name in SHELL),
}


@cases(CASES)
def test_what_cannot_be_is_refused_and_nothing_is_changed(
    root: Path, capsys: Out, change: Callable[[Path], None], command: str | list[str], code: int, words: str
) -> None:
    change(root)
    before = state(root)
    capsys.readouterr()
    assert run(["-C", str(root), *(command.split() if isinstance(command, str) else command)]) == code
    told = capsys.readouterr()
    assert words in told.err
    assert told.out == ""
    assert "Traceback" not in told.err
    assert state(root) == before


def test_every_number_of_the_group_is_proved() -> None:
    assert numbers_of(CASES) | set(ELSEWHERE) == set(range(87, 95))
    proves(ELSEWHERE)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there, no signal reaches a whole group of processes")
@pytest.mark.parametrize("place", ["release.commit", "ledger.append", "file.replace"])
@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.1])
def test_94_ctrl_c_in_the_middle_of_a_promotion_leaves_all_or_nothing(root: Path, place: str, after_s: float) -> None:
    branch = root / ".git" / "refs" / "heads" / "main"
    before, objects = branch.read_text(), sum(1 for _ in (root / ".git" / "objects").rglob("*"))
    process = subprocess.Popen(
        [sys.executable, "-m", "mainspring", "promote", "2", "--now"], cwd=root, stderr=subprocess.PIPE,
        env=os.environ | {"MAINSPRING_FAILPOINT": f"{place}:delay"}, start_new_session=True, text=True,
    )  # fmt: skip
    while process.poll() is None and sum(1 for _ in (root / ".git" / "objects").rglob("*")) <= objects:
        time.sleep(0.002)  # until it has begun to write: looked for in the repository, for nobody else can tell
    time.sleep(after_s)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: git's processes get it too
    told = process.communicate(timeout=60)[1]
    assert "Traceback" not in told
    assert process.returncode in (0, 2, 130), told  # git may have been the one that was interrupted
    moved = branch.read_text() != before
    assert run(["-C", str(root), "promote", "2", "--now"]) == 0
    assert run(["-C", str(root), "audit", "verify"]) == 0
    log = subprocess.run(["git", "log", "--format=%s"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert log.count("promote version 2") == 1, moved
    assert not list((root / ".git").rglob("*.lock"))
    assert subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, check=True).stdout == b""
