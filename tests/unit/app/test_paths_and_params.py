"""Where things lie, which parameters a text sets, and what the code's digest depends on."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.app.paths import STATE, Paths
from mainspring.app.training import code_digest, parse_params
from mainspring.kernel.errors import InvalidValue


def test_a_project_keeps_its_state_under_its_root(tmp_path: Path) -> None:
    paths = Paths.of(tmp_path / "p" / ".." / "p")
    assert paths.root == paths.project == (tmp_path / "p").resolve()
    assert paths.state == paths.shared == paths.root / STATE
    kept = (paths.ledger, paths.log, paths.predictions, paths.server, paths.report)
    assert all(path.parent == paths.state for path in kept)
    assert len(set(kept)) == len(kept)


def test_a_replay_has_its_own_repository_and_state_and_shares_the_store(tmp_path: Path) -> None:
    paths = Paths.of(tmp_path)
    replay = paths.replay("never")
    assert replay.root == paths.state / "replay" / "never"
    assert (replay.state, replay.project, replay.shared) == (replay.root / STATE, paths.project, paths.shared)
    assert replay.ledger != paths.ledger
    assert paths.at(replay.state) == replay
    assert paths.at(None) is paths


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5), ("-5", -5), ("0.5", 0.5), ("1e3", 1000.0), ("true", True), ("false", False), ("True", "True"),
        ("", ""), ("a=b", "a=b"), ("nan", "nan"), ("inf", "inf"), ("1e999", "1e999"), ("auto", "auto"),
        ("9" * 400, "9" * 400), ("9" * 5_000, "9" * 5_000),
    ],
)  # fmt: skip
def test_a_parameter_is_a_whole_number_a_number_a_truth_or_text(text: str, value: object) -> None:
    (found,) = parse_params([f"alpha={text}"]).values()
    assert (found, type(found)) == (value, type(value))


def test_the_last_of_equal_names_counts() -> None:
    assert parse_params(["a=1", "b=2", "a=3"]) == {"a": 3, "b": 2}
    assert parse_params([]) == {}


@pytest.mark.parametrize("text", ["alpha", "=5", "al pha=5", "a-b=1", "1a=2", "a.b=1", ""])
def test_what_sets_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="sets nothing"):
        parse_params([text])


@given(value=st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_a_value_written_out_is_read_back(value: float | bool) -> None:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    assert parse_params([f"x={text}"]) == {"x": value}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "p"
    (root / "src" / "model" / "deep").mkdir(parents=True)
    (root / "src" / "model" / "deep" / "train.py").write_text("def fit(): ...\n")
    (root / "requirements").mkdir()
    (root / "requirements" / "base.lock").write_text("numpy==2\n")
    (root / "pyproject.toml").write_text("[project]\n")
    return root


@pytest.mark.parametrize("name", ["src/model/deep/train.py", "requirements/base.lock", "pyproject.toml", "src/new.py"])
def test_code_and_locks_change_the_digest(project: Path, name: str) -> None:
    before = code_digest(project)
    assert code_digest(project) == before
    with (project / name).open("a") as file:
        file.write("# changed\n")
    assert code_digest(project) != before


def test_data_state_and_the_projects_place_do_not(project: Path, tmp_path: Path) -> None:
    before = code_digest(project)
    for name in ("data/rows.csv", ".mainspring/replay/never/src/x.py", "README.md", "notebooks/try.py", "src/fits.txt"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("changed")
    assert code_digest(project) == before
    moved = tmp_path / "src"
    project.rename(moved)
    assert code_digest(moved) == before
    (moved / "src" / "model" / "deep" / "train.py").rename(moved / "src" / "model" / "deep" / "fit.py")
    assert code_digest(moved) != before


def test_a_project_without_code_has_a_digest(tmp_path: Path) -> None:
    assert code_digest(tmp_path).startswith("sha256:")
