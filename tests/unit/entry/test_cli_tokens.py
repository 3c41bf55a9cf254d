"""`mainspring tokens`: a secret is shown once, a token ends when it should, and the file is its owner's."""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from mainspring.adapters.files.tokens import TokenFile
from mainspring.app.access import TokenDesk
from mainspring.entry.cli.group import run
from mainspring.kernel.errors import Damaged
from mainspring.security.tokens import TokenBook, Wanted

Out = pytest.CaptureFixture[str]


def said(root: Path, out: Out, *arguments: str) -> dict[str, Any]:
    assert run(["-C", str(root), "tokens", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(out.readouterr().out)
    return found


def test_a_token_is_made_listed_revoked_and_forgotten(tmp_path: Path, capsys: Out) -> None:
    made = said(
        tmp_path, capsys, "create", "ci", "--model", "flight-delay", "--role", "predict", "--expires", "90d",
        "--rate", "50", "--budget", "100000/1d",
    )  # fmt: skip
    secret = made.pop("secret")
    assert said(tmp_path, capsys, "list") == {"tokens": [made]}
    assert (made["state"], made["models"], made["roles"]) == ("good", ["flight-delay"], ["predict"])
    assert (made["rate"], made["budget"]) == (50.0, {"rows": 100_000, "seconds": 86_400})
    tokens = TokenFile(tmp_path / ".mainspring").read()
    assert tokens is not None
    assert TokenBook(tokens).judge(secret.encode(), TokenDesk(tmp_path).now())[0] == "good"
    assert said(tmp_path, capsys, "revoke", "ci")["state"] == "revoked"
    assert run(["-C", str(tmp_path), "tokens", "list"]) == 0
    assert secret not in capsys.readouterr().out
    assert said(tmp_path, capsys, "prune") == {"forgotten": 1}
    assert said(tmp_path, capsys, "list") == {"tokens": []}


def test_the_secret_alone_goes_to_stdout(tmp_path: Path, capsys: Out) -> None:
    assert run(["-C", str(tmp_path), "tokens", "create", "ci"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("mst_")
    assert told.out.count("\n") == 1
    assert told.out.strip() not in told.err
    assert run(["-C", str(tmp_path), "tokens", "revoke", "ci"]) == 0
    assert run(["-C", str(tmp_path), "tokens", "prune"]) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "Bad Name"], ["create", "a", "--role", "root"], ["create", "a", "--expires", "soon"],
        ["create", "a", "--budget", "5"], ["create", "a", "--budget", "x/1d"], ["create", "a", "--rate", "-1"],
        ["revoke", "nobody"],
    ],
)  # fmt: skip
def test_a_mistake_is_told_and_makes_nothing(tmp_path: Path, capsys: Out, arguments: list[str]) -> None:
    assert run(["-C", str(tmp_path), "tokens", *arguments]) == 2
    assert "unexpected" not in capsys.readouterr().err
    assert not (tmp_path / ".mainspring" / "tokens.json").exists()


def test_writers_take_turns(tmp_path: Path) -> None:
    def make(number: int) -> None:
        TokenDesk(tmp_path).create(Wanted(name=f"t{number}"))

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert {token.name for token in TokenDesk(tmp_path).tokens()} == {f"t{number}" for number in range(8)}


def test_a_reader_follows_the_file_and_refuses_a_touched_one(tmp_path: Path) -> None:
    reader = TokenFile(tmp_path / ".mainspring")
    assert reader.read() is None
    desk = TokenDesk(tmp_path)
    desk.create(Wanted(name="a"))
    first = reader.read()
    assert first is not None
    assert reader.read() is first
    desk.create(Wanted(name="b"))
    assert len(reader.read() or ()) == 2
    path = tmp_path / ".mainspring" / "tokens.json"
    path.write_bytes(b"{}")
    with pytest.raises(Damaged):
        reader.read()
    path.write_bytes(b" " * (1 << 20) + b" ")
    with pytest.raises(Damaged):
        reader.read()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file modes")
def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    TokenDesk(tmp_path).create(Wanted(name="a"))
    path = tmp_path / ".mainspring" / "tokens.json"
    assert path.stat().st_mode & 0o777 == 0o600
    os.chmod(path, 0o666)
    with pytest.raises(Damaged):
        TokenFile(tmp_path / ".mainspring").read()
    path.unlink()
    (tmp_path / "elsewhere").write_bytes(b"{}")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Damaged):
        TokenFile(tmp_path / ".mainspring").read()
