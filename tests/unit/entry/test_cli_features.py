"""`features`, `data` and `keys`: what they list, write and refuse."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.app.small_workspace import add_model, make_workspace

from mainspring.entry.cli.group import run
from mainspring.security.signing import key_id, new_key, public_of

Out = pytest.CaptureFixture[str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "small", rows=60)


def said(root: Path, out: Out, *arguments: str) -> dict[str, Any]:
    assert run(["-C", str(root), *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(out.readouterr().out)
    return found


def refused(root: Path, out: Out, *arguments: str) -> str:
    assert run(["-C", str(root), *arguments]) == 2
    told = out.readouterr().err
    assert "unexpected" not in told
    return told


def test_features_are_listed_with_what_makes_them(root: Path, capsys: Out) -> None:
    found = said(root, capsys, "features", "list")["features"]
    assert [(one["feature"], one["kind"], one["by"]) for one in found] == [
        ("visit.kind", "row", ""), ("visit.size", "row", ""), ("visit.hour", "row", ""),
        ("lately.bad_share", "window", "kind"),
    ]  # fmt: skip
    assert run(["-C", str(root), "features", "list"]) == 0
    assert "lately.bad_share" in capsys.readouterr().out


def test_the_online_store_is_brought_up_to_date_from_where_it_stopped(root: Path, capsys: Out) -> None:
    assert "snapshot" in refused(root, capsys, "features", "materialise")
    assert run(["-C", str(root), "snapshot"]) == 0
    capsys.readouterr()
    first = said(root, capsys, "features", "materialise", "--until", "2024-01-20")["rows"]
    assert first > 0
    assert said(root, capsys, "features", "materialise", "--until", "2024-01-20") == {"rows": 0}
    assert said(root, capsys, "features", "materialise")["rows"] > 0
    assert "is not a time" in refused(root, capsys, "features", "materialise", "--until", "soon")


def test_snapshots_are_listed(root: Path, capsys: Out) -> None:
    assert said(root, capsys, "data", "log") == {"snapshots": []}
    assert run(["-C", str(root), "snapshot"]) == 0
    capsys.readouterr()
    (one,) = said(root, capsys, "data", "log")["snapshots"]
    assert (one["version"], one["rows"]) == (1, {"visits": 60})
    assert run(["-C", str(root), "data", "log"]) == 0
    assert one["digest"][7:19] in capsys.readouterr().out


def test_keys_are_listed_and_trusted(root: Path, capsys: Out, tmp_path: Path) -> None:
    assert said(root, capsys, "keys", "list") == {"keys": []}
    add_model(root, 1)
    (own,) = said(root, capsys, "keys", "list")["keys"]
    assert own["where"] == "own"
    public = public_of(new_key())
    (tmp_path / "theirs.pem").write_bytes(public)
    assert run(["-C", str(root), "keys", "trust", "staging", str(tmp_path / "theirs.pem")]) == 0
    assert f"staging now trusts {key_id(public)}" in capsys.readouterr().out
    assert said(root, capsys, "keys", "list")["keys"][1] == {"id": key_id(public), "where": "staging"}


@pytest.mark.parametrize("content", [None, b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\n"])
def test_what_is_no_public_key_is_refused(root: Path, capsys: Out, content: bytes | None) -> None:
    if content is not None:
        (root / "theirs.pem").write_bytes(content)
    refused(root, capsys, "keys", "trust", "staging", "theirs.pem")
    assert not (root / "environments" / "staging").exists()


def test_an_environment_is_a_name_not_a_path(root: Path, capsys: Out) -> None:
    (root / "theirs.pem").write_bytes(public_of(new_key()))
    assert "cannot name a" in refused(root, capsys, "keys", "trust", "../../x", "theirs.pem")


@pytest.mark.parametrize(
    "arguments", [("features", "list"), ("features", "materialise"), ("data", "log"), ("keys", "list")]
)
def test_outside_a_project_nothing_is_written(tmp_path: Path, capsys: Out, arguments: tuple[str, ...]) -> None:
    assert "[project.none]" in refused(tmp_path, capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [("features",), ("features", "list"), ("features", "materialise"), ("data",), ("data", "log"), ("keys",),
     ("keys", "list"), ("keys", "trust")],
)  # fmt: skip
def test_help_tells_how(arguments: tuple[str, ...], capsys: Out) -> None:
    assert run([*arguments, "--help"]) == 0
    assert f"Usage: mainspring {' '.join(arguments)}" in capsys.readouterr().out
